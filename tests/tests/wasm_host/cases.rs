//! The requests that are sent through both.

use meshgate_e2e::{Value, json, paths};
use meshgate_wasm_host::{Failure, Fields, Request, Response};

use crate::Filter;

/// A request, and what the upstream does.
#[derive(Clone)]
pub struct Case {
    pub name: String,
    pub request: Request,
    pub reply: Response,
    pub fails: Option<Failure>,
}

impl Case {
    pub fn get(path: &str) -> Self {
        let mut request = Request::new("GET", path);
        request.headers = [("x-request-id", "4f1c"), ("te", "trailers")].into_iter().collect();
        let reply = Response { status: 200, ..Response::default() };
        Self { name: path.to_owned(), request, reply, fails: None }
    }
}

/// The filters and the steps of a filter's suite. What needs another clock has none here.
pub fn of_suite(name: &str) -> (Vec<Filter>, Vec<Case>) {
    let file = paths::workspace().join("filters").join(name).join("tests.yaml");
    let suite: Value = yaml_serde::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let filter =
        |filter: &Value| (filter["module"].as_str().unwrap().replace('-', "_"), filter["config"].clone());
    let filters = suite["filters"].as_array().unwrap().iter().map(filter).collect();
    let mut cases = Vec::new();
    for test in suite["tests"].as_array().unwrap() {
        let own = [test.clone()];
        for step in test["steps"].as_array().map_or(&own[..], Vec::as_slice) {
            let upstream = [&step["upstream"], &test["upstream"], &suite["upstream"]];
            let upstream = upstream.into_iter().find(|said| !said.is_null()).unwrap_or(&Value::Null);
            let case = case(test["name"].as_str().unwrap(), &step["request"], upstream);
            for _ in 0..step["repeat"].as_u64().unwrap_or(1) {
                cases.push(case.clone());
            }
        }
    }
    (filters, cases)
}

fn case(name: &str, request: &Value, upstream: &Value) -> Case {
    let (body, is_json) = body(request);
    let method = request["method"].as_str().unwrap_or(if body.is_some() { "POST" } else { "GET" });
    let mut case = Case::get(request["path"].as_str().unwrap());
    case.name = name.to_owned();
    method.clone_into(&mut case.request.method);
    fields(&request["headers"], is_json, &mut case.request.headers);
    case.request.body = body.into_iter().collect();
    case.request.chunked = request["chunked"] == true;
    fields(&request["trailers"], false, &mut case.request.trailers);
    let (body, is_json) = self::body(upstream);
    case.reply.status = upstream["status"].as_u64().map_or(200, |status| status.try_into().unwrap());
    fields(&upstream["headers"], is_json, &mut case.reply.headers);
    case.reply.body = body.into_iter().collect();
    case.reply.chunked = upstream["chunked"] == true;
    fields(&upstream["trailers"], false, &mut case.reply.trailers);
    case.fails = upstream["fails"].as_str().map(|how| match how {
        "connection" => Failure::Connection,
        "timeout" => Failure::Timeout,
        "no_route" => Failure::NoRoute,
        other => panic!("{other}"),
    });
    case
}

fn body(said: &Value) -> (Option<Vec<u8>>, bool) {
    match (said["body"].as_str(), &said["json"]) {
        (Some(text), _) => (Some(text.as_bytes().to_vec()), false),
        (None, Value::Null) => (None, false),
        (None, json) => (Some(json.to_string().into_bytes()), true),
    }
}

fn fields(said: &Value, is_json: bool, into: &mut Fields) {
    for (name, value) in said.as_object().into_iter().flatten() {
        match value {
            Value::Array(values) => values.iter().for_each(|value| into.add(name, value.as_str().unwrap())),
            value => into.set(name, value.as_str().unwrap()),
        }
    }
    if is_json && into.first("content-type").is_none() {
        into.set("content-type", "application/json");
    }
}

/// Scripts for the probe: each on requests and on responses, with bodies in parts, without bodies, and with trailers.
pub fn of_probe(hold_head: bool) -> Vec<Case> {
    let call = json!({ "http_call": { "cluster": "upstream", "path": "/side" } });
    let wait = json!({ "once": [call, "wait"] });
    let window = json!({ "window": { "limit": 100_000 } });
    let whole = json!({ "whole": { "limit": 100_000, "hold_head": hold_head } });
    let scripts = |side: &str| {
        let (head, body, trailers) =
            (format!("{side}_head"), format!("{side}_body"), format!("{side}_trailers"));
        vec![
            json!({}),
            json!({ head.clone(): [{ "set": ["x-head", "1"] }] }),
            json!({ head.clone(): [whole], body.clone(): ["upper_body"] }),
            json!({ head.clone(): [whole], body.clone(): ["read_body", { "set_body": "ANOTHER BODY OF 18" }] }),
            json!({ head.clone(): [whole], body.clone(): ["upper_body", wait] }),
            json!({ head.clone(): [window], body.clone(): ["upper_body"] }),
            json!({ head.clone(): [window], body.clone(): [{ "hold_until": 12 }] }),
            json!({ head.clone(): [wait] }),
            json!({ head.clone(): [wait], "callout": [window], body.clone(): ["upper_body"] }),
            json!({ head.clone(): [window], body.clone(): [wait] }),
            json!({ head.clone(): [window], trailers.clone(): [{ "set": ["x-trailer", "2"] }] }),
            json!({ head.clone(): [window], trailers: [wait] }),
            json!({ head.clone(): [{ "reply": { "status": 418, "headers": [["x-own", "1"]], "body": "short" } }] }),
            json!({ head.clone(): [{ "reply": { "status": 403 } }] }),
            json!({ head.clone(): [whole], body.clone(): [{ "reply": { "status": 422, "body": "no" } }] }),
            json!({ head: [wait], "callout": [{ "reply": { "status": 401, "body": "late" } }] }),
        ]
    };
    let parts = || ["one two ", "three ", "four"].map(|part| part.as_bytes().to_vec()).to_vec();
    let mut cases = Vec::new();
    for (side, script) in ["request", "response"]
        .into_iter()
        .flat_map(|side| scripts(side).into_iter().map(move |script| (side, script)))
    {
        for shape in ["none", "whole", "parts", "trailers", "head"] {
            let mut case = Case::get("/probe");
            case.name = format!("{side}, {shape}: {script}");
            case.request.headers.set("x-probe", script.to_string());
            let is_request = side == "request";
            match shape {
                "none" => {}
                "head" if is_request => continue,
                "head" => case.request.method = "HEAD".to_owned(),
                _ if is_request => {
                    case.request.method = "POST".to_owned();
                    case.request.body =
                        if shape == "whole" { vec![b"one two three four".to_vec()] } else { parts() };
                    case.request.chunked = shape != "whole";
                    if shape == "trailers" {
                        case.request.trailers.set("x-sum", "1");
                    }
                }
                _ => {
                    case.reply.body =
                        if shape == "whole" { vec![b"one two three four".to_vec()] } else { parts() };
                    case.reply.chunked = shape != "whole";
                    if shape == "trailers" {
                        case.reply.trailers.set("x-sum", "1");
                    }
                }
            }
            cases.push(case);
        }
    }
    cases
}
