//! What a client gets instead of an answer from the upstream.
//!
//! Each says what to do about it. None repeats anything that the client sent.

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::exchange::Reply;
use meshgate_policy::headers::{HeaderName, HeaderValue};
use meshgate_policy::problem::Problem;

use crate::metrics::Event;
use crate::plan::Over;

/// The `RateLimit` header field.
pub const RATE_LIMIT: HeaderName = HeaderName::constant("ratelimit");
/// The `RateLimit-Policy` header field.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::constant("ratelimit-policy");
const RETRY_AFTER: HeaderName = HeaderName::constant("retry-after");
const CHALLENGE: HeaderName = HeaderName::constant("www-authenticate");

/// The problem type of the RateLimit draft, section "Problem Types".
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// gRPC's status codes for what the proxy would not derive so from the HTTP status.
const INVALID_ARGUMENT: u32 = 3;
const RESOURCE_EXHAUSTED: u32 = 8;

/// Why a request does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No key.
    KeyMissing,
    /// More than one key.
    KeyRepeated,
    /// A key that nobody has.
    KeyInvalid,
    /// The consumer is disabled.
    ConsumerDisabled,
    /// The plan does not cover the request.
    PlanForbids,
    /// A header that would name a consumer and can't be removed.
    HeaderInvalid,
    /// The path, which the configuration decides by, may be another one for the upstream.
    PathAmbiguous,
    /// The usage changed too often to be written.
    Contention,
}

impl Refusal {
    /// What is counted.
    pub const fn event(self) -> Event {
        match self {
            Self::KeyMissing => Event::KeyMissing,
            Self::KeyRepeated => Event::KeyRepeated,
            Self::KeyInvalid => Event::KeyInvalid,
            Self::ConsumerDisabled => Event::ConsumerDisabled,
            Self::PlanForbids => Event::PlanForbids,
            Self::HeaderInvalid => Event::HeaderInvalid,
            Self::PathAmbiguous => Event::PathAmbiguous,
            Self::Contention => Event::Error,
        }
    }
}

/// The answers, with all that the configuration says about them.
#[derive(Debug)]
pub struct Answers {
    /// Where a key goes, in words.
    places: String,
    challenge: HeaderValue<'static>,
}

impl Answers {
    /// `places` says where a key goes.
    ///
    /// # Errors
    /// A [`ConfigError`] if the realm can't be quoted.
    pub fn compile(places: String, realm: &str) -> Result<Self, ConfigError> {
        let wrong = || {
            ConfigError::at(Path::root().key("realm"))
                .value(realm)
                .expected("at most 128 printable ASCII characters without \" and \\")
        };
        let plain = realm.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'));
        if !plain || realm.len() > 128 {
            return Err(wrong());
        }
        let challenge = format!("ApiKey realm=\"{realm}\"").into_bytes();
        Ok(Self { places, challenge: HeaderValue::new(challenge).map_err(|_| wrong())? })
    }

    /// The answer to a request that is refused, but for its limits.
    pub fn refuse(&self, why: Refusal) -> Reply {
        let places = &self.places;
        match why {
            Refusal::KeyMissing => self.unauthorized(
                &format!("This request needs an API key. Send it in {places}."),
                "meshgate_key_missing",
            ),
            Refusal::KeyInvalid => self.unauthorized(
                "The API key is not valid. Check that it is complete, or ask for a new one.",
                "meshgate_key_invalid",
            ),
            Refusal::KeyRepeated => bad_request(
                &format!("This request carries more than one API key. Send one, in {places}."),
                "meshgate_key_repeated",
            ),
            Refusal::HeaderInvalid => bad_request(
                "The name of a request header starts with x-consumer- and is too long or not valid. Leave it out.",
                "meshgate_header_invalid",
            ),
            Refusal::PathAmbiguous => bad_request(
                "The path has a segment . or .. or a backslash. Send it resolved, with / only.",
                "meshgate_path_ambiguous",
            ),
            Refusal::ConsumerDisabled => forbidden(
                "The account of this API key is disabled. Ask the provider of this API to enable it.",
                "meshgate_consumer_disabled",
            ),
            Refusal::PlanForbids => forbidden(
                "The plan of this API key does not cover this request. Check its method and path, or ask for another \
                 plan.",
                "meshgate_plan_forbids",
            ),
            Refusal::Contention => Problem::new(503, "Service Unavailable")
                .detail("This request could not be counted. Send it again in 1 second.")
                .reply("meshgate_counter_contention")
                .with_header(RETRY_AFTER, HeaderValue::number(1)),
        }
    }

    fn unauthorized(&self, detail: &str, details: &'static str) -> Reply {
        let reply = Problem::new(401, "Unauthorized").detail(detail).reply(details);
        reply.with_header(CHALLENGE, self.challenge.clone())
    }
}

/// The answer to a request that is over its limits. Its `RateLimit` headers are the caller's to add.
pub fn over_limit(over: &Over<'_>) -> Reply {
    let names: Vec<_> = over.violated.iter().map(|name| format!("\"{name}\"")).collect();
    let (limits, are) = if names.len() == 1 { ("limit", "is") } else { ("limits", "are") };
    let (wait, unit) = (over.retry_after, if over.retry_after == 1 { "second" } else { "seconds" });
    let detail =
        format!("The {limits} {} {are} used up. Send the request again in {wait} {unit}.", names.join(", "));
    let mut reply = Problem::new(429, "Quota Exceeded")
        .kind(QUOTA_EXCEEDED)
        .detail(&detail)
        .member("violated-policies", over.violated.as_slice())
        .reply("meshgate_limit_exceeded")
        .with_header(RETRY_AFTER, HeaderValue::number(wait));
    reply.grpc_status = Some(RESOURCE_EXHAUSTED);
    reply
}

fn bad_request(detail: &str, details: &'static str) -> Reply {
    let mut reply = Problem::new(400, "Bad Request").detail(detail).reply(details);
    reply.grpc_status = Some(INVALID_ARGUMENT);
    reply
}

fn forbidden(detail: &str, details: &'static str) -> Reply {
    Problem::new(403, "Forbidden").detail(detail).reply(details)
}
