//! The usage endpoint: a path at which the filter itself tells callers what they have used.

use std::borrow::Cow;

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::exchange::Reply;
use meshgate_policy::expression::clock::Utc;
use meshgate_policy::head::RequestHead;
use meshgate_policy::headers::{HeaderName, HeaderValue};
use meshgate_policy::host::Timestamp;
use meshgate_policy::matching::{is_ambiguous, normalize};
use meshgate_policy::problem::Problem;
use serde::Serialize;

use crate::config::UsageEndpointConfig;
use crate::consumer::Identity;
use crate::rate_limit::{Told, seconds};

const ALLOW: HeaderName = HeaderName::constant("allow");
const CACHE_CONTROL: HeaderName = HeaderName::constant("cache-control");
const CONTENT_TYPE: HeaderName = HeaderName::constant("content-type");
/// gRPC's status code for what there is not.
const UNIMPLEMENTED: u32 = 12;

/// Where it is.
#[derive(Debug)]
pub struct UsageEndpoint {
    /// In normal form.
    path: Box<[u8]>,
}

/// What callers read.
#[derive(Serialize)]
struct Document<'a> {
    consumer: Cow<'a, str>,
    plan: Cow<'a, str>,
    limits: Vec<Entry<'a>>,
}

/// Where they stand with one limit.
#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    limit: u64,
    used: u64,
    remaining: u64,
    window: Option<u64>,
    reset: Option<u64>,
    reset_at: Option<String>,
}

impl UsageEndpoint {
    /// Checks what is configured.
    ///
    /// # Errors
    /// A [`ConfigError`] for what is no path.
    pub fn compile(config: &UsageEndpointConfig) -> Result<Self, ConfigError> {
        let UsageEndpointConfig { path } = config;
        let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'));
        if !plain || !path.starts_with('/') || is_ambiguous(path.as_bytes()) {
            let at = Path::root().key("usage_endpoint").key("path");
            let error = ConfigError::at(at).value(path);
            return Err(error.expected("a path without a query, such as /.well-known/usage"));
        }
        Ok(Self { path: normalize(path.as_bytes()).into() })
    }

    /// Whether a request asks for it. However the path is written or read: it never reaches the upstream.
    pub fn is_at(&self, head: &RequestHead<'_>) -> bool {
        head.path_truth(|path| *path == *self.path).may_be()
    }

    /// The answer to somebody who stands there with all limits.
    pub fn reply(&self, method: &[u8], identity: &Identity<'_>, limits: &[Told<'_>], now: u64) -> Reply {
        if !matches!(method, b"GET" | b"HEAD") {
            return not_allowed();
        }
        let document = Document {
            consumer: String::from_utf8_lossy(identity.name.as_bytes()),
            plan: String::from_utf8_lossy(identity.plan.name.as_bytes()),
            limits: limits.iter().map(|limit| Entry::new(limit, now)).collect(),
        };
        let Ok(body) = serde_json::to_vec(&document) else { return Reply::internal_error() };
        let mut reply = Reply::new(200, "meshgate_usage");
        for (name, value) in [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")] {
            reply.headers.extend(HeaderValue::new(value.as_bytes()).ok().map(|value| (name, value)));
        }
        reply.body = body;
        reply
    }
}

impl<'a> Entry<'a> {
    fn new(limit: &Told<'a>, now: u64) -> Self {
        let Told { name, rule, standing, .. } = *limit;
        Self {
            name,
            limit: rule.quota(),
            used: rule.quota().saturating_sub(standing.remaining),
            remaining: standing.remaining,
            window: rule.window().map(seconds),
            reset: standing.more_in.map(seconds),
            reset_at: standing.more_in.map(|more_in| at(now.saturating_add(more_in))),
        }
    }
}

/// A moment, in whole seconds and never too early: `2026-01-31T12:00:00Z` (RFC 3339).
fn at(moment: u64) -> String {
    let whole = moment.div_ceil(1_000_000_000).saturating_mul(1_000_000_000);
    let utc = Utc::from(Timestamp::from_nanos(whole));
    format!("{}T{}Z", utc.date(), utc.time())
}

fn not_allowed() -> Reply {
    let mut reply = Problem::new(405, "Method Not Allowed")
        .detail("This path tells what you have used. Send GET.")
        .reply("meshgate_method_not_allowed");
    reply.headers.extend(HeaderValue::new(&b"GET, HEAD"[..]).ok().map(|value| (ALLOW, value)));
    reply.grpc_status = Some(UNIMPLEMENTED);
    reply
}
