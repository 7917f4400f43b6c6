//! What is wrong with a token, and what its sender is told: RFC 6750 section 3.

use meshgate_jwt::ClaimProblem;
use meshgate_policy::exchange::Reply;
use meshgate_policy::headers::{HeaderName, HeaderValue};
use meshgate_policy::problem::Problem;

use crate::metrics::Event;
use crate::over_limit::RESOURCE_EXHAUSTED;

const CHALLENGE: HeaderName = HeaderName::constant("www-authenticate");
const RETRY_AFTER: HeaderName = HeaderName::constant("retry-after");

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenProblem {
    /// It is not a token in form.
    Malformed,
    /// Its issuer, or the key that it names, is not known.
    KeyUnknown {
        /// The issuer has no such key now, and not only when its keys were last fetched.
        certain: bool,
    },
    /// Its signature is wrong.
    Signature,
    /// It is not good any more.
    Expired,
    /// It is not good yet.
    NotYetValid,
    /// It is for others, or lacks what is required.
    Claims,
    /// The authorization server says that it is not good.
    Inactive,
    /// It does not reach so far.
    Scope,
    /// It names no consumer that may be, or no plan that there is.
    Consumer,
    /// It would have to be asked about, and its client has too many others that are.
    Throttled,
    /// It could not be checked: keys or the authorization server are out of reach.
    Unchecked {
        /// Seconds until it may be tried again.
        retry_after: u64,
    },
}

impl TokenProblem {
    /// What is counted.
    pub const fn event(self) -> Event {
        match self {
            Self::Malformed => Event::TokenMalformed,
            Self::KeyUnknown { .. } => Event::TokenKeyUnknown,
            Self::Signature => Event::TokenSignature,
            Self::Expired => Event::TokenExpired,
            Self::NotYetValid => Event::TokenNotYetValid,
            Self::Claims => Event::TokenClaims,
            Self::Inactive => Event::TokenInactive,
            Self::Scope => Event::TokenScope,
            Self::Consumer => Event::TokenConsumer,
            Self::Unchecked { .. } => Event::TokenUnchecked,
            Self::Throttled => Event::TokenThrottled,
        }
    }

    /// Whether somebody sent a credential that nobody gave out.
    pub const fn is_failed_authentication(self) -> bool {
        matches!(
            self,
            Self::Malformed | Self::KeyUnknown { certain: true } | Self::Signature | Self::Inactive
        )
    }

    /// The answer. `challenge` is `Bearer realm="..."`; `scopes` are those that are required, with blanks between.
    pub fn reply(self, challenge: &str, scopes: &str) -> Reply {
        let invalid = |detail: &str, details| {
            let challenge = format!("{challenge}, error=\"invalid_token\", error_description=\"{detail}\"");
            challenged(Problem::new(401, "Unauthorized").detail(detail).reply(details), challenge)
        };
        match self {
            Self::Malformed => {
                invalid("The token is not a JSON Web Token that is taken here.", "meshgate_token_malformed")
            }
            Self::KeyUnknown { .. } => invalid(
                "The issuer of the token, or its key, is not known here.",
                "meshgate_token_key_unknown",
            ),
            Self::Signature => invalid("The signature of the token is wrong.", "meshgate_token_signature"),
            Self::Expired => invalid("The token has expired. Get a new one.", "meshgate_token_expired"),
            Self::NotYetValid => invalid("The token is not valid yet.", "meshgate_token_not_yet_valid"),
            Self::Claims => invalid(
                "The token is for another audience, or lacks a claim that is needed.",
                "meshgate_token_claims",
            ),
            Self::Inactive => invalid("The token is not active. Get a new one.", "meshgate_token_inactive"),
            Self::Scope => {
                let detail = "The token does not reach so far. Get one with the scopes that are needed.";
                let challenge = format!(
                    "{challenge}, error=\"insufficient_scope\", error_description=\"{detail}\", scope=\"{scopes}\""
                );
                challenged(
                    Problem::new(403, "Forbidden").detail(detail).reply("meshgate_token_scope"),
                    challenge,
                )
            }
            Self::Consumer => {
                let detail = "The token names no consumer of this API, or no plan. Ask the provider of this API for access.";
                let challenge =
                    format!("{challenge}, error=\"insufficient_scope\", error_description=\"{detail}\"");
                challenged(
                    Problem::new(403, "Forbidden").detail(detail).reply("meshgate_token_consumer"),
                    challenge,
                )
            }
            Self::Throttled => {
                let mut reply = Problem::new(429, "Too Many Requests")
                    .detail("Too many tokens from this address are being checked. Wait before the next one.")
                    .reply("meshgate_token_throttled")
                    .with_header(RETRY_AFTER, HeaderValue::number(1));
                reply.grpc_status = Some(RESOURCE_EXHAUSTED);
                reply
            }
            Self::Unchecked { retry_after } => Problem::new(503, "Service Unavailable")
                .detail("The token can't be checked at the moment. Send the request again later.")
                .reply("meshgate_token_unchecked")
                .with_header(RETRY_AFTER, HeaderValue::number(retry_after)),
        }
    }
}

impl From<ClaimProblem> for TokenProblem {
    fn from(problem: ClaimProblem) -> Self {
        match problem {
            ClaimProblem::Expired => Self::Expired,
            ClaimProblem::NotYetValid => Self::NotYetValid,
            ClaimProblem::Scope => Self::Scope,
            ClaimProblem::Type
            | ClaimProblem::Issuer
            | ClaimProblem::Audience
            | ClaimProblem::NoExpiry
            | ClaimProblem::Time
            | ClaimProblem::LivesTooLong
            | ClaimProblem::Claim => Self::Claims,
        }
    }
}

fn challenged(reply: Reply, challenge: String) -> Reply {
    match HeaderValue::new(challenge.into_bytes()) {
        Ok(challenge) => reply.with_header(CHALLENGE, challenge),
        Err(_) => reply,
    }
}
