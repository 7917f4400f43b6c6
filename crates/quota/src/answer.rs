//! What a client gets instead of an answer from the upstream.
//!
//! Each says what to do about it. None repeats anything that the client sent.

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::exchange::Reply;
use meshgate_policy::headers::{HeaderName, HeaderValue};
use meshgate_policy::host::Host;
use meshgate_policy::problem::Problem;

use crate::Quota;
use crate::config::AnswerConfig;
use crate::consumer::Identity;
use crate::custom_answer::CustomAnswer;
use crate::metrics::Event;
use crate::over_limit::RESOURCE_EXHAUSTED;
use crate::request;
use crate::token::TokenProblem;

const RETRY_AFTER: HeaderName = HeaderName::constant("retry-after");
const CHALLENGE: HeaderName = HeaderName::constant("www-authenticate");

/// gRPC's status code for what the proxy would not derive so from the HTTP status.
const INVALID_ARGUMENT: u32 = 3;
/// Its codes for 403 and 401, which stay whatever status is configured for these.
const PERMISSION_DENIED: u32 = 7;
const UNAUTHENTICATED: u32 = 16;

/// Why a request does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No key.
    KeyMissing,
    /// More than one key or token.
    KeyRepeated {
        /// One of them is a token.
        token: bool,
    },
    /// A key that nobody has.
    KeyInvalid,
    /// A key that has not the form of keys.
    KeyMalformed,
    /// The key is disabled.
    KeyDisabled,
    /// The key is not good any more.
    KeyExpired,
    /// The key is not good yet.
    KeyNotYetValid,
    /// The key could not be looked for.
    KeyUnchecked {
        /// Seconds until it may be tried again.
        retry_after: u64,
    },
    /// The consumer is disabled.
    ConsumerDisabled,
    /// A rule says that the consumer may not.
    AccessDenied,
    /// The plan does not cover the request.
    PlanForbids,
    /// A header that would name a consumer and can't be removed.
    HeaderInvalid,
    /// The path, which the configuration decides by, may be another one for the upstream.
    PathAmbiguous,
    /// What the configuration decides by may be something else for the upstream.
    RequestAmbiguous,
    /// What the request says of its cost can't be understood.
    CostInvalid,
    /// The client has failed to authenticate too often.
    FailedAuthLimited {
        /// Seconds until it may fail again.
        retry_after: u64,
    },
    /// Something is wrong with the token.
    Token(TokenProblem),
    /// There is no room to count a newcomer.
    TableFull {
        /// Seconds until there is, if nobody else comes.
        retry_after: u64,
    },
    /// The usage changed too often to be written.
    Contention,
}

impl Refusal {
    /// What is counted.
    pub const fn event(self) -> Event {
        match self {
            Self::KeyMissing => Event::KeyMissing,
            Self::KeyRepeated { .. } => Event::KeyRepeated,
            Self::KeyInvalid => Event::KeyInvalid,
            Self::KeyMalformed => Event::KeyMalformed,
            Self::KeyDisabled => Event::KeyDisabled,
            Self::KeyExpired => Event::KeyExpired,
            Self::KeyNotYetValid => Event::KeyNotYetValid,
            Self::KeyUnchecked { .. } => Event::KeyUnchecked,
            Self::ConsumerDisabled => Event::ConsumerDisabled,
            Self::AccessDenied => Event::AccessDenied,
            Self::PlanForbids => Event::PlanForbids,
            Self::HeaderInvalid => Event::HeaderInvalid,
            Self::PathAmbiguous => Event::PathAmbiguous,
            Self::RequestAmbiguous => Event::RequestAmbiguous,
            Self::CostInvalid => Event::CostInvalid,
            Self::FailedAuthLimited { .. } => Event::FailedAuthLimited,
            Self::Token(problem) => problem.event(),
            Self::TableFull { .. } => Event::TableFull,
            Self::Contention => Event::Error,
        }
    }

    /// Whether somebody sent credentials that are nobody's.
    pub const fn is_failed_authentication(self) -> bool {
        match self {
            Self::KeyInvalid | Self::KeyMalformed => true,
            Self::Token(problem) => problem.is_failed_authentication(),
            _ => false,
        }
    }
}

/// The answers, with all that the configuration says about them.
#[derive(Debug)]
pub struct Answers {
    /// Where a key goes, in words.
    places: String,
    challenge: HeaderValue<'static>,
    /// Where tokens are taken: `Bearer realm="..."`.
    bearer: Option<HeaderValue<'static>>,
    unauthorized: CustomAnswer,
    forbidden: CustomAnswer,
}

impl Answers {
    /// `places` says where a key goes. `tokens`: tokens are taken as well.
    ///
    /// # Errors
    /// A [`ConfigError`] if the realm can't be quoted.
    pub fn compile(places: String, realm: &str, tokens: bool) -> Result<Self, ConfigError> {
        let wrong = || {
            ConfigError::at(Path::root().key("realm"))
                .value(realm)
                .expected("at most 128 printable ASCII characters without \" and \\")
        };
        let plain = realm.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'));
        if !plain || realm.len() > 128 {
            return Err(wrong());
        }
        let challenge = |scheme: &str| {
            let challenge = format!("{scheme} realm=\"{realm}\"").into_bytes();
            HeaderValue::new(challenge).map_err(|_| wrong())
        };
        let bearer = tokens.then(|| challenge("Bearer")).transpose()?;
        Ok(Self {
            places,
            challenge: challenge("ApiKey")?,
            bearer,
            unauthorized: CustomAnswer::default(),
            forbidden: CustomAnswer::default(),
        })
    }

    /// Gives those with 401 and those with 403 their forms.
    ///
    /// # Errors
    /// A [`ConfigError`] for the first thing that is wrong.
    pub fn in_forms(
        mut self,
        unauthorized: AnswerConfig,
        forbidden: AnswerConfig,
    ) -> Result<Self, ConfigError> {
        self.unauthorized = CustomAnswer::compile(unauthorized, &Path::root().key("unauthorized"))?;
        self.forbidden = CustomAnswer::compile(forbidden, &Path::root().key("forbidden"))?;
        Ok(self)
    }

    /// The answer to a request that is refused, but for its limits.
    pub fn refuse(&self, why: Refusal) -> Reply {
        let places = &self.places;
        match why {
            Refusal::KeyMissing => self.unauthorized(
                &match self.bearer {
                    None => format!("This request needs an API key. Send it in {places}."),
                    Some(_) => format!("This request needs an API key or a token. Send one, in {places}."),
                },
                "meshgate_key_missing",
            ),
            Refusal::KeyInvalid => self.unauthorized(
                "The API key is not valid. Check that it is complete, or ask for a new one.",
                "meshgate_key_invalid",
            ),
            Refusal::KeyRepeated { token } => {
                let what = if self.bearer.is_some() { "API key or token" } else { "API key" };
                let detail = format!("This request carries more than one {what}. Send one, in {places}.");
                let reply = bad_request(&detail, "meshgate_key_repeated");
                match &self.bearer {
                    Some(bearer) if token => invalid_request(reply, bearer),
                    _ => reply,
                }
            }
            Refusal::HeaderInvalid => bad_request(
                "The name of a request header starts with x-consumer- and is too long or not valid. Leave it out.",
                "meshgate_header_invalid",
            ),
            Refusal::PathAmbiguous => bad_request(
                "The path has a segment . or .. or a backslash. Send it resolved, with / only.",
                "meshgate_path_ambiguous",
            ),
            Refusal::RequestAmbiguous => bad_request(
                "Which limits count the request depends on how it is read: its path has ; or an encoded slash, its host is none, \
                 its method is in lower case, or a header, cookie or query parameter is there more than once.",
                "meshgate_request_ambiguous",
            ),
            Refusal::KeyMalformed => self.unauthorized(
                "The API key is cut off or mistyped: its checksum is wrong. Copy all of it again.",
                "meshgate_key_malformed",
            ),
            Refusal::KeyDisabled => self.unauthorized(
                "This API key is disabled. Use another one, or ask the provider of this API to enable it.",
                "meshgate_key_disabled",
            ),
            Refusal::KeyExpired => self.unauthorized(
                "This API key has expired. Use a newer one, or ask the provider of this API for one.",
                "meshgate_key_expired",
            ),
            Refusal::KeyNotYetValid => self.unauthorized(
                "This API key is not valid yet. Use the present one until then.",
                "meshgate_key_not_yet_valid",
            ),
            Refusal::KeyUnchecked { retry_after } => Problem::new(503, "Service Unavailable")
                .detail("The API key can't be checked at the moment. Send the request again later.")
                .reply("meshgate_key_unchecked")
                .with_header(RETRY_AFTER, HeaderValue::number(retry_after)),
            Refusal::ConsumerDisabled => forbidden(
                "The account of this API key is disabled. Ask the provider of this API to enable it.",
                "meshgate_consumer_disabled",
            ),
            Refusal::AccessDenied => forbidden(
                "This consumer may not send this request. Check its method and path, or ask the provider of this API for \
                 access.",
                "meshgate_access_denied",
            ),
            Refusal::PlanForbids => forbidden(
                "The plan of this API key does not cover this request. Check its method and path, or ask for another \
                 plan.",
                "meshgate_plan_forbids",
            ),
            Refusal::CostInvalid => bad_request(
                "What this request says of its cost is not a number that it can be. Send one whole number from 1 on.",
                "meshgate_cost_invalid",
            ),
            Refusal::FailedAuthLimited { retry_after } => {
                let mut reply = Problem::new(429, "Too Many Requests")
                    .detail("Too many requests with wrong credentials came from this address. Wait before the next one.")
                    .reply("meshgate_failed_auth_limited")
                    .with_header(RETRY_AFTER, HeaderValue::number(retry_after));
                reply.grpc_status = Some(RESOURCE_EXHAUSTED);
                reply
            }
            Refusal::Token(problem) => self.refuse_token(problem, ""),
            Refusal::TableFull { retry_after } => Problem::new(503, "Service Unavailable")
                .detail("Too many others are counted at present. Send this request again later.")
                .reply("meshgate_table_full")
                .with_header(RETRY_AFTER, HeaderValue::number(retry_after)),
            Refusal::Contention => Problem::new(503, "Service Unavailable")
                .detail("This request could not be counted. Send it again in 1 second.")
                .reply("meshgate_counter_contention")
                .with_header(RETRY_AFTER, HeaderValue::number(1)),
        }
    }

    fn unauthorized(&self, detail: &str, details: &'static str) -> Reply {
        let reply = Problem::new(401, "Unauthorized").detail(detail).reply(details);
        let reply = reply.with_header(CHALLENGE, self.challenge.clone());
        match &self.bearer {
            Some(bearer) => reply.with_header(CHALLENGE, bearer.clone()),
            None => reply,
        }
    }

    /// The answer to a request whose token is not good; `scopes` are those that it needs.
    pub fn refuse_token(&self, problem: TokenProblem, scopes: &str) -> Reply {
        let bearer = self.bearer.as_ref().unwrap_or(&self.challenge);
        problem.reply(&String::from_utf8_lossy(bearer.as_bytes()), scopes)
    }
}

impl Quota {
    /// The answer to a request that is refused, in the form that is configured. `identity` is of who sends it, if that is
    /// known.
    pub(crate) fn refused(
        &self,
        host: &mut dyn Host,
        why: Refusal,
        identity: Option<&Identity<'_>>,
    ) -> Reply {
        self.in_form(host, self.answers.refuse(why), identity)
    }

    /// As [`Quota::refused`], for a token that does not reach as far as these scopes.
    pub(crate) fn refused_token(&self, host: &mut dyn Host, problem: TokenProblem, scopes: &str) -> Reply {
        self.in_form(host, self.answers.refuse_token(problem, scopes), None)
    }

    fn in_form(&self, host: &mut dyn Host, mut reply: Reply, identity: Option<&Identity<'_>>) -> Reply {
        let (form, grpc_status) = match reply.status {
            401 => (&self.answers.unauthorized, UNAUTHENTICATED),
            403 => (&self.answers.forbidden, PERMISSION_DENIED),
            _ => return reply,
        };
        reply.grpc_status = Some(grpc_status);
        form.apply(&mut reply, host, |host| request::scope_of(host, identity));
        reply
    }
}

fn bad_request(detail: &str, details: &'static str) -> Reply {
    let mut reply = Problem::new(400, "Bad Request").detail(detail).reply(details);
    reply.grpc_status = Some(INVALID_ARGUMENT);
    reply
}

/// RFC 6750 section 3.1. The description is not the detail, which may have quotes in it.
fn invalid_request(reply: Reply, bearer: &HeaderValue<'_>) -> Reply {
    const ERROR: &[u8] = b", error=\"invalid_request\", error_description=\"More than one credential.\"";
    match HeaderValue::new([bearer.as_bytes(), ERROR].concat()) {
        Ok(challenge) => reply.with_header(CHALLENGE, challenge),
        Err(_) => reply,
    }
}

fn forbidden(detail: &str, details: &'static str) -> Reply {
    Problem::new(403, "Forbidden").detail(detail).reply(details)
}
