//! The host in which `meshgate test` runs modules, against a real Envoy: the same requests through both, and the client, the
//! upstream and the access log must see the same.
//!
//! The requests are those of the filters' own suites (`filters/*/tests.yaml`), without their expectations and on one proxy
//! for each suite, and scripts for the `probe` module about what pauses, is kept and goes on.

mod cases;
mod compare;

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meshgate_e2e::{Config, Envoy, Listener, Reply, Value, Wasm, json, paths};
use meshgate_wasm_host::{
    CallAnswer, Engine, Failure, Fields, Module, Options, Plugin, Proxy, Request, Response, Upstream,
};

use cases::Case;
use compare::{Seen, broken, of_envoy, of_host};

/// The same filters twice.
struct Both {
    envoy: Envoy,
    proxy: Proxy,
    logged: usize,
}

/// A filter: the name of its module, and its configuration.
type Filter = (String, Value);

const LOG: &str = "%RESPONSE_CODE_DETAILS%";

impl Both {
    async fn start(filters: &[Filter]) -> Self {
        let listener = Listener::new().access_log(LOG).http1_trailers();
        let route = |state: &str, action: Value| {
            let header = json!({ "name": STATE, "string_match": { "exact": state } });
            json!({ "match": { "prefix": "/", "headers": [header] }, "route": action })
        };
        let reachable = json!({ "name": STATE, "present_match": false });
        let routes = json!([
            route("connection", json!({ "cluster": "down" })),
            route("timeout", json!({ "cluster": "upstream", "timeout": "0.1s" })),
            { "match": { "prefix": "/", "headers": [reachable] }, "route": { "cluster": "upstream" } },
        ]);
        let hosts = json!([{ "name": "all", "domains": ["*"], "routes": routes }]);
        let listener = listener.connection_manager(json!({ "route_config": { "virtual_hosts": hosts } }));
        let wasm = |(module, config): &Filter| {
            let filter = Wasm::module(module).config(config.clone());
            if holds_headers(config) { filter.allow_on_headers_stop_iteration() } else { filter }
        };
        let listener = filters.iter().map(wasm).fold(listener, Listener::filter);
        // Nobody listens on port 1.
        let config = Config::from(listener).cluster("down", SocketAddr::from(([127, 0, 0, 1], 1)));
        let envoy = Envoy::start(config).await.unwrap();
        let plugin = |(module, config): &Filter| Plugin {
            module: Module::file(&Engine::new().unwrap(), &paths::module(module).unwrap()).unwrap(),
            name: module.clone(),
            vm_id: String::new(),
            configuration: config.to_string().into_bytes(),
            environment: vec![],
            holds_headers: holds_headers(config),
        };
        let engine_of_all: Vec<_> = filters.iter().map(plugin).collect();
        let options = Options { start: now(), ..Options::default() };
        let proxy = Proxy::start(&engine_of_all, &options).unwrap();
        Self { envoy, proxy, logged: 0 }
    }

    /// What is seen of a request on both.
    async fn seen(&mut self, case: &Case) -> (Seen, Seen) {
        (self.through_envoy(case).await, self.through_host(case))
    }

    async fn through_envoy(&mut self, case: &Case) -> Seen {
        self.envoy.upstream().forget_requests();
        let reply = case.reply.clone();
        // Longer than the route's timeout.
        let delay = Duration::from_secs(if case.fails == Some(Failure::Timeout) { 10 } else { 0 });
        self.envoy.upstream().respond_with(move |received| match received.path.as_str() {
            "/side" => Some(Reply::status(200).body("aside")),
            _ => Some(to_reply(&reply).delay(delay)),
        });
        let Request { method, path, authority, headers, .. } = &case.request;
        let request = self.envoy.http1().request(method, path).host(authority);
        let mut request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        if let Some(state) = state(case.fails) {
            request = request.header(STATE, state);
        }
        request = match case.request.body.as_slice() {
            [] => request,
            [whole] if !case.request.chunked => request.body(whole.clone()),
            parts => request.chunks(parts.to_vec(), Duration::from_millis(5)),
        };
        for (name, value) in case.request.trailers.iter() {
            request = request.trailer(name, value);
        }
        let response = request.send().await;
        self.logged += 1;
        let log = self.envoy.wait_for_access_log(self.logged).await.unwrap();
        let response = match response {
            Ok(response) => response,
            Err(error) if format!("{error:#}").contains("breaks off") => return broken(),
            Err(error) => panic!("{}: {error:#}", case.name),
        };
        let mut received = self.envoy.upstream().requests();
        received.retain(|received| received.path != "/side");
        of_envoy(&response, received.first(), log.last().unwrap())
    }

    fn through_host(&mut self, case: &Case) -> Seen {
        let mut request = case.request.clone();
        if let Some(state) = state(case.fails) {
            request.headers.add(STATE, state);
        }
        for (name, _) in case.request.trailers.iter() {
            request.headers.add("trailer", name);
        }
        let mut reply = case.reply.clone();
        for (name, _) in case.reply.trailers.iter() {
            reply.headers.add("trailer", name);
        }
        // Both have the same time, as far as that can be.
        let by = now().saturating_sub(self.proxy.now());
        self.proxy.advance(by).unwrap();
        self.proxy.answer_calls(|_| CallAnswer::Http {
            response: Response { status: 200, body: vec![b"aside".to_vec()], ..Response::default() },
            after: Duration::from_millis(1),
        });
        let upstream = match case.fails {
            Some(failure) => Upstream::Fails(failure),
            None => Upstream::Answers(&mut |_| reply.clone()),
        };
        let exchange = self.proxy.exchange(&request, upstream);
        of_host(&exchange.unwrap_or_else(|error| panic!("{}: {error}", case.name)))
    }
}

/// The request header that chooses a route.
const STATE: &str = "x-upstream-state";

fn state(failure: Option<Failure>) -> Option<&'static str> {
    failure.map(|failure| match failure {
        Failure::Connection => "connection",
        Failure::Timeout => "timeout",
        Failure::NoRoute => "missing",
        other => panic!("no route for {other:?}"),
    })
}

fn holds_headers(config: &Value) -> bool {
    config["allow_on_headers_stop_iteration"] == true
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn to_reply(response: &Response) -> Reply {
    let reply = Reply::status(response.status);
    let reply = response.headers.iter().fold(reply, |reply, (name, value)| reply.header(name, value));
    let reply = match response.body.as_slice() {
        [] => reply,
        [whole] if !response.chunked => reply.body(whole.clone()),
        parts => reply.chunks(parts.to_vec()),
    };
    response.trailers.iter().fold(reply, |reply, (name, value)| reply.trailer(name, value))
}

/// How often a case is tried. Into which parts a network cuts a body, and whether two requests come within the same hundredth of a second, is
/// not the same every time.
const TRIES: usize = 5;

async fn compare_all(filters: &[Filter], cases: &[Case]) {
    let mut both = Both::start(filters).await;
    let mut different = Vec::new();
    for case in cases {
        let (mut envoy, mut host) = both.seen(case).await;
        for _ in 1..TRIES {
            if envoy == host {
                break;
            }
            (envoy, host) = both.seen(case).await;
        }
        if envoy != host {
            different.push(format!("{}:\n{}", case.name, compare::differences(&envoy, &host)));
        }
    }
    assert!(different.is_empty(), "{} of {}:\n{}", different.len(), cases.len(), different.join("\n"));
}

async fn compare_suite(name: &str) {
    let (filters, cases) = cases::of_suite(name);
    assert!(cases.len() >= 4, "{}", cases.len());
    compare_all(&filters, &cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn api_key_quota() {
    compare_suite("api-key-quota").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transform() {
    compare_suite("transform").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dlp() {
    compare_suite("dlp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn error_response() {
    compare_suite("error-response").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway() {
    compare_suite("gateway").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_all() {
    let all = ["error-response", "api-key-quota", "dlp", "transform"].map(cases::of_suite);
    let filters: Vec<_> = all.iter().flat_map(|(filters, _)| filters.clone()).collect();
    let key = |mut case: Case| {
        case.request.headers.set("x-api-key", "demo-gold-key");
        case
    };
    let cases: Vec<_> = all.into_iter().flat_map(|(_, cases)| cases).map(key).collect();
    compare_all(&filters, &cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pauses_is_kept_and_goes_on() {
    compare_all(&[("probe".to_owned(), json!({}))], &cases::of_probe(false)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_held_for_bodies() {
    let config = json!({ "name": "holds" });
    let mut both = Both::start(&[("probe".to_owned(), config)]).await;
    let (envoy, host) = both.seen(&Case::get("/")).await;
    assert_eq!(envoy, host);
}

/// Two filters that keep bodies share one buffer.
#[tokio::test(flavor = "multi_thread")]
async fn two_filters_that_keep_bodies() {
    let probe = ("probe".to_owned(), json!({}));
    compare_all(&[probe.clone(), probe], &cases::of_probe(false)).await;
}

/// Something that is different is seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_difference_is_seen() {
    let (filters, _) = cases::of_suite("transform");
    let mut both = Both::start(&filters).await;
    let envoy = both.through_envoy(&Case::get("/v1/users/7")).await;
    for other in ["/v1/users/8", "/v1/users/7?a=1", "/v2"] {
        let host = both.through_host(&Case::get(other));
        assert_ne!(envoy, host);
        assert!(!compare::differences(&envoy, &host).is_empty());
    }
    let fields: Fields = [("x-a", "1")].into_iter().collect();
    let mut case = Case::get("/v1/users/7");
    case.reply.headers = fields;
    assert_ne!(envoy, both.through_host(&case));
}
