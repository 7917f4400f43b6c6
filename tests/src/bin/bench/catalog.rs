//! The lanes. A new one is one more entry here.

use meshgate_e2e::{Value, json, lua, typed_filter};

use crate::lanes::{Budget, HOST_CALLS, Lane, NOOP, OURS, OURS_KEY_ONLY, Traffic};
use crate::workload::quota::{self, Limits};
use crate::workload::tokens;

/// All of them, those of a filter together.
pub fn lanes() -> Vec<Lane> {
    [none(), api_key_quota(), jwt(), keys(), body(), transform(), error_response(), dlp(), gateway()]
        .into_iter()
        .flatten()
        .collect()
}

/// What the others are compared with.
fn none() -> Vec<Lane> {
    vec![
        Lane::new("none", "bare", "no filter").footprint(),
        Lane::new("none", NOOP, "a module that does nothing, on our host layer: one callback")
            .module("noop", json!({}))
            .footprint(),
        Lane::new("none", "noop_sdk", "the same on the Rust SDK, which exports every callback")
            .module("noop_sdk", json!({})),
        Lane::new("none", "header_mutation", "Envoy's own: one request header set").filter(typed_filter(
            "header_mutation",
            "header_mutation.v3.HeaderMutation",
            json!({ "mutations": { "request_mutations": [{ "append": {
                "header": { "key": "x-consumer-name", "value": "somebody" },
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            } }] } }),
        )),
    ]
}

fn api_key_quota() -> Vec<Lane> {
    const GROUP: &str = "api-key-quota";
    let lanes = [
        Lane::new(GROUP, "bare_key", "no filter; the request carries the key"),
        Lane::new(GROUP, "local_ratelimit", "Envoy's own: one token bucket, chosen by the key").filter(
            typed_filter("local_ratelimit", "local_ratelimit.v3.LocalRateLimit", quota::token_bucket()),
        ),
        Lane::new(
            GROUP,
            "api_key_auth",
            "Envoy's own: the key looked up and removed, the consumer's name set",
        )
        .filter(typed_filter("api_key_auth", "api_key_auth.v3.ApiKeyAuth", quota::key_auth())),
        Lane::new(GROUP, "lua", "a script that does what api_key_quota does").filter(lua(&quota::script())),
        Lane::new(GROUP, HOST_CALLS, "a module that makes the host calls of api_key_quota, and nothing else")
            .module("hostcalls", json!({})),
        Lane::new(GROUP, OURS_KEY_ONLY, "ours: key check, identity headers")
            .module("api_key_quota", quota::quota(Limits::None)),
        Lane::new(GROUP, OURS, "ours: key check, identity headers, a rate and a monthly quota")
            .module("api_key_quota", quota::quota(Limits::Two))
            .budget(Budget::times(2.0, NOOP))
            .footprint(),
        Lane::new(GROUP, "quota_sliding", "ours: a quota in a sliding window")
            .module("api_key_quota", quota::quota(Limits::Sliding)),
        Lane::new(GROUP, "quota_concurrency", "ours: a limit of requests at the same time")
            .module("api_key_quota", quota::quota(Limits::Concurrency)),
        Lane::new(GROUP, "quota_per_ip", "ours: a rate of each address, in the table")
            .module("api_key_quota", quota::quota(Limits::PerIp)),
    ];
    lanes.map(|lane| lane.traffic(Traffic::Key)).into()
}

/// Tokens in the place of keys.
fn jwt() -> Vec<Lane> {
    const GROUP: &str = "jwt";
    let lane = |name, note, traffic| Lane::new(GROUP, name, note).traffic(traffic);
    let native =
        |cached| typed_filter("jwt_authn", "jwt_authn.v3.JwtAuthentication", tokens::jwt_authn(cached));
    vec![
        lane("bare_token", "no filter; the request carries a token", Traffic::Token),
        lane("jwt_authn", "Envoy's own: the token verified, RS256", Traffic::Token).filter(native(false)),
        lane("jwt_authn_cached", "Envoy's own, which remembers the token", Traffic::Token)
            .filter(native(true)),
        lane("quota_jwt", "ours: the token, RS256, verified before", Traffic::Token)
            .module("api_key_quota", tokens::quota("RS256"))
            .budget(Budget::over(OURS_KEY_ONLY, 4.0)),
        lane("quota_introspection", "ours: the token, asked about before", Traffic::Token).plugin(
            "api_key_quota",
            tokens::introspection(),
            tokens::environment(),
        ),
        lane("bare_rs256", "no filter; ever another token", Traffic::Rs256Tokens),
        lane("quota_rs256", "ours: each token verified, RS256", Traffic::Rs256Tokens)
            .module("api_key_quota", tokens::quota("RS256"))
            .budget(Budget::over(OURS_KEY_ONLY, 40.0)),
        lane("bare_es256", "no filter; ever another token", Traffic::Es256Tokens),
        lane("quota_es256", "ours: each token verified, ES256", Traffic::Es256Tokens)
            .module("api_key_quota", tokens::quota("ES256")),
    ]
}

/// Few keys and many.
fn keys() -> Vec<Lane> {
    const GROUP: &str = "keys";
    let lane = |name, note, number| {
        let (config, number) = quota::keys(number);
        Lane::new(GROUP, name, note).module("api_key_quota", config).traffic(Traffic::Key).keys(number)
    };
    let fetched = |name, note, number| {
        let lane = Lane::new(GROUP, name, note).module("api_key_quota", quota::key_file(name));
        lane.traffic(Traffic::Key).keys(number).fetched()
    };
    vec![
        lane("keys_1k", "ours: 1,000 keys", Some(1_000)),
        lane("keys_most", "ours: as many keys as a document may have", None)
            .budget(Budget::over("keys_1k", 1.0)),
        fetched("keys_1k_file", "ours: 1,000 keys of as many consumers, fetched from a file", 1_000),
        fetched("keys_1m_file", "ours: 1,000,000 keys of as many consumers, fetched from a file", 1_000_000)
            .budget(Budget::over("keys_1k_file", 1.0)),
    ]
}

/// Bodies that nobody changes.
fn body() -> Vec<Lane> {
    const GROUP: &str = "body";
    let lane = Lane::new;
    vec![
        lane(GROUP, "bare_10k", "no filter; an answer of 10 KiB of JSON").traffic(Traffic::Json10),
        lane(GROUP, "window_10k", "a module that reads the body as it passes")
            .module("identity", json!({ "body": "window" }))
            .traffic(Traffic::Json10),
        lane(GROUP, "identity_10k", "a module that holds the body, reads it and writes it back")
            .module("identity", json!({ "body": "whole" }))
            .traffic(Traffic::Json10),
        lane(GROUP, "bare_100k", "no filter; an answer of 100 KiB of JSON").traffic(Traffic::Json100),
        lane(GROUP, "window_100k", "as window_10k")
            .module("identity", json!({ "body": "window" }))
            .traffic(Traffic::Json100),
        lane(GROUP, "identity_100k", "as identity_10k")
            .module("identity", json!({ "body": "whole" }))
            .traffic(Traffic::Json100),
    ]
}

fn transform() -> Vec<Lane> {
    const GROUP: &str = "transform";
    const EDIT: &str = r#"
function envoy_on_response(handle)
  local body = handle:body()
  body:setBytes((body:getBytes(0, body:length()):gsub('"state":"open"', '"state":"shut"')))
end"#;
    const HEADER: &str = r#"
function envoy_on_request(handle)
  handle:headers():replace("x-consumer-name", "somebody")
end"#;
    let lane = Lane::new;
    let native = typed_filter(
        "transform",
        "transform.v3.TransformConfig",
        json!({
            "response_transformation": { "body_transformation": {
                "body_format": { "json_format": { "state": "shut" } }, "action": "MERGE",
            } },
        }),
    );
    let one_value = json!({ "rules": [{ "response": [{ "set": { "json": "/state", "to": "shut" } }] }] });
    let one_header =
        json!({ "rules": [{ "request": [{ "set": { "header": "x-consumer-name", "to": "somebody" } }] }] });
    let of_size = |names: [&'static str; 3], traffic, identity, plus_us| {
        let [envoy, script, ours] = names;
        [
            lane(GROUP, envoy, "Envoy's own: one value of the JSON set").filter(native.clone()),
            lane(GROUP, script, "a script that replaces it as text, without a look at the JSON")
                .filter(lua(EDIT)),
            lane(GROUP, ours, "ours: one value of the JSON set")
                .module("transform", one_value.clone())
                .budget(Budget::over(identity, plus_us)),
        ]
        .map(|lane| lane.traffic(traffic).expects(r#""state":"shut""#))
    };
    let mut lanes = vec![
        lane(GROUP, "lua_header", "a script that sets one request header").filter(lua(HEADER)),
        lane(GROUP, "transform_header", "ours: one request header set")
            .module("transform", one_header)
            .budget(Budget::times(1.0, "lua_header"))
            .footprint(),
    ];
    lanes.extend(of_size(["native_10k", "lua_10k", "transform_10k"], Traffic::Json10, "identity_10k", 25.0));
    lanes.extend(of_size(
        ["native_100k", "lua_100k", "transform_100k"],
        Traffic::Json100,
        "identity_100k",
        150.0,
    ));
    lanes
}

fn error_response() -> Vec<Lane> {
    const GROUP: &str = "error-response";
    const SCRIPT: &str = r#"
function envoy_on_request(handle)
  local id = handle:headers():get("x-request-id")
  handle:streamInfo():dynamicMetadata():set("errors", "id", id or "")
end
function envoy_on_response(handle)
  local headers = handle:headers()
  if headers:get(":status") < "500" then return end
  local id = (handle:streamInfo():dynamicMetadata():get("errors") or {}).id or ""
  headers:replace("content-type", "application/problem+json")
  headers:replace("cache-control", "no-store")
  handle:body(true):setBytes('{"type":"about:blank","title":"Service Unavailable","status":503,"request_id":"' .. id .. '"}')
end"#;
    let extension = |name: &str, message: &str, fields: Value| {
        let mut config = json!({ "@type": format!("type.googleapis.com/envoy.{message}") });
        config.as_object_mut().expect("it is one").extend(fields.as_object().cloned().unwrap_or_default());
        json!({ "name": name, "typed_config": config })
    };
    let answer = extension(
        "answer",
        "extensions.http.custom_response.local_response_policy.v3.LocalResponsePolicy",
        json!({
            "body_format": {
                "json_format": { "type": "about:blank", "title": "Service Unavailable", "status": "%RESPONSE_CODE%", "request_id": "%REQ(X-REQUEST-ID)%" },
                "content_type": "application/problem+json",
            },
            "response_headers_to_add": [{ "header": { "key": "cache-control", "value": "no-store" }, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD" }],
        }),
    );
    let status = extension("status", "type.matcher.v3.HttpResponseStatusCodeMatchInput", json!({}));
    let matcher = json!({ "matcher_list": { "matchers": [{
        "predicate": { "single_predicate": { "input": status, "value_match": { "exact": "503" } } },
        "on_match": { "action": answer },
    }] } });
    let custom = typed_filter(
        "custom_response",
        "custom_response.v3.CustomResponse",
        json!({ "custom_response_matcher": matcher }),
    );
    let replaced = |name, note| {
        Lane::new(GROUP, name, note).traffic(Traffic::Failure).expects(r#""title":"Service Unavailable""#)
    };
    vec![
        Lane::new(GROUP, "error_response", "ours, with no configuration: an answer of 200 passes")
            .module("error_response", json!({}))
            .budget(Budget::times(1.2, NOOP))
            .footprint(),
        Lane::new(GROUP, "bare_failure", "no filter; an error of the upstream").traffic(Traffic::Failure),
        replaced("custom_response", "Envoy's own: the error replaced by problem details").filter(custom),
        replaced("lua_failure", "a script that replaces it").filter(lua(SCRIPT)),
        replaced("error_replaced", "ours, with no configuration, and without a line in the log")
            .module("error_response", json!({ "log": "none" })),
    ]
}

fn dlp() -> Vec<Lane> {
    const GROUP: &str = "dlp";
    let ours =
        |name, note, traffic| Lane::new(GROUP, name, note).module("dlp", default_packs()).traffic(traffic);
    const MASK: &str = r#"
function envoy_on_response(handle)
  local body = handle:body()
  body:setBytes((body:getBytes(0, body:length()):gsub(("%d"):rep(16), ("*"):rep(16))))
end"#;
    // 100 KiB at 100 MB/s.
    const FLOOD_US: f64 = 1_024.0;
    let flood = Budget::over("window_100k", FLOOD_US);
    vec![
        Lane::new(GROUP, "bare_digits", "no filter; 100 KiB of digits").traffic(Traffic::Digits),
        Lane::new(GROUP, "bare_base64", "no filter; 100 KiB of base64").traffic(Traffic::Base64),
        Lane::new(GROUP, "bare_backslashes", "no filter; 100 KiB of backslashes")
            .traffic(Traffic::Backslashes),
        Lane::new(GROUP, "lua_100k_digits", "a script that masks each 16 digits, and knows no cards")
            .filter(lua(MASK))
            .traffic(Traffic::Digits)
            .expects("****************"),
        ours("dlp_10k", "ours: the default packs, nothing to be found", Traffic::Json10),
        ours("dlp_100k", "as dlp_10k", Traffic::Json100)
            .budget(Budget::over("window_100k", 350.0))
            .footprint(),
        ours("dlp_digits", "as dlp_10k; the budget is 100 MB/s", Traffic::Digits).budget(flood),
        ours("dlp_base64", "as dlp_10k; the budget is 100 MB/s", Traffic::Base64).budget(flood),
        ours("dlp_backslashes", "as dlp_10k; the budget is 100 MB/s", Traffic::Backslashes).budget(flood),
    ]
}

/// The packs that `meshgate_detect::DEFAULT_PACKS` names, masked in the bodies of responses.
fn default_packs() -> Value {
    json!({ "rules": [{ "find": ["payment", "us", "secrets"], "in": "response.body", "do": "mask" }] })
}

/// Four policies in one module, beside the same four in modules of their own.
fn gateway() -> Vec<Lane> {
    const GROUP: &str = "gateway";
    let (mut quota, errors) = (quota::quota(Limits::Two), json!({}));
    // Requests for larger bodies carry no key.
    quota["anonymous"] = json!({ "plan": "bench" });
    let transform =
        json!({ "rules": [{ "request": [{ "set": { "header": "x-team", "to": "somebody" } }] }] });
    let edits = json!({ "rules": [{ "response": [{ "set": { "json": "/state", "to": "shut" } }] }] });
    let chain = |transform: &Value| {
        [
            ("error_response", &errors),
            ("api_key_quota", &quota),
            ("dlp", &default_packs()),
            ("transform", transform),
        ]
        .map(|(module, config)| (module, config.clone()))
    };
    let pipeline = |transform: &Value| {
        json!({ "pipeline": [
            { "error-response": errors }, { "api-key-quota": quota }, { "dlp": default_packs() }, { "transform": transform },
        ] })
    };
    let lane = |name, note, traffic| Lane::new(GROUP, name, note).traffic(traffic);
    vec![
        lane("chain_key", "ours, four modules: key, limits, a header set", Traffic::Key)
            .modules(chain(&transform)),
        lane("gateway_key", "ours, one module: the same", Traffic::Key)
            .module("gateway", pipeline(&transform))
            .budget(Budget::times(1.0, "chain_key"))
            .footprint(),
        lane("chain_10k", "ours, four modules: key, limits, packs, one value of the JSON", Traffic::Json10)
            .modules(chain(&edits))
            .expects(r#""state":"shut""#),
        lane("gateway_10k", "ours, one module: the same", Traffic::Json10)
            .module("gateway", pipeline(&edits))
            .budget(Budget::times(1.0, "chain_10k"))
            .expects(r#""state":"shut""#),
    ]
}
