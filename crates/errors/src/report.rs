//! What the proxy keeps of an error that its client is not told.

use std::borrow::Cow;
use std::fmt::Write;

use meshgate_policy::matching::number_of;

use crate::cause::Cause;
use crate::config::LogErrors;
use crate::flag::Flags;
use crate::metrics::Event;
use crate::occasion::Occasion;

/// The longest text that is logged, in bytes.
const MAX_TEXT: usize = 512;

/// Tells access logs the type of a problem, by filter state, and the log all about it, if it is asked to.
pub fn report(occasion: &mut Occasion<'_>, status: u16, cause: &Cause, kind: &str) {
    // A log is no reason to leave a client without an answer.
    let _ = occasion.host().set_filter_state("meshgate.error.type", kind.as_bytes());
    let wanted = match occasion.policy.log {
        LogErrors::ServerErrors => status >= 500,
        LogErrors::All => true,
        LogErrors::None => false,
    };
    if !wanted {
        return;
    }
    if !occasion.policy.lines.take(occasion.now.as_secs()) {
        occasion.count(Event::Unlogged);
        return;
    }
    let mut texts = vec![("details", Cow::Borrowed(cause.details.as_str()))];
    if let Some(no_status) = occasion.response_status().filter(|status| number_of(status).is_none()) {
        texts.push(("received_status", String::from_utf8_lossy(no_status)));
    }
    for (name, path) in
        [("upstream", ["upstream", "address"]), ("transport", ["upstream", "transport_failure_reason"])]
    {
        let text = occasion.host().property(&path).ok().flatten().unwrap_or_default();
        if !text.is_empty() {
            texts.push((name, String::from_utf8_lossy(&text).into_owned().into()));
        }
    }
    texts.push(("request_id", occasion.request_id().unwrap_or_default().into()));
    texts.extend(occasion.trace_id().map(|id| ("trace_id", id.into())));
    log::warn!("{}", line(status, cause.flags, &texts));
}

fn line(status: u16, flags: Flags, texts: &[(&str, Cow<'_, str>)]) -> String {
    let mut line = format!("error replaced: status={status} flags={flags}");
    for (name, text) in texts {
        let _ = write!(line, " {name}=\"{}\"", escaped(text));
    }
    line
}

/// A text as a log can hold it: whoever wrote it can't begin another line or end the quotes that it stands in. Visible ASCII
/// and spaces, no more than [`MAX_TEXT`].
pub fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for char in text.chars().map(char::escape_default) {
        if escaped.len().saturating_add(char.len()) > MAX_TEXT {
            break;
        }
        escaped.extend(char);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn no_text_makes_another_line_or_a_long_one() {
        let hostile = [
            "a\r\n[warning] error replaced: status=500",
            "a\" request_id=\"forged",
            "\\",
            "\0\u{1b}[31m\u{7f}\u{85}\u{2028}\u{202e}\u{fffd}\u{1f600}",
            &"\u{10ffff}".repeat(10_000),
            &"a".repeat(10_000),
            &"\"".repeat(10_000),
        ];
        let texts = hostile.map(|text| ("details", Cow::Borrowed(text)));
        let line = line(503, Flags::default(), &texts);
        assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line}");
        assert!(line.len() < texts.len() * (MAX_TEXT + " details=\"\"".len()) + 100, "{}", line.len());
        // Quotes that are not escaped are ours.
        let quotes = line.replace("\\\\", "").replace("\\\"", "").matches('"').count();
        assert_eq!(quotes, 2 * texts.len());
        assert_eq!(escaped("rbac_access_denied{a|b: c}"), "rbac_access_denied{a|b: c}");
    }
}
