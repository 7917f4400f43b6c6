//! The dashboard of Grafana: whole, and about metrics that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use meshgate_e2e::{Config, Envoy, Value};
use tokio::time::sleep;

use super::*;

/// A panel's query, and how its result is called.
pub struct Query {
    pub panel: String,
    pub expr: String,
    pub legend: String,
}

pub fn dashboard() -> Value {
    serde_json::from_str(&read("grafana/dashboards/meshgate.json")).unwrap()
}

pub fn queries() -> Vec<Query> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let of_panel = |panel: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let query = |target: &Value| Query {
            panel: text(&panel["title"]),
            expr: text(&target["expr"]),
            legend: text(&target["legendFormat"]),
        };
        panel["targets"].as_array().unwrap().iter().map(query).collect::<Vec<_>>()
    };
    panels.iter().flat_map(of_panel).collect()
}

#[test]
fn the_dashboard_is_whole() {
    let sources: Value = yaml_serde::from_str(&read("grafana/datasources/prometheus.yml")).unwrap();
    let source = serde_json::json!({ "type": "prometheus", "uid": sources["datasources"][0]["uid"] });
    let dashboard = dashboard();
    let (mut ids, mut titles, mut taken) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()) && titles.insert(title), "twice: {title}");
        assert_eq!(panel["datasource"], source, "{title}");
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{title}");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{title} lies on another panel");
            }
        }
        let mut refs = BTreeSet::new();
        for target in panel["targets"].as_array().unwrap() {
            assert!(refs.insert(target["refId"].as_str().unwrap()), "{title}");
            assert_eq!(target["datasource"], source, "{title}");
        }
        assert!(!refs.is_empty(), "{title}");
    }
    for wanted in [
        "Requests by consumer plan",
        "Denials by reason",
        "Limits near exhaustion",
        "Findings by type",
        "Added latency",
    ] {
        assert!(titles.contains(wanted), "{wanted}");
    }
    let home = "/etc/grafana/provisioning/dashboards/meshgate.json";
    assert!(
        read("docker-compose.yml").contains(&format!("GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH: {home}\n"))
    );
}

/// Each name and label of each query is there, and has counted something, once there was traffic of all kinds.
#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_asks_for_what_envoy_has() {
    let bootstrap = with_built_modules(&read("meshgate.yaml"), "target/wasm32-wasip1/release");
    let envoy = Envoy::start(Config::yaml(&bootstrap).unwrap()).await.unwrap();
    envoy.upstream().respond_with(service::answer);
    let mut statuses = Vec::new();
    for (path, key) in [
        ("/items", None),
        ("/items", Some("demo-gold-key")),
        ("/users/7", Some("demo-gold-key")),
        ("/payments/7", Some("demo-gold-key")),
        ("/broken", Some("demo-gold-key")),
        ("/items", Some("demo-free-key")),
        ("/items", Some("demo-free-key")),
        ("/items", Some("demo-free-key")),
        ("/items", Some("demo-free-key")),
    ] {
        let request = envoy.get(path);
        let request = if let Some(key) = key { request.header("x-api-key", key) } else { request };
        statuses.push(request.send().await.unwrap().status);
    }
    assert_eq!(statuses, [401, 200, 200, 200, 500, 200, 200, 200, 429]);
    // Envoy adds what its workers have measured to its histograms every five seconds.
    let start = Instant::now();
    let (text, samples) = loop {
        let text = envoy.admin("/stats/prometheus").await.unwrap().text().to_owned();
        let samples: Vec<Sample> = text.lines().filter_map(Sample::parse).collect();
        let missing = missing(&samples);
        if missing.is_empty() {
            break (text, samples);
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{}", missing.join("\n"));
        sleep(Duration::from_millis(200)).await;
    };

    // As the README says, with no label that is not in its table.
    for (line, value) in [
        ("meshgate_quota_denied{reason=\"limit\"}", 1),
        ("meshgate_quota_denied{reason=\"key_missing\"}", 1),
        ("meshgate_quota_plan_allowed{plan=\"gold\"}", 4),
        ("meshgate_quota_plan_denied{plan=\"free\"}", 1),
        ("meshgate_quota_limit_near{limit=\"daily\"}", 2),
        ("meshgate_quota_limit_denied{limit=\"daily\"}", 1),
        ("meshgate_dlp{action=\"mask\",pack=\"payment\"}", 1),
        ("meshgate_dlp{action=\"replace\",pack=\"secrets\"}", 1),
        ("meshgate_errors_replaced{origin=\"upstream\"}", 1),
    ] {
        assert!(
            text.lines().any(|found| found == format!("{line} {value}")),
            "{line} {value}\n{}",
            ours(&text)
        );
    }
    for name in named_in_readme() {
        assert!(samples.iter().any(|sample| sample.name == name), "README.md has {name}");
    }
}

/// What the dashboard asks for and is not there, or has counted nothing.
fn missing(samples: &[Sample]) -> Vec<String> {
    let mut missing = Vec::new();
    for Query { panel, expr, legend } in queries() {
        let selectors = selectors(&expr);
        assert!(!selectors.is_empty(), "{panel}: {expr}");
        for selector in &selectors {
            // A few requests take less than a millisecond, of which Envoy counts none.
            let counts = |sample: &&Sample| sample.value > 0.0 || selector.name.ends_with("_time_sum");
            let found: Vec<_> =
                samples.iter().filter(|sample| selector.selects(sample)).filter(counts).collect();
            if found.is_empty() {
                missing.push(format!("{panel}: nothing is counted as {selector:?}"));
            }
            for label in grouped_by(&expr).iter().chain(&named(&legend)) {
                if !found.iter().all(|sample| sample.labels.contains_key(label)) {
                    missing.push(format!("{panel}: {selector:?} has no label {label}"));
                }
            }
        }
    }
    missing
}

fn ours(text: &str) -> String {
    let lines: Vec<_> =
        text.lines().filter(|line| line.starts_with("meshgate") && !line.ends_with(" 0")).collect();
    lines.join("\n")
}

/// The metrics in the README's table.
fn named_in_readme() -> Vec<String> {
    let readme = read("README.md");
    let rows = readme.lines().filter(|line| line.starts_with("| `meshgate_"));
    let names = rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`'));
    let names: Vec<_> = names.filter(|name| name.starts_with("meshgate_")).map(str::to_owned).collect();
    assert!(names.len() >= 5, "{names:?}");
    names
}

/// One line of Prometheus's text format.
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Sample {
    fn parse(line: &str) -> Option<Self> {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        (!name.starts_with('#')).then(|| Self {
            name: name.into(),
            labels: pairs(labels.trim_end_matches('}'))
                .map(|(label, not, value)| {
                    assert!(!not);
                    (label, value)
                })
                .collect(),
            value: value.parse().unwrap_or(f64::NAN),
        })
    }
}

/// A name and conditions on labels.
#[derive(Debug)]
struct Selector {
    name: String,
    /// A label, whether it must be other than this, and a value.
    labels: Vec<(String, bool, String)>,
}

impl Selector {
    fn selects(&self, sample: &Sample) -> bool {
        let value = |label: &str| sample.labels.get(label).map_or("", String::as_str);
        sample.name == self.name
            && self.labels.iter().all(|(label, not, wanted)| (value(label) == wanted) != *not)
    }
}

/// The selectors of a query. They are the names that are no functions, labels or keywords: ours and Envoy's.
fn selectors(expr: &str) -> Vec<Selector> {
    let part_of_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let mut found = Vec::new();
    let mut rest = strip_groups(expr);
    while let Some(start) = rest.find(part_of_name) {
        let name: String = rest[start..].chars().take_while(|char| part_of_name(*char)).collect();
        rest = rest[start + name.len()..].to_owned();
        if !(name.starts_with("envoy_") || name.starts_with("meshgate_")) {
            continue;
        }
        let mut labels = Vec::new();
        if let Some((inside, behind)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            labels = pairs(inside).collect();
            rest = behind.to_owned();
        }
        found.push(Selector { name, labels });
    }
    found
}

/// The query without its `by (...)`.
fn strip_groups(expr: &str) -> String {
    let mut parts = expr.split(" by (");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| text + part.split_once(')').unwrap().1)
}

fn grouped_by(expr: &str) -> Vec<String> {
    let groups = expr.split(" by (").skip(1).map(|part| part.split_once(')').unwrap().0);
    groups.flat_map(|group| group.split(',')).map(|label| label.trim().to_owned()).collect()
}

fn named(legend: &str) -> Vec<String> {
    legend.split("{{").skip(1).map(|part| part.split_once("}}").unwrap().0.to_owned()).collect()
}

/// `a="b",c!="d"`: label, whether it is negated, value. No value has a comma or a quote in it.
fn pairs(text: &str) -> impl Iterator<Item = (String, bool, String)> {
    text.split(',').filter(|pair| !pair.is_empty()).map(move |pair| {
        let (label, value) = pair.split_once('=').unwrap_or_else(|| panic!("{text}"));
        (label.trim_end_matches('!').to_owned(), label.ends_with('!'), value.trim_matches('"').to_owned())
    })
}
