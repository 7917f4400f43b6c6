//! What the documentation shows works: each of its configurations runs on a real Envoy and answers as the text says.
//!
//! A block `json config` is the document of the page's filter, `json config api-key-quota` that of a filter in front of the
//! next one (on the README of the project: that of the filter shown), a block `yaml filter` a list of entries of Envoy's `http_filters`. The block `requests` that follows has a
//! request a line, the status that it gets, and for an answer of the filter the reason that access logs show. Indented
//! lines say more about a request; `...` in what is expected stands for any text:
//!
//! ```text
//! GET /items x-api-key: some-key # 429 meshgate_limit_exceeded
//!     upstream gets nothing
//! POST /people?x=1 accept: text/html, x-debug: 1 # 200
//!     sends {"fullName": "Ada"}
//!     upstream gets PUT /v2/people
//!     upstream gets x-user-id: 7
//!     upstream gets no x-debug
//!     upstream gets {"name": "Ada"}
//!     upstream answers 201 etag: "1"
//!     upstream answers {"id": 1, "internal": true}
//!     gets content-type: application/...
//!     gets no etag
//!     gets {"id": 1}
//! GET /items # 503 upstream_reset_before_response_started{...}
//!     upstream is down
//! ```
//!
//! Bodies are compared byte for byte, a final newline aside, and several lines are the lines of one body; `gets body`
//! (`sends body`, `upstream gets body`, `upstream answers body`) has a body that looks like something else. One that begins with
//! `{` or `[` goes with `content-type: application/json` unless the line says another. An upstream that is not told how to
//! answer echoes the request; it also `resets`, or `is` one of `down` (it refuses connections), `slow` (the route's timeout
//! is over first) and `missing` (no route leads to it).
//!
//! A block `jsonl file keys` is what a server answers that the cluster `keys` of the next configuration reaches; requests are sent when the
//! filter has fetched it.
//!
//! All requests of a block go to one Envoy, in their order. The bootstraps in `envoy-configs/` are tried in `demo.rs`, and with
//! them the curl lines and the README's blocks `console`. A block `json demo api-key-quota` is what the demo has for that filter.
//! Blocks `sh` and `console` of all pages are run by `scripts/newcomer.sh`, except those that say `sh not-run`. What is shown
//! beside all that has a kind of its own, and a test for it: [`SHOWN`]. There is no block without a kind.

mod case;
mod page;

use std::path::Path;
use std::time::{Duration, Instant};

use meshgate_e2e::{Client, Config, Envoy, FileServer, Listener, Reply, Response, Value, json, lua};
use tokio::task::JoinSet;

use case::{Case, Seen, Upstream};
use page::{Example, Page, blocks, pages, read};

#[tokio::test(flavor = "multi_thread")]
async fn every_example_answers_what_it_says() {
    // Page beside page: an Envoy takes its time to start.
    let mut pages: JoinSet<_> = pages().into_iter().map(wrong_examples).collect();
    let mut wrong = Vec::new();
    while let Some(page) = pages.join_next().await {
        wrong.extend(page.unwrap());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a page says that is not true.
async fn wrong_examples(page: Page) -> Vec<String> {
    let (examples, must_have_examples) = (page.examples(), page.is_of_a_filter());
    let page = page.path.display();
    assert!(!examples.is_empty() || !must_have_examples, "{page} has no examples");
    let mut all = Vec::new();
    for example in examples {
        assert!(!example.cases.is_empty(), "{page}: an example without requests");
        let mut run = run(&example).await;
        for _ in 0..2 {
            if run.may_be_late(&example) {
                run = self::run(&example).await;
            }
        }
        let wrong = run.wrong;
        all.extend(wrong.into_iter().map(|wrong| format!("{page}: {wrong}")));
    }
    all
}

/// What pages show beside examples, and the test that compares it with what there is.
const SHOWN: [(&str, &str); 9] = [
    ("json usage", "crates/quota/src/tests/shown.rs"),
    ("text access-log", "tests/tests/api_key_quota/observed.rs"),
    ("text access-log-format", "tests/tests/api_key_quota/observed.rs"),
    ("text drawing", ""),
    ("text findings", "crates/dlp/src/tests/reports.rs"),
    ("text headers", "crates/quota/src/tests/shown.rs"),
    ("text key", "crates/quota/src/tests/shown.rs"),
    ("text near", "crates/quota/src/tests/shown.rs"),
    ("yaml vm_config", "tests/tests/api_key_quota/keys.rs"),
];

#[test]
fn what_is_shown_beside_examples_has_its_test() {
    let pages: String = pages().iter().map(|page| read(&page.path)).collect();
    for (kind, test) in SHOWN {
        assert!(pages.contains(&format!("\n```{kind}\n")), "{kind}");
        assert!(
            test.is_empty() || read(Path::new(test)).contains(&format!("\"```{kind}\"")),
            "{kind}: {test}"
        );
    }
}

/// A configuration of a kind that is not known here would not be run.
#[test]
fn every_configuration_is_an_example() {
    for page in pages() {
        let name = page.path.display();
        for (fence, block) in blocks(&read(&page.path)) {
            let run = ["json config", "yaml filter", "requests", "sh", "sh not-run", "console"];
            let known = run.contains(&fence.as_str())
                || SHOWN.iter().any(|(kind, _)| *kind == fence)
                || ["json config ", "json demo ", "jsonl file "].iter().any(|kind| fence.starts_with(kind));
            assert!(known, "{name} has a block {fence:?}, which nothing tries:\n{block}");
            // A drawing is tried by nothing.
            let hidden = fence == "text drawing" && (block.contains('{') || block.contains("@type"));
            assert!(!hidden, "{name} has a configuration that is not marked as one:\n{block}");
        }
    }
}

/// What the README shows is what answers the commands below it.
#[test]
fn the_readme_shows_the_configurations_of_the_demo() {
    let makefile = read(Path::new("Makefile"));
    let demo = makefile.lines().find_map(|line| line.strip_prefix("DEMO ")?.trim().strip_prefix(":= "));
    let bootstrap = read(Path::new(demo.expect("the Makefile names the demo")));
    let bootstrap: Value = yaml_serde::from_str(&bootstrap).unwrap();
    let filters = bootstrap
        .pointer("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters")
        .and_then(Value::as_array)
        .expect("the demo has filters");
    let configured = |name: &str| -> Value {
        let filter = filters.iter().find(|filter| filter["name"] == name);
        let text =
            filter.and_then(|filter| filter["typed_config"]["config"]["configuration"]["value"].as_str());
        serde_json::from_str(text.unwrap_or_else(|| panic!("the demo has no {name}"))).unwrap()
    };
    let mut shown = 0;
    for (fence, block) in blocks(&read(Path::new("README.md"))) {
        let Some(name) = fence.strip_prefix("json demo ") else { continue };
        shown += 1;
        assert_eq!(serde_json::from_str::<Value>(&block).unwrap(), configured(name), "{name}");
    }
    assert!(shown >= 3, "{shown}");
}

/// A page that says how to run a bootstrap has the lines that are tried with it.
#[test]
fn pages_show_the_lines_of_the_bootstrap_that_they_run() {
    let mut pages_that_run = 0;
    for page in pages() {
        let text = read(&page.path);
        for demo in text.lines().filter_map(|line| line.strip_prefix("make run DEMO=")) {
            let bootstrap = read(Path::new(demo));
            let lines: Vec<_> = bootstrap.lines().filter_map(|line| line.strip_prefix("#   curl ")).collect();
            assert!(lines.len() >= 3, "{demo}: {lines:?}");
            for line in lines {
                assert!(text.contains(&format!("\ncurl {line}\n")), "{}: {line}", page.path.display());
            }
            pages_that_run += 1;
        }
    }
    assert!(pages_that_run > 0, "some page does");
}

/// A statement that is not true is noticed, whatever it is about.
#[tokio::test(flavor = "multi_thread")]
async fn each_statement_is_checked() {
    const SCRIPT: &str = r#"
        function envoy_on_request(handle)
          local headers = handle:headers()
          headers:remove("x-debug")
          headers:replace("x-user-id", "7")
          if headers:get("x-refuse") then handle:respond({ [":status"] = "403" }, "no") end
        end
        function envoy_on_response(handle) handle:headers():remove("x-powered-by") end"#;
    const TRUE: &str = r#"
POST /people?x=1 x-debug: 1 # 201
    sends {"a":1}
    upstream gets POST /people?x=...
    upstream gets content-type: application/json
    upstream gets x-user-id: 7
    upstream gets no x-debug
    upstream gets {"a":1}
    upstream answers 201 x-powered-by: PHP, x-b: 2
    upstream answers one
    upstream answers two
    gets x-b: 2
    gets no x-powered-by
    gets one
    gets two
GET / x-refuse: 1 # 403 lua_response
    upstream gets nothing
    gets no
GET / # 200
    gets {..."x-user-id",...}
GET / # 503 upstream_reset_before_response_started{...}
    upstream is down
GET / # 503 upstream_reset_before_response_started{...}
    upstream resets
GET / # 504 response_timeout
    upstream is slow
GET / # 404 route_not_found
    upstream is missing"#;
    const UNTRUE: [&str; 9] = [
        "GET / # 200\n    upstream gets GET /other",
        "GET / # 200\n    upstream gets x-user-id: 8",
        "GET / # 200\n    upstream gets no x-user-id",
        "GET / # 200\n    upstream gets {}",
        "GET / # 200\n    upstream gets nothing",
        "GET / x-refuse: 1 # 403 lua_response\n    upstream gets GET /",
        "GET / # 200\n    gets x-b: 1",
        "GET / # 200\n    gets no content-type",
        "GET / # 200 other_details",
    ];
    let example =
        |block: &str| Example { filters: vec![lua(SCRIPT).into()], files: vec![], cases: case::cases(block) };
    assert_eq!(run(&example(TRUE)).await.wrong, Vec::<String>::new());
    let wrong = run(&example(&UNTRUE.join("\n"))).await.wrong;
    assert_eq!(wrong.len(), UNTRUE.len(), "{}", wrong.join("\n"));
}

/// A try of an example.
struct Run {
    /// What Envoy did in another way than the text says.
    wrong: Vec<String>,
    /// From the first request to the last response.
    took: Duration,
}

impl Run {
    /// Whether it went wrong because this machine stalled: a limit of two a second lets one more through after half of one.
    /// Nothing else that is wrong is tried again.
    fn may_be_late(&self, example: &Example) -> bool {
        !self.wrong.is_empty() && example.counts_seconds() && self.took >= Duration::from_millis(500)
    }
}

/// Tries an example on a new Envoy.
async fn run(example: &Example) -> Run {
    let mut config = config(example);
    let mut servers = Vec::new();
    for (cluster, file) in &example.files {
        let server = FileServer::start(format!("{file}\n")).await.unwrap();
        config = config.cluster(cluster, server.addr()).concurrency(1);
        servers.push(server);
    }
    let envoy = Envoy::start(config).await.unwrap();
    if !servers.is_empty() {
        // By the worker, and by the main thread, whichever is first.
        envoy.wait_for_stat(FETCHED, |fetched| fetched == 2).await.unwrap();
    }
    let client: Client = envoy.http1();
    let mut seen = Vec::new();
    let start = Instant::now();
    for case in &example.cases {
        envoy.upstream().forget_requests();
        let reply = reply(&case.upstream);
        envoy.upstream().respond_with(move |_| reply.clone());
        let response = send(case, &client).await;
        seen.push((response, envoy.upstream().requests()));
    }
    let took = start.elapsed();
    let logged = envoy.wait_for_access_log(example.cases.len()).await.unwrap();
    let mut wrong = Vec::new();
    for ((case, (response, forwarded)), logged) in example.cases.iter().zip(seen).zip(logged) {
        let mut differs = String::new();
        if !case::like(&format!("{} {}", case.status, case.details), &logged) {
            differs = format!("\n  is {logged}");
        }
        let answer = Seen { first: String::new(), fields: &response.headers, body: response.body.as_ref() };
        differs += &case.answer.differences("gets", &answer);
        match (&case.forwarded, forwarded.first()) {
            (None, None) => {}
            (None, Some(_)) => differs += "\n  the upstream gets it",
            (Some(expected), Some(received)) => {
                let request = Seen {
                    first: format!("{} {}", received.method, received.path),
                    fields: &received.headers,
                    body: received.body.as_ref(),
                };
                differs += &expected.differences("upstream gets", &request);
            }
            (Some(expected), None) if expected.is_anything() => {}
            (Some(_), None) => differs += "\n  the upstream gets nothing",
        }
        if !differs.is_empty() {
            wrong.push(format!("{}{differs}", case.line));
        }
    }
    Run { wrong, took }
}

/// The filters of an example, and routes to upstreams in all states.
fn config(example: &Example) -> Config {
    let route = |state: &str, action: Value| {
        let header = json!({ "name": STATE, "string_match": { "exact": state } });
        json!({ "match": { "prefix": "/", "headers": [header] }, "route": action })
    };
    let reachable = json!({ "name": STATE, "present_match": false });
    let routes = json!([
        route("down", json!({ "cluster": "down" })),
        route("slow", json!({ "cluster": "upstream", "timeout": "0.1s" })),
        { "match": { "prefix": "/", "headers": [reachable] }, "route": { "cluster": "upstream" } },
    ]);
    let hosts = json!([{ "name": "all", "domains": ["*"], "routes": routes }]);
    let listener = Listener::new()
        .access_log("%RESPONSE_CODE% %RESPONSE_CODE_DETAILS%")
        .connection_manager(json!({ "route_config": { "virtual_hosts": hosts } }));
    let listener = example.filters.iter().cloned().fold(listener, Listener::filter);
    // Nobody listens on port 1.
    Config::from(listener).cluster("down", ([127, 0, 0, 1], 1).into())
}

/// How many files of keys were fetched.
const FETCHED: &str = "wasmcustom.meshgate.quota.keys.fetched";

/// The request header that chooses the state of the upstream.
const STATE: &str = "x-upstream-state";

async fn send(case: &Case, client: &Client) -> Response {
    let request = client.request(&case.method, &case.target);
    let mut request = case.fields.iter().fold(request, |request, (name, value)| match name.as_str() {
        "host" => request.host(value),
        _ => request.header(name, value),
    });
    if let Some(body) = &case.body {
        request = request.body(body.clone());
    }
    if let Upstream::Is(state) = &case.upstream {
        request = request.header(STATE, state);
    }
    request.send().await.unwrap_or_else(|error| panic!("{}: {error:#}", case.line))
}

/// What the upstream is told: not by a header of the request, which a filter may remove.
fn reply(upstream: &Upstream) -> Option<Reply> {
    match upstream {
        Upstream::Echoes => None,
        Upstream::Resets => Some(Reply::status(200).reset()),
        // Longer than the route's timeout.
        Upstream::Is(_) => Some(Reply::status(200).delay(Duration::from_secs(10))),
        Upstream::Answers { status, fields, body } => {
            let reply =
                fields.iter().fold(Reply::status(*status), |reply, (name, value)| reply.header(name, value));
            Some(reply.body(body.clone().unwrap_or_default()))
        }
    }
}
