//! What the documentation shows works: each of its configurations runs on a real Envoy and answers as the text says.
//!
//! A block `json config` is the filter's document, a block `yaml filter` an entry of Envoy's `http_filters`. The block
//! `requests` that follows has a request a line, the status that it gets, and for an answer of the filter the reason that
//! access logs show: `GET /items x-api-key: some-key # 429 meshgate_limit_exceeded`. All requests of a block go to one
//! Envoy, in their order. The bootstraps in `envoy-configs/` are tried in `demo.rs`, and with them the curl lines.

use std::fs;
use std::path::{Path, PathBuf};

use meshgate_e2e::{Client, Config, Envoy, Filter, Listener, Value, Wasm, paths};

/// A page, and the module that its documents are for.
struct Page {
    path: PathBuf,
    module: String,
}

/// A configuration and the requests under it.
struct Example {
    filter: Filter,
    requests: Vec<Request>,
}

struct Request {
    line: String,
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    status: u16,
    details: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_answers_what_it_says() {
    for page in pages() {
        let examples = examples(&page);
        let page = page.path.display();
        assert!(!examples.is_empty(), "{page} has no examples");
        for example in examples {
            assert!(!example.requests.is_empty(), "{page}: an example without requests");
            let mut wrong = differences(&example).await;
            // A limit of two a second lets one more through if this machine stalls for half of one.
            for _ in 0..2 {
                if !wrong.is_empty() {
                    wrong = differences(&example).await;
                }
            }
            assert!(wrong.is_empty(), "{page}:\n{}", wrong.join("\n"));
        }
    }
}

/// A configuration of a kind that is not known here would not be run.
#[test]
fn every_configuration_is_an_example() {
    for Page { path, .. } in pages() {
        let page = path.display();
        for (fence, block) in blocks(&read(&path)) {
            let known =
                ["json config", "yaml filter", "requests", "sh", "http", ""].contains(&fence.as_str());
            assert!(known, "{page} has a block {fence:?}:\n{block}");
            let hidden = fence.is_empty() && (block.contains('{') || block.contains("@type"));
            assert!(!hidden, "{page} has a configuration that is not marked as one:\n{block}");
        }
    }
}

#[test]
fn the_readme_shows_what_make_run_prints() {
    let bootstrap = read(Path::new("envoy-configs/api-key-quota.yaml"));
    let lines: Vec<_> = bootstrap.lines().filter_map(|line| line.strip_prefix("#   curl ")).collect();
    assert_eq!(lines.len(), 3);
    let readme = read(Path::new("README.md"));
    for line in lines {
        assert!(readme.contains(&format!("\ncurl {line}\n")), "{line}");
    }
}

/// The requests that a new Envoy answers in another way than the text says.
async fn differences(example: &Example) -> Vec<String> {
    let listener =
        Listener::new().filter(example.filter.clone()).access_log("%RESPONSE_CODE% %RESPONSE_CODE_DETAILS%");
    let envoy = Envoy::start(Config::from(listener)).await.unwrap();
    let client: Client = envoy.http1();
    for Request { method, target, fields, .. } in &example.requests {
        let request = client.request(method, target);
        let request = fields.iter().fold(request, |request, (name, value)| request.header(name, value));
        request.send().await.unwrap();
    }
    let answers = envoy.wait_for_access_log(example.requests.len()).await.unwrap();
    let said = |request: &Request| format!("{} {}", request.status, request.details);
    let pairs = example.requests.iter().zip(answers).filter(|(request, answer)| said(request) != *answer);
    pairs.map(|(request, answer)| format!("{}: {answer}", request.line)).collect()
}

/// The README of the project and that of each filter.
fn pages() -> Vec<Page> {
    let mut pages = vec![Page { path: "README.md".into(), module: "api_key_quota".into() }];
    for filter in fs::read_dir(paths::workspace().join("filters")).unwrap() {
        let filter = filter.unwrap();
        let module = filter.file_name().to_str().unwrap().replace('-', "_");
        pages.push(Page { path: filter.path().join("README.md"), module });
    }
    pages
}

/// The examples of a page, in their order.
fn examples(Page { path, module }: &Page) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for (fence, block) in blocks(&read(path)) {
        let filter: Filter = match fence.as_str() {
            "json config" => Wasm::module(module).config_text(&block).into(),
            "yaml filter" => entry(&block).into(),
            "requests" => {
                let example = examples.last_mut().expect("a configuration stands above its requests");
                assert!(example.requests.is_empty(), "requests of no configuration:\n{block}");
                example.requests = block.lines().map(request).collect();
                continue;
            }
            _ => continue,
        };
        examples.push(Example { filter, requests: vec![] });
    }
    examples
}

/// The entry of `http_filters`, with the module where it was built.
fn entry(yaml: &str) -> Value {
    let mut list: Value = yaml_serde::from_str(yaml).unwrap();
    let mut entry = list[0].take();
    let file = &mut entry["typed_config"]["config"]["vm_config"]["code"]["local"]["filename"];
    let module = Path::new(file.as_str().expect("a file")).file_stem().expect("the file of a module");
    *file = paths::module(module.to_str().unwrap()).unwrap().to_str().unwrap().into();
    entry
}

/// `METHOD target name: value, name: value # status details`
fn request(line: &str) -> Request {
    let (request, answer) = line.split_once(" # ").expect(line);
    let (method, rest) = request.split_once(' ').expect(line);
    let (target, fields) = rest.split_once(' ').unwrap_or((rest, ""));
    let fields = fields.split(", ").filter_map(|field| field.split_once(": "));
    let (status, details) = answer.split_once(' ').unwrap_or((answer, "via_upstream"));
    Request {
        line: line.into(),
        method: method.into(),
        target: target.into(),
        fields: fields.map(|(name, value)| (name.into(), value.into())).collect(),
        status: status.parse().expect(line),
        details: details.into(),
    }
}

/// The fenced blocks of a page: what stands behind the fence, and the text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut lines = page.lines();
    let mut blocks = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(fence) = line.strip_prefix("```") {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((fence.to_owned(), block.join("\n")));
        }
    }
    blocks
}

fn read(page: &Path) -> String {
    fs::read_to_string(paths::workspace().join(page)).unwrap()
}
