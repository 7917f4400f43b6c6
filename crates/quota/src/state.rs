//! What a consumer has used of all its limits, as one shared value.
//!
//! One value a consumer means one read and one compare-and-swap a request, and that either all of its limits count a
//! request or none does. The bytes are a version and then an entry a limit, in any order:
//!
//! ```text
//! 1 | kind: u8 | length of the name: u8 | name | numbers: u64 LE, 3 of a bucket (kind 1), 2 of a window (kind 2)
//! ```
//!
//! An entry belongs to the limit of its name. So a consumer that gets another plan, or a plan whose limits are in another
//! order or have other numbers, keeps what it used of the limits whose names stay; a limit that changes its kind (from a
//! rate to a quota) starts anew. Entries of limits that the present plan does not have stay, for the way back and for the
//! workers that still have the old plan, until a new entry needs room among [`MAX_ENTRIES`].

use crate::limit::{Bucket, Usage, Used};

const VERSION: u8 = 1;
const BUCKET: u8 = 1;
const WINDOW: u8 = 2;

/// The most entries that a value keeps, those of limits that the plan does not have included.
pub const MAX_ENTRIES: usize = 32;

/// What a consumer has used of its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    bytes: Vec<u8>,
}

/// The bytes are not a state of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garbled;

impl State {
    /// Nothing used.
    pub fn fresh() -> Self {
        Self { bytes: vec![VERSION] }
    }

    /// Takes a shared value.
    ///
    /// # Errors
    /// [`Garbled`] if it is of another version or not made of entries.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Garbled> {
        let mut entries = Entries::new(&bytes);
        let whole = entries.by_ref().count() <= MAX_ENTRIES && entries.rest.is_empty();
        if bytes.first() == Some(&VERSION) && whole { Ok(Self { bytes }) } else { Err(Garbled) }
    }

    /// The shared value.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was used of the limit of this name.
    pub fn get(&self, name: &str) -> Option<Usage> {
        let entry = Entries::new(&self.bytes).find(|entry| entry.name == name.as_bytes())?;
        Some(match entry.numbers {
            Numbers::Bucket([at, requests, rest]) => Usage::Bucket(Bucket { at, requests, rest }),
            Numbers::Window([start, requests]) => Usage::Window(Used { start, requests }),
        })
    }

    /// Sets what was used of the limit of this name. `keep` says which entries stay if there are too many.
    pub fn set(&mut self, name: &str, usage: Usage, keep: impl Fn(&[u8]) -> bool) {
        let (kind, numbers) = match usage {
            Usage::Bucket(Bucket { at, requests, rest }) => (BUCKET, [at, requests, rest]),
            Usage::Window(Used { start, requests }) => (WINDOW, [start, requests, 0]),
        };
        let numbers = numbers.map(u64::to_le_bytes);
        let numbers = numbers.as_flattened().get(..size_of_numbers(kind)).unwrap_or_default();

        let place = Entries::new(&self.bytes)
            .find(|entry| entry.name == name.as_bytes() && entry.numbers.kind() == kind)
            .map(|entry| entry.end.saturating_sub(numbers.len()));
        match place.and_then(|at| self.bytes.get_mut(at..)) {
            Some(place) => place.iter_mut().zip(numbers).for_each(|(old, new)| *old = *new),
            None => {
                // Without an entry of another kind, and with room for this one.
                let full = Entries::new(&self.bytes).count() >= MAX_ENTRIES;
                self.retain(|entry| entry != name.as_bytes() && (!full || keep(entry)));
                self.bytes.extend([kind, u8::try_from(name.len()).unwrap_or(u8::MAX)]);
                self.bytes.extend_from_slice(name.as_bytes());
                self.bytes.extend_from_slice(numbers);
            }
        }
    }

    fn retain(&mut self, keep: impl Fn(&[u8]) -> bool) {
        let mut bytes = vec![VERSION];
        let mut start = bytes.len();
        for entry in Entries::new(&self.bytes) {
            if keep(entry.name) {
                bytes.extend_from_slice(self.bytes.get(start..entry.end).unwrap_or_default());
            }
            start = entry.end;
        }
        self.bytes = bytes;
    }
}

/// Walks the entries of a state, up to the first that is none.
struct Entries<'a> {
    rest: &'a [u8],
    total: usize,
}

struct Entry<'a> {
    name: &'a [u8],
    numbers: Numbers,
    /// Where the entry ends in the bytes of the state.
    end: usize,
}

enum Numbers {
    Bucket([u64; 3]),
    Window([u64; 2]),
}

impl Numbers {
    const fn kind(&self) -> u8 {
        match self {
            Self::Bucket(_) => BUCKET,
            Self::Window(_) => WINDOW,
        }
    }
}

impl<'a> Entries<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes.get(1..).unwrap_or_default(), total: bytes.len() }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let (&[kind, length], rest) = self.rest.split_first_chunk()?;
        let (name, rest) = rest.split_at_checked(length.into())?;
        let (numbers, rest) = match kind {
            BUCKET => take(rest).map(|(numbers, rest)| (Numbers::Bucket(numbers), rest)),
            WINDOW => take(rest).map(|(numbers, rest)| (Numbers::Window(numbers), rest)),
            _ => None,
        }?;
        self.rest = rest;
        Some(Entry { name, numbers, end: self.total.saturating_sub(rest.len()) })
    }
}

fn take<const N: usize>(mut bytes: &[u8]) -> Option<([u64; N], &[u8])> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        let (first, rest) = bytes.split_first_chunk()?;
        (*number, bytes) = (u64::from_le_bytes(*first), rest);
    }
    Some((numbers, bytes))
}

const fn size_of_numbers(kind: u8) -> usize {
    match kind {
        BUCKET => size_of::<[u64; 3]>(),
        _ => size_of::<[u64; 2]>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const BURST: Usage = Usage::Bucket(Bucket { at: 1, requests: 2, rest: 3 });
    const MONTH: Usage = Usage::Window(Used { start: u64::MAX, requests: 5 });

    fn state() -> State {
        let mut state = State::fresh();
        state.set("burst", BURST, |_| true);
        state.set("monthly", MONTH, |_| true);
        state
    }

    #[test]
    fn what_is_set_is_read_by_name() {
        let mut state = State::from_bytes(state().as_bytes().to_vec()).unwrap();
        assert_eq!((state.get("burst"), state.get("monthly")), (Some(BURST), Some(MONTH)));
        assert_eq!((state.get("mont"), state.get("")), (None, None));

        let before = state.as_bytes().len();
        let less = Usage::Bucket(Bucket { at: 7, requests: 8, rest: 9 });
        state.set("burst", less, |_| true);
        assert_eq!((state.get("burst"), state.get("monthly")), (Some(less), Some(MONTH)));
        assert_eq!(state.as_bytes().len(), before);
        // 1 for the version; 2, the name and 3 or 2 numbers for each entry.
        assert_eq!(before, 1 + (2 + 5 + 24) + (2 + 7 + 16));
    }

    #[test]
    fn a_limit_of_another_kind_starts_anew() {
        let mut state = state();
        state.set("burst", MONTH, |_| true);
        assert_eq!((state.get("burst"), state.get("monthly")), (Some(MONTH), Some(MONTH)));
        assert_eq!(Entries::new(state.as_bytes()).count(), 2);
    }

    #[test]
    fn entries_of_other_plans_go_when_there_is_no_room() {
        let mut state = state();
        let names: Vec<_> = (2..MAX_ENTRIES).map(|number| format!("old-{number}")).collect();
        for name in &names {
            state.set(name, MONTH, |_| false);
        }
        assert_eq!(Entries::new(state.as_bytes()).count(), MAX_ENTRIES);
        assert_eq!(state.get("burst"), Some(BURST));
        state.set("new", MONTH, |name| name == b"burst");
        assert_eq!((state.get("burst"), state.get("new")), (Some(BURST), Some(MONTH)));
        assert_eq!(Entries::new(state.as_bytes()).count(), 2);
    }

    #[test]
    fn nothing_but_a_state_is_read() {
        assert_eq!(State::from_bytes(vec![VERSION]), Ok(State::fresh()));
        let whole = state().as_bytes().to_vec();
        for end in 0..whole.len() {
            let between_entries = [1, 1 + 31].contains(&end);
            assert_eq!(State::from_bytes(whole[..end].to_vec()).is_ok(), between_entries, "cut at {end}");
        }
        for version in [0, 2, 255] {
            let mut other = whole.clone();
            other[0] = version;
            assert_eq!(State::from_bytes(other), Err(Garbled));
        }
        let mut kind = whole.clone();
        kind[1] = 3;
        assert_eq!(State::from_bytes(kind), Err(Garbled));
        assert_eq!(State::from_bytes([whole, vec![0]].concat()), Err(Garbled));
    }

    #[cfg(not(target_arch = "wasm32"))]
    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>, known: bool) {
            if let Some(version) = bytes.first_mut().filter(|_| known) {
                *version = VERSION;
            }
            if let Ok(mut state) = State::from_bytes(bytes.clone()) {
                assert_eq!(state.as_bytes(), bytes);
                state.set("burst", BURST, |_| true);
                assert_eq!(state.get("burst"), Some(BURST));
            }
        }
    }
}
