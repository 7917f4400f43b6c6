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
    buckets: [Vec<(Literal, T)>; BUCKETS],
}

/// One for each bit of a byte.
const BUCKETS: usize = 8;

impl<T> Literals<T> {
    pub fn new(wanted: Vec<(Literal, T)>) -> Self {
        let mut buckets: [(Pattern, Vec<(Literal, T)>); BUCKETS] = Default::default();
        for (literal, wanted) in wanted {
            // Where it lets the least else through: with those that have bytes in common with it.
            let best = buckets.iter_mut().min_by(|(one, _), (other, _)| {
                let more = |pattern: &Pattern| pattern.with(&literal).share() - pattern.share();
                more(one).total_cmp(&more(other))
            });
            if let Some((pattern, bucket)) = best {
                *pattern = pattern.with(&literal);
                bucket.push((literal, wanted));
            }
        }
        let mut tables = [([0_u8; 16], [0_u8; 16]); KNOWN];
        for ((pattern, _), bit) in buckets.iter().zip(0..) {
            for ((low, high), (lows, highs)) in tables.iter_mut().zip(pattern.0) {
                for (table, set) in [(low, lows), (high, highs)] {
                    for (entry, nibble) in table.iter_mut().zip(0..) {
                        if set & 1_u16.unbounded_shl(nibble) != 0 {
                            *entry |= 1_u8.unbounded_shl(bit);
                        }
                    }
                }
            }
        }
        Self {
            tables: tables.map(|(low, high)| (u8x16::new(low), u8x16::new(high))),
            buckets: buckets.map(|(_, bucket)| bucket),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.buckets.iter().all(Vec::is_empty)
    }

    /// How long the end of `text` is in which a literal may have begun that a value begins with. (One that is a name of a value
    /// may be cut off: its value comes later.)
    pub fn tail(&self, text: &[u8]) -> usize {
        let literals =
            || self.buckets.iter().flatten().map(|(literal, _)| literal).filter(|literal| !literal.fold);
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
        if (a | b | c | d).simd_eq(u8x16::ZERO).all() {
            return;
        }
        for (lane, from) in lanes.iter().zip([0_usize, 16, 32, 48]) {
            let mut places = !lane.simd_eq(u8x16::ZERO).to_bitmask() & 0xffff;
            let lane = lane.to_array();
            while places != 0 {
                let place = usize::try_from(places.trailing_zeros()).unwrap_or_default();
                places &= places.wrapping_sub(1);
                let buckets = lane.get(place).copied().unwrap_or_default();
                self.confirm(buckets, text, offset.saturating_add(from).saturating_add(place), found);
            }
        }
    }

    /// For each of sixteen places, the buckets that may have a literal there.
    fn lane(&self, window: &[u8; REACH], from: usize) -> u8x16 {
        let low_bits = u8x16::splat(0x0f);
        let mut all = u8x16::splat(0xff);
        for ((low, high), by) in self.tables.iter().zip(from..) {
            let bytes =
                window.get(by..).and_then(|rest| rest.first_chunk::<16>()).copied().unwrap_or_default();
            let bytes = u8x16::new(bytes);
            all &=
                low.shuffle_zeroing(bytes & low_bits) & high.shuffle_zeroing(bytes.unbounded_shr_scalar(4));
        }
        all
    }

    fn confirm(&self, mut buckets: u8, text: &[u8], place: usize, found: &mut impl FnMut(usize, &T)) {
        let rest = text.get(place..).unwrap_or_default();
        while buckets != 0 {
            let bit = usize::try_from(buckets.trailing_zeros()).unwrap_or_default();
            buckets &= buckets.wrapping_sub(1);
            for (literal, wanted) in self.buckets.get(bit).into_iter().flatten() {
                if literal.begins(rest) {
                    found(place, wanted);
                }
            }
        }
    }
}

/// What the tables let through for a bucket: of each known byte, a set of low four bits and a set of high ones.
#[derive(Clone, Copy, Default)]
struct Pattern([(u16, u16); KNOWN]);

impl Pattern {
    fn with(mut self, literal: &Literal) -> Self {
        let bytes = literal.text.bytes().map(Some).chain(std::iter::repeat(None));
        for ((low, high), byte) in self.0.iter_mut().zip(bytes) {
            let mut allow = |byte: u8| {
                *low |= 1_u16.unbounded_shl(u32::from(byte & 0x0f));
                *high |= 1_u16.unbounded_shl(u32::from(byte >> 4));
            };
            match byte {
                Some(byte) if literal.fold => [byte, byte.to_ascii_uppercase()].into_iter().for_each(allow),
                Some(byte) => allow(byte),
                // A short one has any byte there.
                None => (0..=u8::MAX).for_each(&mut allow),
            }
        }
        self
    }

    /// Which share of random bytes gets through.
    fn share(&self) -> f32 {
        let bits = |set: u16| f32::from(u8::try_from(set.count_ones()).unwrap_or(u8::MAX)) / 16.0;
        self.0.iter().map(|(low, high)| bits(*low) * bits(*high)).product()
    }
}
