//! Tokens, and the configurations of those who check them.

use std::sync::LazyLock;

use meshgate_e2e::{Value, json};
use meshgate_test_tokens::{Signer, encode, jwks};

use super::quota::{self, Limits};

/// More tokens than the quota filter remembers (4,096): one after the other, each has been forgotten when it comes again.
const TOKENS: usize = 4_500;
const ISSUER: &str = "https://issuer.example.com";
const AUDIENCE: &str = "https://api.example.com";

/// As values of `authorization`, signed with RS256 and with ES256.
pub static RS256: LazyLock<Vec<String>> = LazyLock::new(|| signed("RS256", TOKENS));
pub static ES256: LazyLock<Vec<String>> = LazyLock::new(|| signed("ES256", TOKENS));
/// One alone, with RS256.
pub static ONE: LazyLock<String> = LazyLock::new(|| signed("RS256", 1).remove(0));

/// As large as access tokens are, and of the same claims (RFC 9068 section 2.2).
fn signed(algorithm: &'static str, number: usize) -> Vec<String> {
    let signer = Signer::new(algorithm);
    let token = |number: usize| {
        signer.sign(&json!({
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": format!("5ba552d67-{number:06}"),
            "client_id": "s6BhdRkqt3",
            "exp": 4_000_000_000_u64,
            "iat": 1_700_000_000,
            "jti": format!("dbe39bf3a3ba4238a513f51d6e1691c4-{number:06}"),
            "scope": "orders:read orders:write profile",
        }))
    };
    (0..number).map(|number| format!("Bearer {}", token(number))).collect()
}

/// The configuration of the quota filter: who it is, and no limits.
pub fn quota(algorithm: &'static str) -> Value {
    let mut config = quota::quota(Limits::None);
    config["tokens"] = json!([{
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "jwks": jwks([&Signer::new(algorithm)]),
        "identity": { "plan": "bench" },
    }]);
    config
}

/// The same for clients without number, as [`quota::flood`].
pub fn flood() -> Value {
    let mut config = quota::flood();
    config["tokens"] = quota("RS256")["tokens"].take();
    config
}

/// A token of the issuer whose signature is wrong, and that no other number has: as a value of `authorization`.
pub fn bad(number: u64) -> String {
    let header = encode(r#"{"alg":"RS256","kid":"rs256"}"#);
    let claims =
        encode(format!(r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","sub":"{number}","exp":4000000000}}"#));
    format!("Bearer {header}.{claims}.{}", encode([7; 256]))
}

/// The same for tokens that an authorization server is asked about, behind the cluster `upstream`. It remembers an answer for
/// as long as the bench takes.
pub fn introspection() -> Value {
    let mut config = quota::quota(Limits::None);
    config["introspection"] = json!({
        "cluster": "upstream",
        "path": INTROSPECTION,
        "client": { "id": "bench", "secret_env": SECRET },
        "audiences": [AUDIENCE],
        "identity": { "plan": "bench" },
        "max_age": "1h",
    });
    config
}

/// Where that is, and what it says.
pub const INTROSPECTION: &str = "/introspect";
pub fn introspected() -> Value {
    json!({ "active": true, "iss": ISSUER, "aud": AUDIENCE, "sub": "5ba552d67-000000", "exp": 4_000_000_000_u64 })
}

/// The environment of a module that asks: with the name of its secret.
pub fn environment() -> Value {
    let mut variables = json!({ "key_values": {} });
    variables["key_values"][SECRET] = "not a secret".into();
    json!({ "vm_config": { "environment_variables": variables } })
}

const SECRET: &str = "INTROSPECTION_SECRET";

/// The configuration of Envoy's `jwt_authn`. `cached`: it remembers tokens, in each worker.
pub fn jwt_authn(cached: bool) -> Value {
    let mut provider = json!({
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "local_jwks": { "inline_string": jwks([&Signer::new("RS256")]).to_string() },
        "claim_to_headers": [{ "header_name": "x-consumer-name", "claim_name": "sub" }],
    });
    if cached {
        provider["jwt_cache_config"] = json!({ "jwt_cache_size": 100 });
    }
    json!({
        "providers": { "bench": provider },
        "rules": [{ "match": { "prefix": "/" }, "requires": { "provider_name": "bench" } }],
    })
}
