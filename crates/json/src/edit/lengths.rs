//! The numbers of elements of arrays, for paths that count from the end.

use crate::error::JsonError;
use crate::scan::{Passed, Scanner};

/// The arrays of one part of a text, counted in one scan ahead: however deep they are nested, no byte is scanned ahead
/// twice.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    /// Where each array begins, and how many elements it has, in the order of the text.
    arrays: Vec<(usize, usize)>,
    /// How far the text was scanned.
    end: usize,
}

impl Lengths {
    /// The number of elements of the array that begins where the scanner stands.
    pub fn of(&mut self, scanner: &Scanner<'_>, depth: usize) -> Result<usize, JsonError> {
        if scanner.at >= self.end {
            self.count(scanner.clone(), depth)?;
        }
        let found = self.arrays.binary_search_by_key(&scanner.at, |(at, _)| *at);
        Ok(found.ok().and_then(|found| self.arrays.get(found)).map_or(0, |(_, len)| *len))
    }

    fn count(&mut self, mut scanner: Scanner<'_>, depth: usize) -> Result<(), JsonError> {
        self.arrays.clear();
        let arrays = &mut self.arrays;
        let mut open = Vec::new();
        scanner.value_with(depth, |passed| match passed {
            Passed::Array(at) => {
                open.push(arrays.len());
                arrays.push((at, 0));
            }
            Passed::Element => {
                if let Some((_, len)) = open.last().and_then(|last| arrays.get_mut(*last)) {
                    *len = len.saturating_add(1);
                }
            }
            Passed::EndOfArray => {
                open.pop();
            }
        })?;
        self.end = scanner.at;
        Ok(())
    }
}
