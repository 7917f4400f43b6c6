//! A log that clients can't fill: one line a second.

use std::time::Duration;

use meshgate_policy::host::Timestamp;

const PAUSE: Duration = Duration::from_secs(1);

/// Who may write a line.
#[derive(Debug, Default)]
pub struct LogBudget {
    last: Option<Timestamp>,
    left_out: u32,
}

impl LogBudget {
    /// How many lines were left out before this one; `None`: this one is as well.
    pub fn spend(&mut self, now: Timestamp) -> Option<u32> {
        // A clock that goes back does not silence the log.
        if self.last.is_some_and(|last| last <= now && now < last.after(PAUSE)) {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn one_line_a_second_says_what_was_left_out() {
        let at = |millis| Timestamp::default().after(Duration::from_millis(millis));
        let mut budget = LogBudget::default();
        let spent = [5_000, 5_001, 5_999, 6_000, 6_500, 8_000, 9_000, 3_000, 3_001]
            .map(|time| budget.spend(at(time)));
        let expected = [Some(0), None, None, Some(2), None, Some(1), Some(0), Some(0), None];
        assert_eq!(spent, expected);
    }
}
