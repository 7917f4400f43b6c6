//! What the tests of this filter share: documents, answers, and that no VM has died.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meshgate_e2e::{Client, Envoy, Listener, Response, Value, Wasm, burst, json, paths};
use sha2::{Digest as _, Sha256};

/// The name of the library, of the plugin, and so of what it counts.
pub const MODULE: &str = "api_key_quota";

/// What a user writes for a key.
pub fn sha256(key: impl AsRef<[u8]>) -> String {
    Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The block of the page that begins with this line.
pub fn shown(fence: &str) -> String {
    let page = std::fs::read_to_string(paths::workspace().join("filters/api-key-quota/README.md")).unwrap();
    let (_, rest) = page.split_once(&format!("\n{fence}\n")).unwrap_or_else(|| panic!("no block {fence}"));
    rest.split_once("\n```").unwrap().0.to_owned()
}

/// A document with these plans and these consumers (name and plan); the key of `acme` is `acme-key`, and known as
/// `acme-1`.
pub fn document(plans: Value, consumers: &[(&str, &str)]) -> Value {
    let consumer = |(name, plan): &(&str, &str)| {
        let key = json!({ "id": format!("{name}-1"), "sha256": sha256(format!("{name}-key")) });
        json!({ "name": name, "plan": plan, "keys": [key] })
    };
    json!({ "plans": plans, "consumers": consumers.iter().map(consumer).collect::<Vec<_>>() })
}

/// A document with one plan, of these limits, that `acme` has.
pub fn limited(limits: Value) -> Value {
    document(json!({ "plan": { "limits": limits } }), &[("acme", "plan")])
}

/// A document without limits that looks for keys in all kinds of places.
pub fn everywhere() -> Value {
    let places = json!([
        { "header": "x-api-key" }, { "header": "authorization", "scheme": "ApiKey" }, { "query": "api_key" },
    ]);
    with(document(json!({ "free": {} }), &[("acme", "free")]), "/keys_from", places)
}

/// The document with what stands at a JSON pointer replaced or added; `null` removes it.
pub fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    match (document.pointer_mut(parent), value) {
        (Some(Value::Object(object)), Value::Null) => drop(object.remove(name)),
        (Some(Value::Object(object)), value) => drop(object.insert(name.to_owned(), value)),
        (Some(Value::Array(array)), value) => array[name.parse::<usize>().expect("an index")] = value,
        (other, _) => panic!("{pointer}: nothing can be set in {other:?}"),
    }
    document
}

/// The filter with a document.
pub fn quota(document: Value) -> Wasm {
    Wasm::module(MODULE).config(document)
}

/// A listener with the filter, whose access log has status and details.
pub fn listener(document: Value) -> Listener {
    Listener::new().filter(quota(document)).access_log("%RESPONSE_CODE% %RESPONSE_CODE_DETAILS%")
}

/// Checks that a response is a problem with this status and this `detail`.
#[track_caller]
pub fn assert_problem(response: &Response, status: u16, detail: &str) {
    assert_eq!(
        (response.status, response.header("content-type")),
        (status, Some("application/problem+json"))
    );
    let problem = response.json();
    assert_eq!((&problem["status"], &problem["detail"]), (&json!(status), &json!(detail)));
    let title = problem["title"].as_str().expect("a title");
    assert!(!title.is_empty(), "{problem}");
    assert_eq!(response.headers.all("content-length"), [response.body.len().to_string()]);
}

/// A `RateLimit` or `RateLimit-Policy` field: for each limit in order its name and its parameters.
///
/// Reads the list of strings with integer parameters that the draft says they are (RFC 9651), and nothing else.
pub fn parse(field: &str) -> Vec<(String, BTreeMap<String, u64>)> {
    let member = |member: &str| {
        let (name, parameters) =
            member.strip_prefix('"').and_then(|rest| rest.split_once('"')).expect("a string");
        let parameters = parameters.split(';').skip(1).map(|parameter| {
            let (name, number) = parameter.split_once('=').expect("a parameter");
            (name.to_owned(), number.parse().expect("an integer"))
        });
        (name.to_owned(), parameters.collect())
    };
    field.split(", ").map(member).collect()
}

/// The one value of a field of a response.
#[track_caller]
pub fn one<'a>(response: &'a Response, name: &str) -> &'a str {
    let values = response.headers.all(name);
    let [value] = values.as_slice() else { panic!("{name}: {values:?}") };
    value
}

/// What is left of each limit, in all fields together.
#[track_caller]
pub fn left(response: &Response) -> Vec<(String, u64)> {
    let limits = parse(&response.headers.all("ratelimit").join(", "));
    limits.into_iter().map(|(name, parameters)| (name, parameters["r"])).collect()
}

/// Envoy's clock and ours are one.
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970")
}

/// The VMs of an Envoy, to see later that all are alive.
pub struct Vms<'a> {
    envoy: &'a Envoy,
    workers: usize,
    active: u64,
}

impl<'a> Vms<'a> {
    /// Those that there are now.
    pub async fn of(envoy: &'a Envoy) -> Self {
        let workers = envoy.stat("server.concurrency").await.unwrap();
        // One for each worker, for the main thread, and the one that they are cloned from.
        let active = envoy.wait_for_stat(ACTIVE, |active| active == workers + 2).await.unwrap();
        Self { envoy, workers: workers.try_into().unwrap(), active }
    }

    /// All of them still are, no callback has failed, nothing was made anew, and each worker answers `acme`.
    pub async fn assert_alive(&self) {
        let Self { envoy, .. } = self;
        let log = envoy.log();
        for failure in ["Function: ", "Wasm VM failed", "panicked", "Plugin configured to fail closed"] {
            assert!(!log.contains(failure), "{failure:?} in\n{log}");
        }
        assert_eq!(envoy.stat(ACTIVE).await.unwrap(), self.active);
        assert_eq!(
            envoy.stat(CREATED).await.unwrap(),
            self.active + 1,
            "with the one that tried the configuration"
        );
        assert_eq!(envoy.stat("wasmcustom.meshgate.quota.errors").await.unwrap(), 0);
        let before = self.accepted().await;
        for _ in 0..200 {
            let response = envoy.get("/alive").header("x-api-key", "acme-key").send().await.unwrap();
            assert_eq!(response.status, 200);
            let now = self.accepted().await;
            if now.iter().zip(&before).all(|(now, before)| now > before) {
                return;
            }
        }
        panic!("a worker got no connection");
    }

    /// The connections that each worker has had.
    async fn accepted(&self) -> Vec<u64> {
        let stats = self.envoy.stats("listener.127.0.0.1_0.worker_").await.unwrap();
        let count = |worker| stats[&format!("listener.127.0.0.1_0.worker_{worker}.downstream_cx_total")];
        (0..self.workers).map(count).collect()
    }
}

const ACTIVE: &str = "wasm.envoy.wasm.runtime.v8.active";
const CREATED: &str = "wasm.envoy.wasm.runtime.v8.created";

/// How many of so many requests of this consumer, sent by 64 clients, pass; all others must get 429.
pub async fn passing(client: &Client, consumer: &str, requests: usize) -> usize {
    let key = format!("{consumer}-key");
    let statuses = burst(client, 64, requests, move |client, _| {
        let request = client.get("/").header("x-api-key", &key);
        async move { anyhow::Ok(request.send().await?.status) }
    });
    let statuses = statuses.await.unwrap();
    let passed = statuses.iter().filter(|&&status| status == 200).count();
    let refused = statuses.iter().filter(|&&status| status == 429).count();
    assert_eq!((statuses.len(), passed + refused), (requests, requests));
    passed
}
