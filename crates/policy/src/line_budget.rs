//! How much a filter may write to the proxy's log.

use std::cell::Cell;

/// How many lines a worker writes a second: a log is written synchronously, on the thread that serves everybody.
pub const LINES_PER_SECOND: u32 = 100;

/// How many lines were written in this second.
#[derive(Debug, Default)]
pub struct LineBudget(Cell<(u64, u32)>);

impl LineBudget {
    /// Whether there is one more in this second (of Unix time).
    pub fn take(&self, second: u64) -> bool {
        let (of, lines) = self.0.get();
        let lines = if of == second { lines } else { 0 };
        self.0.set((second, lines.saturating_add(1)));
        lines < LINES_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_second_has_so_many_lines() {
        let budget = LineBudget::default();
        let taken = |second| (0..1_000).filter(|_| budget.take(second)).count();
        assert_eq!((taken(7), taken(7), taken(8)), (100, 0, 100));
    }
}
