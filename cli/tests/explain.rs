//! `meshgate explain`, as a user runs it: on the modules that `make build` makes.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test code")]

mod support;

use serde_json::{Value, json};
use support::{block, directory, meshgate, workspace};

#[test]
fn the_page_shows_what_it_prints() {
    let shown = block("text explain");
    let directory = directory(&[("explain.yaml", block("yaml explain.yaml").as_bytes())]);
    let args = [
        "explain",
        "-c",
        "transform=explain.yaml",
        "-X",
        "PUT",
        "-d",
        r#"{"fullName": "Ada"}"#,
        "--response-header",
        "x-powered-by: PHP",
        "/v1/users/7",
    ];
    let words = args.map(|arg| if arg.contains(' ') { format!("'{arg}'") } else { arg.to_owned() });
    let ran = meshgate(&args).current_dir(directory.path()).ran();
    assert_eq!(format!("$ meshgate {}\n{}{}", words.join(" "), ran.out, ran.err).trim_end(), shown);
    assert_eq!(ran.code, 0);
}

#[test]
fn the_page_shows_a_pipeline_as_it_prints_it() {
    let shown = block("text explain pipeline");
    let directory = directory(&[("pipeline.yaml", block("yaml pipeline.yaml").as_bytes())]);
    let args = [
        "explain",
        "-c",
        "gateway=pipeline.yaml",
        "--at",
        "2026-01-15T12:00:00Z",
        "-H",
        "x-api-key: alice-key",
        "--response-header",
        "content-type: text/plain",
        "--response-data",
        "paid with 4539578763621486",
        "/cards/1",
    ];
    let words = args.map(|arg| if arg.contains(' ') { format!("'{arg}'") } else { arg.to_owned() });
    let ran = meshgate(&args).current_dir(directory.path()).ran();
    assert_eq!(format!("$ meshgate {}\n{}{}", words.join(" "), ran.out, ran.err).trim_end(), shown);
}

const QUOTA: &str = r#"
plans: {free: {limits: [{name: burst, rate: 2/s}]}}
filter_state: true
consumers: [{name: alice, plan: free, keys: [{id: a, sha256: 72ee9d4355ccb9d3a4c9dbf37382e38e75c1b1a225b5bd1f729ee91bbda30c20}]}]
"#;

#[test]
fn a_chain_is_told_in_the_order_in_which_it_is_passed() {
    let files = [
        ("quota.yaml", QUOTA),
        ("error-response.yaml", "{}"),
        ("rules.yaml", "rules: [{request: [{set: {path: /v2}}], response: [{set: {header: x-b, to: '1'}}]}]"),
    ];
    let directory = directory(&files.map(|(name, text)| (name, text.as_bytes())));
    let explain = |args: &[&str]| {
        let chain =
            ["explain", "-c", "error-response.yaml", "-c", "quota.yaml", "-c", "transform=rules.yaml"];
        let ran = meshgate(&[&chain, args].concat()).current_dir(directory.path()).ran();
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
        ran.out
    };
    let out = explain(&["-H", "x-api-key: alice-key", "https://api.example.com/v1?a=1"]);
    let mut rest = out.as_str();
    for part in [
        "client sends  GET api.example.com/v1?a=1\n",
        "error-response, request  nothing\n",
        "api-key-quota, request\n    # key a of consumer alice\n    # plan free\n    # limit burst: 1 of 2 used\n    # allowed\n",
        "    - x-api-key\n    + x-consumer-name: alice\n",
        "    filter state meshgate.consumer = alice\n",
        "    metric ",
        "transform, request\n    # rules[0]\n    ~ :path: /v2?a=1 was /v1?a=1\n",
        "upstream gets  GET api.example.com/v2?a=1\nupstream answers  200\n",
        "transform, response\n    # rules[0]\n    + x-b: 1\n",
        "api-key-quota, response\n    + ratelimit-policy: ",
        "error-response, response  nothing\n    # 200 is no error\n",
        "client gets  200 (via_upstream)\n",
        "    x-b: 1\n",
    ] {
        let (_, behind) =
            rest.split_once(part).unwrap_or_else(|| panic!("{part:?} is not in the rest of\n{out}"));
        rest = behind;
    }
    // A credential is not told, and the rest of a chain that is not passed has no turn.
    assert!(!out.contains("alice-key"), "{out}");
    let out = explain(&["--output", "json", "-H", "x-api-key: wrong-key", "/v1"]);
    let out: Value = serde_json::from_str(&out).unwrap();
    let turns: Vec<_> =
        out["turns"].as_array().unwrap().iter().map(|turn| (&turn["filter"], &turn["side"])).collect();
    let expected = [
        ("error-response", "request"),
        ("api-key-quota", "request"),
        ("api-key-quota", "response"),
        ("error-response", "response"),
    ]
    .map(|(filter, side)| (json!(filter), json!(side)));
    assert_eq!(turns, expected.iter().map(|(filter, side)| (filter, side)).collect::<Vec<_>>());
    assert_eq!(out["turns"][1]["answers"], json!([{ "status": 401, "details": "meshgate_key_invalid" }]));
    assert_eq!((&out["client"]["status"], &out["upstream"]), (&json!(401), &Value::Null));
}

#[test]
fn failures_of_the_upstream_are_explained() {
    let directory = directory(&[("error-response.yaml", b"{}")]);
    let ran = meshgate(&["explain", "-c", "error-response.yaml", "--fails", "timeout", "/slow"])
        .current_dir(directory.path())
        .ran();
    assert!(ran.out.contains("proxy answers  504\n"), "{}", ran.out);
    assert!(ran.out.contains("client gets  504 (response_timeout)\n"), "{}", ran.out);
    assert!(ran.out.contains("application/problem+json"), "{}", ran.out);
}

#[test]
fn what_is_wrong_has_its_exit_status() {
    let directory =
        directory(&[("dlp.yaml", b"rules: [{find: nothing}]"), ("good.yaml", b"{}"), ("x.yaml", b"a: 1")]);
    for (args, code, said) in [
        (&["-c", "dlp.yaml", "/"][..], 1, "dlp.yaml:1:"),
        (&["-c", "gone.yaml", "/"], 2, "meshgate: cannot read gone.yaml"),
        (&["-c", "x.yaml", "/"], 2, "meshgate: --config: which filter x.yaml is for is not clear"),
        (&["-c", "error-response=good.yaml", "v1"], 2, "meshgate: URL: expected a path"),
        (
            &["-c", "error-response=good.yaml", "-H", "x", "/"],
            2,
            "meshgate: a header field: expected NAME: VALUE",
        ),
        (&["-c", "error-response=good.yaml", "--at", "noon", "/"], 2, "meshgate: --at: "),
        (
            &["-c", "error-response=good.yaml", "--modules", "nowhere", "/"],
            2,
            "meshgate: no error_response.wasm in nowhere",
        ),
    ] {
        let ran = meshgate(&[&["explain"], args].concat()).current_dir(directory.path()).ran();
        let text = format!("{}{}", ran.out, ran.err);
        assert_eq!((ran.code, text.starts_with(said)), (code, true), "{args:?}: {text}");
    }
}

/// The reasons that are told for each turn, `filter request: reason`, and all of the output.
fn reasons(files: &[(&str, &str)], args: &[&str]) -> (Vec<String>, Value) {
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    let directory = directory(&files);
    let configs = files.iter().flat_map(|(name, _)| ["-c", name]);
    let all: Vec<_> =
        ["explain", "--output", "json"].into_iter().chain(configs).chain(args.iter().copied()).collect();
    let ran = meshgate(&all).current_dir(directory.path()).ran();
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let out: Value = serde_json::from_str(&ran.out).unwrap();
    let mut reasons = Vec::new();
    for turn in out["turns"].as_array().unwrap() {
        for reason in turn["reasons"].as_array().unwrap() {
            let stage = reason["stage"].as_str().map_or(String::new(), |stage| format!("{stage}: "));
            let text = reason["text"].as_str().unwrap();
            reasons.push(format!(
                "{} {}: {stage}{text}",
                turn["filter"].as_str().unwrap(),
                turn["side"].as_str().unwrap()
            ));
        }
    }
    (reasons, out)
}

const FULL_QUOTA: &str = r#"
plans:
  free:
    allow: {path: "/v1/{rest...}"}
    limits: [{name: burst, rate: 2/s}, {name: writes, rate: 5/s, match: {method: POST}}, {name: tiny, rate: 1/h, cost: {header: x-cost}}]
access:
  - {match: {path: /v1/admin}, allow: {groups: admins}}
  - {match: {path: /v1/orders}, allow: {consumers: alice}}
consumers:
  - {name: alice, plan: free, keys: [{id: alice-1, sha256: 72ee9d4355ccb9d3a4c9dbf37382e38e75c1b1a225b5bd1f729ee91bbda30c20}]}
  - {name: root, plan: free, groups: [admins], keys: []}
"#;

#[test]
fn the_quota_tells_key_plan_rule_and_limits() {
    let files = [("quota.yaml", FULL_QUOTA)];
    let key = ["-H", "x-api-key: alice-key"];
    let known = ["key alice-1 of consumer alice", "plan free"];
    let told = |args: &[&str]| {
        let (reasons, out) = reasons(&files, &[&key, args].concat());
        assert!(!out.to_string().contains("alice-key"), "{out}");
        let reasons: Vec<_> = reasons
            .iter()
            .map(|all| all.strip_prefix("api-key-quota request: ").unwrap().to_owned())
            .collect();
        assert_eq!(reasons[..2], known);
        reasons[2..].to_vec()
    };
    assert_eq!(
        told(&["-H", "x-cost: 1", "/v1/orders"]),
        [
            "access[1] permits it",
            "limit writes: does not count it",
            "limit burst: 1 of 2 used",
            "limit tiny: 1 of 1 used",
            "allowed"
        ]
    );
    assert_eq!(
        told(&["-H", "x-cost: 3", "/v1/else"])[..3],
        ["limit writes: does not count it", "limit tiny: counts it as 3", "limit tiny"]
    );
    assert_eq!(told(&["/v1/admin"]), ["access[0]", "refused: access_denied"]);
    assert_eq!(told(&["/v2"]), ["the plan's allow has nothing for it", "refused: plan_forbids"]);
    let (nobody, _) = reasons(&files, &["-H", "x-api-key: mistyped", "/v1"]);
    assert_eq!(nobody, ["api-key-quota request: refused: key_invalid"]);
}

#[test]
fn a_transformation_tells_which_rules_it_is_for() {
    let rules = r#"
rules:
  - {match: {header: {x-beta: "1"}}, request: [{set: {header: x-a, to: "1"}}]}
  - {when: "request.method == 'PUT'", request: [{set: {header: x-b, to: "1"}}]}
  - {request: [{remove: {json: /secret}}], response: [{set: {header: x-c, to: "1"}}]}
  - {match: {status: 404}, response: [{set: {header: x-d, to: "1"}}]}
"#;
    let files = [("transform.yaml", rules)];
    let (told, _) = reasons(&files, &["-H", "x-beta: 1", "-d", "{\"a\": 1}", "/"]);
    assert_eq!(
        told,
        [
            "transform request: rules[0]",
            "transform request: rules[1]: when does not hold",
            "transform request: rules[2]",
            "transform request: rules[2]: an operation has nothing to work on",
            "transform response: rules[2]",
            "transform response: rules[3]: match does not hold",
        ]
    );
    let (told, out) =
        reasons(&files, &["-H", "content-type: application/json", "-d", "{", "--status", "404", "/"]);
    assert_eq!(out["client"]["details"], "meshgate_transform_invalid_json");
    assert_eq!(
        told[..4].join(", "),
        "transform request: rules[0]: match does not hold, transform request: rules[1]: when does not hold, transform request: rules[2], transform request: rules[2] refuses: invalid_json"
    );
    let (told, _) = reasons(
        &[("transform.yaml", "rules: [{match: {path: /a}, request: [{remove: {json: /b}}]}]")],
        &["/b"],
    );
    assert_eq!(told, ["transform request: rules[0]: match does not hold", "transform request: no rule"]);
    let (told, _) = reasons(
        &[("transform.yaml", "rules: [{request: [{remove: {json: /b}}]}]")],
        &["-H", "content-type: text/plain", "-d", "b", "/"],
    );
    assert_eq!(
        told,
        ["transform request: rules[0]", "transform request: body: left alone, as it is of no JSON type"]
    );
}

#[test]
fn data_loss_prevention_tells_what_it_found_and_where_but_not_what_it_was() {
    let rules = r#"
rules:
  - {name: cards, find: payment, in: [request.body, request.query], do: mask}
  - {find: contact.email, in: response.body, do: mask, match: {path: /mail}}
"#;
    let files = [("dlp.yaml", rules)];
    let card = "4539578763621486";
    let body = format!("{{\"card\": \"{card}\"}}");
    let (told, _) = reasons(&files, &["-d", &body, "/pay"]);
    assert_eq!(
        told,
        [
            "dlp request: rules[0] (cards)",
            "dlp request: request.query: nothing found",
            "dlp request: request.body: payment.card x1 mask by rules[0] (cards)",
            "dlp response: rules[1]: match does not hold",
            "dlp response: no rule",
        ]
    );
    assert!(!told.iter().any(|told| told.contains(card)), "{told:?}");
    let response = ["--response-header", "content-type: image/png", "--response-data", "x"];
    let (told, _) = reasons(&files, &[&response[..], &["/mail"]].concat());
    assert_eq!(told.last().unwrap(), "dlp response: response.body is of no type in bodies.content_types");
    let response = ["--response-header", "content-type: text/plain", "--response-data", "nothing"];
    let (told, _) = reasons(&files, &[&response[..], &["/mail"]].concat());
    assert_eq!(told.last().unwrap(), "dlp response: response.body: nothing found");
}

/// What nobody looked into is not said to have nothing in it.
#[test]
fn what_was_not_looked_into_has_no_finding_and_is_not_said_to_be_clean() {
    let rules = r#"
bodies: {undecodable: pass, over_limit: pass, max_held: 1024}
rules:
  - {name: all, find: payment, in: [response.body, request.headers], do: mask}
  - {name: drops, find: payment, in: response.body, do: drop}
  - {name: blocks, find: payment, in: request.query, do: block}
"#;
    let files = [("dlp.yaml", rules)];
    let gzip = ["--response-header", "content-type: application/json", "--response-header"];
    let gzip = [&gzip[..], &["content-encoding: gzip", "--response-data", "4539578763621486"]].concat();
    let (told, _) = reasons(&files, &[&gzip[..], &["/"]].concat());
    assert_eq!(told.last().unwrap(), "dlp response: response.body can't be decoded", "{told:?}");
    let large = format!("[\"4539578763621486{}\"]", " ".repeat(2_000));
    let large = ["--response-header", "content-type: application/json", "--response-data", &large];
    let (told, _) = reasons(&files, &[&large[..], &["/"]].concat());
    assert_eq!(
        told.last().unwrap(),
        "dlp response: response.body is longer than bodies.max_held",
        "{told:?}"
    );
    // The first place that is blocked ends it.
    let (told, out) = reasons(&files, &["-H", "x-card: 4539578763621486", "/?card=4539578763621486"]);
    assert_eq!(out["client"]["status"], 403);
    assert!(!told.iter().any(|told| told.contains("nothing found")), "{told:?}");
}

/// A file is read once, whatever it is.
#[test]
fn a_configuration_may_come_through_a_pipe() {
    for file in ["/dev/stdin", "-"] {
        let config = format!("dlp={file}");
        let ran = meshgate(&["explain", "-c", &config, "/"])
            .input(b"rules: [{find: payment, in: request.query, do: report}]");
        assert_eq!(ran.code, 0, "{file}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains("request.query: nothing found"), "{file}: {}", ran.out);
    }
}

#[test]
fn error_responses_tell_which_rule_answers_and_why_one_passes() {
    let rules = r#"
upstream_errors: keep_problems
maintenance: {match: {path: /closed}, from: 2026-01-01T00:00:00Z, until: 2026-02-01T00:00:00Z}
direct: [{match: {path: /old}, redirect: {to: /new}}]
rules: [{match: {status: 503}, respond: {title: Back soon}}, {match: {status: 418}, pass: true}]
"#;
    let files = [("error-response.yaml", rules)];
    let at = ["--at", "2026-01-15T12:00:00Z"];
    let told = |args: &[&str]| {
        let (reasons, _) = reasons(&files, &[&at, args].concat());
        reasons.iter().map(|all| all.strip_prefix("error-response ").unwrap().to_owned()).collect::<Vec<_>>()
    };
    let open = ["request: maintenance[0]: match does not hold", "request: direct[0]: match does not hold"];
    assert_eq!(told(&["/closed"])[..1], ["request: maintenance[0]"]);
    assert_eq!(told(&["/old"])[..2], ["request: maintenance[0]: match does not hold", "request: direct[0]"]);
    assert_eq!(
        told(&["--status", "503", "/"]),
        [&open[..], &["response: 503 of the upstream: via_upstream", "response: rules[0]"]].concat()
    );
    assert_eq!(
        told(&["--fails", "timeout", "/"])[2..],
        [
            "response: 504 of the gateway: response_timeout",
            "response: rules[0]: match does not hold",
            "response: rules[1]: match does not hold",
            "response: no rule",
            "response: replaced: so are errors of the gateway",
        ]
    );
    assert_eq!(
        told(&["--status", "418", "/"])[4..],
        ["response: rules[1]", "response: the rule lets it pass"]
    );
    let problem = ["--status", "500", "--response-header", "content-type: application/problem+json", "/"];
    assert_eq!(
        told(&problem).last().unwrap(),
        "response: passes: a problem document, and upstream_errors is keep_problems"
    );
    let late = ["--at", "2026-03-01T00:00:00Z", "/closed"];
    assert_eq!(reasons(&files, &late).0[0], "error-response request: maintenance[0]: not now");
}

const PIPELINE: &str = r#"
pipeline:
  - {error-response: {}}
  - api-key-quota:
      plans: {free: {limits: [{name: burst, rate: 2/s}]}}
      consumers: [{name: alice, plan: free, keys: [{id: a, sha256: 72ee9d4355ccb9d3a4c9dbf37382e38e75c1b1a225b5bd1f729ee91bbda30c20}]}]
  - {name: masks, match: {path: "/cards/{rest...}"}, dlp: {rules: [{find: payment, in: response.body, do: mask}]}}
  - {transform: {rules: [{match: {header: {x-beta: "1"}}, request: [{set: {header: x-a, to: "1"}}]}]}}
trace: {secret_sha256: a347d5d2d12aac621b21ff625b5c348537995abd548dea65c0371f25012a0192}
"#;

#[test]
fn a_pipeline_tells_it_stage_by_stage() {
    let files = [("gateway.yaml", PIPELINE)];
    let key = ["-H", "x-api-key: alice-key"];
    let body = ["--response-header", "content-type: text/plain", "--response-data", "4539578763621486"];
    let (told, out) = reasons(&files, &[&key[..], &["-H", "x-beta: 1"], &body, &["/cards/1"]].concat());
    assert_eq!(
        told,
        [
            "gateway request: api-key-quota: key a of consumer alice",
            "gateway request: api-key-quota: plan free",
            "gateway request: api-key-quota: limit burst: 1 of 2 used",
            "gateway request: api-key-quota: allowed",
            "gateway request: transform: rules[0]",
            "gateway response: masks: rules[0]",
            "gateway response: error-response: 200 is no error",
            "gateway response: masks: response.body: payment.card x1 mask by rules[0]",
        ]
    );
    // The effects are those without anybody asking: there is no trace in the messages.
    assert!(!out.to_string().contains("x-meshgate-trace"), "{out}");
    // Who knows the secret of the document gets its trace too.
    let (_, out) =
        reasons(&files, &[&key[..], &["-H", "x-meshgate-trace: demo-trace-secret", "/else"]].concat());
    assert!(out["client"]["headers"].to_string().contains("x-meshgate-trace"), "{out}");
    let (told, out) = reasons(&files, &["/else"]);
    assert_eq!(out["client"]["status"], 401);
    assert_eq!(
        told[..2],
        [
            "gateway request: api-key-quota: refused: key_missing",
            "gateway request: api-key-quota: answered 401 meshgate_key_missing"
        ]
    );
    assert!(told.contains(&"gateway request: error-response: no rule".to_owned()), "{told:?}");
    let (told, _) = reasons(&files, &[&key[..], &["/else"]].concat());
    for expected in
        ["masks: not for this request", "transform: rules[0]: match does not hold", "transform: no rule"]
    {
        assert!(told.contains(&format!("gateway request: {expected}")), "{told:?}");
    }
}

const PLUGINS: &str = r#"
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: quota, namespace: istio-ingress}
spec:
  url: oci://registry.example.com/meshgate/api-key-quota:1.0
  pluginConfig:
    plans: {free: {limits: [{name: burst, rate: 2/s}]}}
    consumers: []
    pepper: {env: PEPPER}
  vmConfig: {env: [{name: PEPPER, value: 0123456789abcdef0123456789abcdef}]}
---
apiVersion: extensions.istio.io/v1alpha1
kind: TrafficExtension
metadata: {name: transform, namespace: istio-ingress}
spec:
  wasm:
    url: oci://registry.example.com/meshgate/transform:1.0
    pluginConfig: {rules: [{match: {path: /a}, request: [{set: {header: x-a, to: "1"}}]}]}
"#;

#[test]
fn what_deploys_configurations_is_explained_as_it_stands() {
    let (told, out) = reasons(&[("plugins.yaml", PLUGINS)], &["/a"]);
    assert_eq!(told[0], "api-key-quota request: refused: key_missing");
    assert_eq!(out["client"]["status"], 401);
    // All filters of a bootstrap, with what stands beside them.
    let bootstrap = workspace().join("envoy-configs/meshgate.yaml");
    let ran = meshgate(&["explain", "--output", "json", "-c", bootstrap.to_str().unwrap(), "/"]).ran();
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let out: Value = serde_json::from_str(&ran.out).unwrap();
    let turns = out["turns"].as_array().unwrap();
    let of_request = turns.iter().filter(|turn| turn["side"] == "request").map(|turn| &turn["filter"]);
    assert!(of_request.eq(["error-response", "api-key-quota"].iter()), "{out}");
    // What is wrong is told at its place, and nothing is run.
    let wrong = PLUGINS.replace("match: {path: /a}", "match: {paht: /a}");
    let directory = directory(&[("plugins.yaml", wrong.as_bytes())]);
    let ran = meshgate(&["explain", "-c", "plugins.yaml", "/a"]).current_dir(directory.path()).ran();
    assert_eq!(ran.code, 1, "{}", ran.out);
    let text = format!("{}{}", ran.out, ran.err);
    assert!(text.starts_with("plugins.yaml:19:") && text.contains("paht"), "{text}");
}

/// `printf %s alice-key | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef`, and where a pepper comes from.
const PEPPERED: &str = r#"{plans: {free: {}}, pepper: {env: PEPPER}, hide_credentials: false, consumers: [{name: alice, plan: free, keys: [
        {id: alice-1, hmac_sha256: ec6f8e8d8f28099225c1788fd45ca29bd20886a2030afca5211c186a4c603d9f}]}]}"#;

/// What each kind of resource says of the variables of a VM, with a configuration that needs one.
fn deployed() -> [String; 3] {
    [
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: quota}}\nspec:\n  \
             url: oci://registry.example.com/meshgate/api-key-quota:1.0\n  pluginConfig: {PEPPERED}\n  \
             vmConfig: {{env: [{{name: PEPPER, valueFrom: HOST}}]}}\n"
        ),
        format!(
            "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyExtensionPolicy\nmetadata: {{name: quota}}\nspec:\n  \
             targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: eg}}]\n  wasm:\n  - name: api-key-quota\n    \
             code: {{type: Image, image: {{url: registry.example.com/meshgate/api-key-quota:1.0}}}}\n    \
             config: {PEPPERED}\n    env: {{hostKeys: [PEPPER]}}\n"
        ),
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: quota}}\ndata:\n  quota.yaml: |\n    {PEPPERED}\n"
        ),
    ]
}

#[test]
fn deployed_configurations_get_the_variables_of_the_command_line() {
    let key = ["-H", "x-api-key: alice-key", "/"];
    let run = |text: &str, pepper: &str| {
        let pepper = format!("PEPPER={pepper}");
        reasons(&[("deployed.yaml", text)], &[&["--env", &pepper][..], &key].concat())
    };
    // One chain of all, so that the module is compiled once.
    let all = deployed().join("---\n");
    let (told, out) = run(&all, "0123456789abcdef0123456789abcdef");
    assert_eq!(out["client"]["status"], 200, "{told:?}");
    let known = told.iter().filter(|told| *told == "api-key-quota request: key alice-1 of consumer alice");
    assert_eq!(known.count(), 3, "{told:?}");
    let (told, out) = run(&all, "fedcba9876543210fedcba9876543210");
    assert_eq!(out["client"]["status"], 401, "{told:?}");
    assert!(!out.to_string().contains("fedcba9876543210"), "{out}");
    // What stands in a resource is what its proxy has.
    let own = deployed()[0].replace("valueFrom: HOST", "value: an0ther-pepper-of-more-than-16-bytes");
    let (told, out) = run(&own, "0123456789abcdef0123456789abcdef");
    assert_eq!(out["client"]["status"], 401, "{told:?}");
}

/// Without the variable nothing is run, and it is said which one is missing.
#[test]
fn a_variable_that_a_deployed_configuration_lacks_is_named() {
    for text in deployed() {
        let directory = directory(&[("deployed.yaml", text.as_bytes())]);
        let ran = meshgate(&["explain", "-c", "deployed.yaml", "/"]).current_dir(directory.path()).ran();
        let told = format!("{}{}", ran.out, ran.err);
        assert!(ran.code != 0 && told.contains("PEPPER"), "{}: {told}\n{text}", ran.code);
    }
}

/// The examples of the help are real.
#[test]
fn the_filters_examples_can_be_explained() {
    for filter in ["api-key-quota", "transform", "dlp", "error-response", "gateway"] {
        let file = format!("filters/{filter}/example.json");
        let ran = meshgate(&["explain", "-c", &file, "/v1/orders"]).current_dir(workspace()).ran();
        assert_eq!(ran.code, 0, "{file}: {}{}", ran.out, ran.err);
    }
}
