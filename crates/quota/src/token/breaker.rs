//! When a server is not asked: it has failed several times in a row. What waits for a server that does not answer holds
//! requests that would be answered at once otherwise.

use std::time::Duration;

use meshgate_policy::host::Timestamp;

/// So many failures in a row are no accident.
const FAILURES: u32 = 5;
/// How long nothing is asked then; it doubles with each question after a pause that fails as well.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// Whether a server may be asked.
#[derive(Debug, Default)]
pub struct Breaker {
    failures: u32,
    /// Since when nothing is asked, and for how long.
    paused: Option<(Timestamp, Duration)>,
    /// After a pause, one question is under way that decides.
    trying: bool,
}

/// A question that may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// One of many.
    Usual,
    /// The one after a pause.
    Trial,
}

impl Breaker {
    /// Leave to ask; `None`: not now. Who gets leave says how it went.
    pub fn leave(&mut self, now: Timestamp) -> Option<Leave> {
        if self.paused.is_none() {
            return Some(Leave::Usual);
        }
        if self.trying || !self.rest(now).is_zero() {
            return None;
        }
        self.trying = true;
        Some(Leave::Trial)
    }

    /// How long nothing is asked from now on. A clock that goes back ends a pause.
    pub fn rest(&self, now: Timestamp) -> Duration {
        let Some((since, pause)) = self.paused else { return Duration::ZERO };
        if now < since { Duration::ZERO } else { pause.saturating_sub(now.since(since)) }
    }

    /// The server has answered.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The server has not. Returns how long nothing is asked, if that begins now.
    pub fn failed(&mut self, leave: Leave, now: Timestamp) -> Option<Duration> {
        let pause = match (self.paused, leave) {
            (None, _) => {
                self.failures = self.failures.saturating_add(1);
                (self.failures >= FAILURES).then_some(FIRST_PAUSE)
            }
            (Some((_, pause)), Leave::Trial) => {
                self.trying = false;
                Some(pause.saturating_mul(2).min(LAST_PAUSE))
            }
            // It was asked before the pause, which knows.
            (Some(_), Leave::Usual) => None,
        };
        if let Some(pause) = pause {
            self.paused = Some((now, pause));
        }
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default().after(Duration::from_secs(seconds))
    }

    #[test]
    fn a_server_that_fails_is_left_alone_for_longer_and_longer() {
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            assert_eq!(breaker.leave(at(0)), Some(Leave::Usual));
            assert_eq!(breaker.failed(Leave::Usual, at(0)), None);
        }
        assert_eq!(breaker.failed(Leave::Usual, at(0)), Some(FIRST_PAUSE));
        let mut now = 0;
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            // Those that were under way say nothing new.
            assert_eq!(breaker.failed(Leave::Usual, at(now)), None);
            assert_eq!((breaker.leave(at(now + pause - 1)), breaker.rest(at(now)).as_secs()), (None, pause));
            now += pause;
            assert_eq!(breaker.leave(at(now)), Some(Leave::Trial));
            // One at a time, however long it takes.
            assert_eq!(breaker.leave(at(now + 100)), None);
            assert!(breaker.failed(Leave::Trial, at(now)).is_some());
        }
        assert_eq!(breaker.leave(at(now + 30)), Some(Leave::Trial));
        breaker.succeeded();
        assert_eq!(breaker.leave(at(now + 30)), Some(Leave::Usual));
        assert_eq!(breaker.rest(at(now)), Duration::ZERO);
    }

    #[test]
    fn failures_between_answers_are_accidents() {
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            for _ in 0..4 {
                assert_eq!(breaker.failed(Leave::Usual, at(0)), None);
            }
            breaker.succeeded();
        }
        assert_eq!(breaker.leave(at(0)), Some(Leave::Usual));
    }

    #[test]
    fn a_clock_that_goes_back_makes_no_pause_longer() {
        let mut breaker = Breaker::default();
        for _ in 0..5 {
            breaker.failed(Leave::Usual, at(1_000));
        }
        assert_eq!((breaker.leave(at(1_000)), breaker.leave(at(10))), (None, Some(Leave::Trial)));
    }
}
