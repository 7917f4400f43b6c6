//! What the proxy keeps of an error that its client is not told.

use std::cell::Cell;
use std::fmt::Write;

use meshgate_policy::host::Host;

use crate::cause::Cause;
use crate::config::LogErrors;
use crate::format::Document;
use crate::metrics::Event;
use crate::occasion::Occasion;

/// How many lines a worker writes a second: a log is written synchronously, on the thread that serves everybody.
const LINES_PER_SECOND: u32 = 100;
/// The longest text of the proxy that is logged, in bytes.
const MAX_TEXT: usize = 512;

/// How many lines were written in this second.
#[derive(Debug, Default)]
pub struct Budget(Cell<(u64, u32)>);

impl Budget {
    /// Whether there is one more.
    fn take(&self, second: u64) -> bool {
        let (of, lines) = self.0.get();
        let lines = if of == second { lines } else { 0 };
        self.0.set((second, lines.saturating_add(1)));
        lines < LINES_PER_SECOND
    }
}

/// Tells access logs, by filter state, and the log, if it is asked to.
pub fn report(occasion: &mut Occasion<'_>, status: u16, cause: &Cause, problem: &Document) {
    let host = occasion.host();
    // A log is no reason to leave a client without an answer.
    let _ = host.set_filter_state("meshgate.error.details", cause.details.as_bytes());
    let _ = host.set_filter_state("meshgate.error.type", problem.kind.as_bytes());
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
    let mut line = format!("error replaced: status={status} flags={}", cause.flags);
    let mut say = |name: &str, text: &str| {
        let text: String = text.chars().take(MAX_TEXT).flat_map(char::escape_debug).collect();
        let _ = write!(line, " {name}=\"{text}\"");
    };
    say("details", &cause.details);
    for (name, path) in
        [("upstream", ["upstream", "address"]), ("transport", ["upstream", "transport_failure_reason"])]
    {
        let text = text(occasion.host(), &path);
        if !text.is_empty() {
            say(name, &text);
        }
    }
    say("request_id", occasion.request_id().unwrap_or_default());
    if let Some(id) = occasion.trace_id() {
        say("trace_id", id);
    }
    log::warn!("{line}");
}

fn text(host: &mut dyn Host, path: &[&str]) -> String {
    let text = host.property(path).ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_second_has_so_many_lines() {
        let budget = Budget::default();
        let taken = |second| (0..1_000).filter(|_| budget.take(second)).count();
        assert_eq!((taken(7), taken(7), taken(8)), (100, 0, 100));
    }
}
