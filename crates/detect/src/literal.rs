//! Stage one for values with a literal prefix or a telling key: where one of some dozens of literals begins.
//!
//! Sixteen places at once: of each of the next four bytes, two tables of sixteen entries (for its low and its high four bits)
//! say which of eight buckets of literals could have it there. A place where a bucket has all four is compared with the
//! literals of the bucket.

use wide::u8x16;

/// How many bytes of a literal the tables know.
const KNOWN: usize = 4;

/// How many bytes one step looks at: four vectors, and what reaches over the last.
const STEP: usize = 64;
const REACH: usize = STEP + KNOWN - 1;

/// What a value, or the name of one, begins with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Literal {
    text: &'static str,
    /// ASCII letters of either case.
    fold: bool,
}

/// A prefix as it is.
pub(crate) const fn exact(text: &'static str) -> Literal {
    Literal { text, fold: false }
}

/// A part of a name, in upper or lower case; given in lower case.
pub(crate) const fn fold(text: &'static str) -> Literal {
    Literal { text, fold: true }
}

impl Literal {
    fn begins(self, text: &[u8]) -> bool {
        text.get(..self.text.len()).is_some_and(|found| {
            if self.fold {
                found.eq_ignore_ascii_case(self.text.as_bytes())
            } else {
                found == self.text.as_bytes()
            }
        })
    }
}

/// Literals to look for, each with what is wanted of it.
#[derive(Clone)]
pub(crate) struct Literals<T> {
    /// For each of the known bytes: by its low four bits, by its high ones.
    tables: [(u8x16, u8x16); KNOWN],
    buckets: [Vec<(Literal, T)>; 8],
}

impl<T: Clone> Literals<T> {
    pub fn new(mut wanted: Vec<(Literal, T)>) -> Self {
        wanted.sort_by_key(|(literal, _)| *literal);
        let mut raw = [([0_u8; 16], [0_u8; 16]); KNOWN];
        let mut buckets: [Vec<(Literal, T)>; 8] = Default::default();
        let share = wanted.len().div_ceil(8).max(1);
        // Neighbours in the order share first bytes: together they let less else through.
        for ((chunk, bucket), bit) in wanted.chunks(share).zip(&mut buckets).zip(0..) {
            for (literal, _) in chunk {
                for (index, (low, high)) in raw.iter_mut().enumerate() {
                    mark(literal, index, 1_u8.unbounded_shl(bit), low, high);
                }
            }
            bucket.extend_from_slice(chunk);
        }
        Self { tables: raw.map(|(low, high)| (u8x16::new(low), u8x16::new(high))), buckets }
    }

    pub fn is_empty(&self) -> bool {
        self.buckets.iter().all(Vec::is_empty)
    }

    /// How long the end of `text` is in which a literal may have begun that a value begins with. (One that is a name of a value
    /// may be cut off: its value comes later.)
    pub fn tail(&self, text: &[u8]) -> usize {
        let literals = || self.buckets.iter().flatten().map(|(literal, _)| literal).filter(|literal| !literal.fold);
        let longest = literals().map(|literal| literal.text.len()).max().unwrap_or(0);
        let begun = |length: &usize| {
            let end = text.get(text.len().saturating_sub(*length)..).unwrap_or_default();
            literals().any(|literal| literal.text.len() > *length && literal.text.as_bytes().starts_with(end))
        };
        (1..longest.min(text.len().saturating_add(1))).rev().find(begun).unwrap_or(0)
    }

    /// Calls `found` with each place in `text` where a literal begins, and what is wanted of it.
    pub fn each(&self, text: &[u8], mut found: impl FnMut(usize, &T)) {
        if self.is_empty() {
            return;
        }
        let mut offset = 0_usize;
        let mut rest = text;
        while let Some(window) = rest.first_chunk::<REACH>() {
            self.step(window, text, offset, &mut found);
            offset = offset.saturating_add(STEP);
            rest = rest.get(STEP..).unwrap_or_default();
        }
        let mut last = [0; REACH];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        self.step(&last, text, offset, &mut found);
        if let Some(over @ [_, ..]) = rest.get(STEP..) {
            let mut last = [0; REACH];
            for (to, from) in last.iter_mut().zip(over) {
                *to = *from;
            }
            self.step(&last, text, offset.saturating_add(STEP), &mut found);
        }
    }

    fn step(&self, window: &[u8; REACH], text: &[u8], offset: usize, found: &mut impl FnMut(usize, &T)) {
        let lanes = [0, 16, 32, 48].map(|from| self.lane(window, from));
        let [a, b, c, d] = lanes;
        if !(a | b | c | d).simd_eq(u8x16::ZERO).all() {
            for (lane, from) in lanes.iter().zip([0_usize, 16, 32, 48]) {
                for (buckets, index) in lane.to_array().into_iter().zip(from..) {
                    if buckets != 0 {
                        self.confirm(buckets, text, offset.saturating_add(index), found);
                    }
                }
            }
        }
    }

    /// For each of sixteen places, the buckets that may have a literal there.
    fn lane(&self, window: &[u8; REACH], from: usize) -> u8x16 {
        let low_bits = u8x16::splat(0x0f);
        let mut all = u8x16::splat(0xff);
        for ((low, high), by) in self.tables.iter().zip(from..) {
            let bytes = window.get(by..).and_then(|rest| rest.first_chunk::<16>()).copied().unwrap_or_default();
            let bytes = u8x16::new(bytes);
            all &= low.shuffle_zeroing(bytes & low_bits) & high.shuffle_zeroing(bytes.unbounded_shr_scalar(4));
        }
        all
    }

    fn confirm(&self, buckets: u8, text: &[u8], place: usize, found: &mut impl FnMut(usize, &T)) {
        let Some(rest) = text.get(place..) else { return };
        for (bucket, bit) in self.buckets.iter().zip(0..) {
            if buckets & 1_u8.unbounded_shl(bit) == 0 {
                continue;
            }
            for (literal, wanted) in bucket {
                if literal.begins(rest) {
                    found(place, wanted);
                }
            }
        }
    }
}

/// Lets byte `index` of the literal through the tables.
fn mark(literal: &Literal, index: usize, bucket: u8, low: &mut [u8; 16], high: &mut [u8; 16]) {
    let mut allow = |byte: u8| {
        for (table, nibble) in [(&mut *low, byte & 0x0f), (&mut *high, byte >> 4)] {
            if let Some(entry) = table.get_mut(usize::from(nibble)) {
                *entry |= bucket;
            }
        }
    };
    match literal.text.as_bytes().get(index) {
        Some(byte) => {
            allow(*byte);
            if literal.fold {
                allow(byte.to_ascii_uppercase());
            }
        }
        // A short one has any byte there.
        None => (0..=u8::MAX).for_each(allow),
    }
}
