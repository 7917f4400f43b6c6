//! The answer to a request for which a limit has no room.

use meshgate_policy::config::{ConfigError, Duration, Path};
use meshgate_policy::exchange::Reply;
use meshgate_policy::expression::Scope;
use meshgate_policy::headers::{HeaderName, HeaderValue};
use meshgate_policy::host::Host;
use meshgate_policy::problem::Problem;

use crate::config::{AnswerConfig, OverLimitConfig};
use crate::custom_answer::CustomAnswer;
use crate::limit::Wait;
use crate::rate_limit::seconds;

const RETRY_AFTER: HeaderName = HeaderName::constant("retry-after");
/// gRPC's status code for a quota that is used up.
pub const RESOURCE_EXHAUSTED: u32 = 8;
/// The problem type of the RateLimit draft, section "Problem Types".
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// The answer, as configured.
#[derive(Debug)]
pub struct OverLimit {
    form: CustomAnswer,
    /// Seconds, where nobody knows how long to wait.
    retry_after: Option<u64>,
    /// At most so many seconds are added to `Retry-After`.
    jitter: u64,
}

impl OverLimit {
    /// Checks what is configured.
    ///
    /// # Errors
    /// A [`ConfigError`] for the first thing that is wrong.
    pub fn compile(config: OverLimitConfig) -> Result<Self, ConfigError> {
        let path = Path::root().key("over_limit");
        let OverLimitConfig { status, body, content_type, headers, retry_after, retry_after_jitter } = config;
        let form = AnswerConfig { status: Some(status), body, content_type, headers };
        Ok(Self {
            form: CustomAnswer::compile(form, &path)?,
            retry_after: whole_seconds(retry_after, &path.key("retry_after"))?,
            jitter: whole_seconds(retry_after_jitter, &path.key("retry_after_jitter"))?.unwrap_or_default(),
        })
    }

    /// The answer, where `violated` are the names of the limits that have no room, and `wait` is until all of them have.
    /// `fields` tell of limits. `scope` makes what templates see of the request.
    pub fn reply(
        &self,
        host: &mut dyn Host,
        (violated, wait): (&[&str], Wait),
        fields: impl Iterator<Item = (HeaderName, HeaderValue<'static>)>,
        scope: impl FnOnce(&mut dyn Host) -> Option<Scope>,
    ) -> Reply {
        let retry_after = match wait {
            // Others made room meanwhile, but not in time for this one.
            Wait::Nothing => Some(1),
            Wait::ForOthers => self.retry_after,
            Wait::For(wait) => Some(seconds(wait)),
            Wait::Forever => None,
        };
        let retry_after = retry_after.map(|wait| wait.saturating_add(self.jitter(host)));
        let mut reply = problem(violated, wait, retry_after);
        reply.headers.extend(fields);
        self.form.apply(&mut reply, host, scope);
        reply
    }

    /// Seconds by chance. Without chance, all of them: later is never wrong.
    fn jitter(&self, host: &mut dyn Host) -> u64 {
        let Some(choices) = self.jitter.checked_add(1).filter(|choices| *choices > 1) else { return 0 };
        let mut bytes = [0; size_of::<u64>()];
        match host.random(&mut bytes) {
            Ok(()) => u64::from_le_bytes(bytes).checked_rem(choices).unwrap_or_default(),
            Err(_) => self.jitter,
        }
    }
}

/// The problem that is the answer where nothing else is configured, and that templates see as `body`.
fn problem(violated: &[&str], wait: Wait, retry_after: Option<u64>) -> Reply {
    let names: Vec<_> = violated.iter().map(|name| format!("\"{name}\"")).collect();
    let (limits, are) = if names.len() == 1 { ("limit", "is") } else { ("limits", "are") };
    let names = names.join(", ");
    let detail = match (wait, retry_after) {
        (_, Some(1)) => format!("The {limits} {names} {are} used up. Send the request again in 1 second."),
        (_, Some(wait)) => {
            format!("The {limits} {names} {are} used up. Send the request again in {wait} seconds.")
        }
        (Wait::Forever, None) => format!(
            "The {limits} {names} will never have room for what this request costs. Ask for less at once."
        ),
        (_, None) => format!(
            "The {limits} {names} {are} used up by requests at the same time. Send this one again when some of them have \
             ended."
        ),
    };
    let mut reply = Problem::new(429, "Quota Exceeded")
        .kind(QUOTA_EXCEEDED)
        .detail(&detail)
        .member("violated-policies", violated)
        .reply("meshgate_limit_exceeded");
    reply.headers.extend(retry_after.map(|wait| (RETRY_AFTER, HeaderValue::number(wait))));
    reply.grpc_status = Some(RESOURCE_EXHAUSTED);
    reply
}

/// Whole seconds.
fn whole_seconds(duration: Option<Duration>, path: &Path) -> Result<Option<u64>, ConfigError> {
    let Some(duration) = duration else { return Ok(None) };
    let (seconds, rest) = (duration.as_millis() / 1_000, duration.as_millis() % 1_000);
    if seconds == 0 || rest != 0 {
        return Err(ConfigError::at(path)
            .found(format!("{} ms", duration.as_millis()))
            .expected("whole seconds, as Retry-After has them: 1s or more"));
    }
    Ok(Some(seconds))
}
