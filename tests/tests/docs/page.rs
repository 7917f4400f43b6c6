//! The pages, and the examples on them.

use std::fs;
use std::path::{Path, PathBuf};

use meshgate_e2e::{Filter, Value, Wasm, paths};

use crate::case::{Case, cases};

/// A page, and the module that its documents are for.
pub struct Page {
    pub path: PathBuf,
    /// `None` on a page about all of them, where each document says whose it is.
    module: Option<String>,
}

/// A configuration and the requests under it.
pub struct Example {
    pub filters: Vec<Filter>,
    /// Files that clusters serve, by their names.
    pub files: Vec<(String, String)>,
    pub cases: Vec<Case>,
}

/// The README of the project, the pages in `docs/` and the README of each filter.
pub fn pages() -> Vec<Page> {
    let mut pages = vec![Page { path: "README.md".into(), module: None }];
    for page in fs::read_dir(paths::workspace().join("docs")).unwrap() {
        let path = page.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(Page { path, module: None });
        }
    }
    for filter in fs::read_dir(paths::workspace().join("filters")).unwrap() {
        let filter = filter.unwrap();
        let module = filter.file_name().to_str().unwrap().replace('-', "_");
        pages.push(Page { path: filter.path().join("README.md"), module: Some(module) });
    }
    pages
}

impl Example {
    /// Whether it has a limit of so many a second, such as `"rate": "2/s"`.
    pub fn counts_seconds(&self) -> bool {
        format!("{:?}", self.filters).contains("/s\\\"")
    }
}

impl Page {
    /// Whether it is the page of one filter, which shows how that is configured.
    pub fn is_of_a_filter(&self) -> bool {
        self.module.is_some()
    }

    /// Its examples, in their order.
    pub fn examples(&self) -> Vec<Example> {
        let mut examples: Vec<Example> = Vec::new();
        // Those of other filters, which stand in front of the page's own.
        let mut others: Vec<Filter> = Vec::new();
        let mut files: Vec<(String, String)> = Vec::new();
        for (fence, block) in blocks(&read(&self.path)) {
            match fence.as_str() {
                "json config" => {
                    let mut filters = std::mem::take(&mut others);
                    let module = self.module.as_ref().expect("this page has no filter of its own: name one");
                    filters.push(wasm(module, &block));
                    examples.push(Example { filters, files: std::mem::take(&mut files), cases: vec![] });
                }
                "yaml filter" => {
                    examples.push(Example { filters: entries(&block), files: vec![], cases: vec![] })
                }
                "requests" => {
                    let example = examples.last_mut().expect("a configuration stands above its requests");
                    assert!(example.cases.is_empty(), "requests of no configuration:\n{block}");
                    example.cases = cases(&block);
                }
                fence if fence.starts_with("jsonl file ") => {
                    files.push((fence.replace("jsonl file ", ""), block));
                }
                fence => {
                    let Some(filter) = fence.strip_prefix("json config ") else { continue };
                    let filter = wasm(&filter.replace('-', "_"), &block);
                    match self.module {
                        Some(_) => others.push(filter),
                        None => {
                            examples.push(Example { filters: vec![filter], files: vec![], cases: vec![] })
                        }
                    }
                }
            }
        }
        assert!(files.is_empty(), "{}: a file of no configuration", self.path.display());
        assert!(others.is_empty(), "{}: a configuration of another filter stands alone", self.path.display());
        examples
    }
}

/// The fenced blocks of a page: what stands behind the fence, and the text.
pub fn blocks(page: &str) -> Vec<(String, String)> {
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

/// A module with its document. What the document says about holding headers is said to Envoy as well.
fn wasm(module: &str, document: &str) -> Filter {
    const OPTION: &str = "allow_on_headers_stop_iteration";
    let filter = Wasm::module(module).config_text(document);
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let holds_headers = document[OPTION] == true;
    if holds_headers { filter.allow_on_headers_stop_iteration() } else { filter }.into()
}

/// Entries of `http_filters`, with the modules where they were built.
fn entries(yaml: &str) -> Vec<Filter> {
    let list: Vec<Value> = yaml_serde::from_str(yaml).unwrap();
    let entry = |mut entry: Value| {
        // Envoy's own filters have none.
        if let Some(file) = entry.pointer_mut("/typed_config/config/vm_config/code/local/filename") {
            let module = Path::new(file.as_str().expect("a file")).file_stem().expect("the file of a module");
            *file = paths::module(module.to_str().unwrap()).unwrap().to_str().unwrap().into();
        }
        entry.into()
    };
    list.into_iter().map(entry).collect()
}

/// A file of the workspace.
pub fn read(page: &Path) -> String {
    fs::read_to_string(paths::workspace().join(page)).unwrap()
}
