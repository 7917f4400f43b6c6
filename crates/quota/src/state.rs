//! What a consumer has used of all its limits, as one shared value.
//!
//! One value a consumer means one read and one compare-and-swap a request, and that either all of its limits count a
//! request or none does. The bytes are a version and then an entry a limit, in any order:
//!
//! ```text
//! 2 | kind: u8 | length of the name: u8 | name | numbers: u64 LE, as many as its kind has
//! ```
//!
//! Kind 1 is a bucket with 5 numbers, 2 a window with 2, 3 the parts of a sliding window with 13, 4 what is in flight with 3.
//!
//! An entry belongs to the limit of its name that counts in one way: `burst/0c8a1f52`, see `Rule::way`. So a consumer that gets
//! another plan, or a plan whose limits are in another order or have other quotas, keeps what it used of the limits whose names
//! stay; a limit that changes the way in which it counts (from a rate to a quota, from days to months) starts anew. Entries of
//! limits that the present plan does not have stay, for the way back and for the workers that still have the old plan, until a
//! new entry needs room among [`MAX_ENTRIES`].

use crate::limit::{Bucket, InFlight, Parts, Usage, Used};

const VERSION: u8 = 2;
const BUCKET: u8 = 1;
const WINDOW: u8 = 2;
const PARTS: u8 = 3;
const IN_FLIGHT: u8 = 4;
/// The most numbers of a kind.
const MAX_NUMBERS: usize = 13;

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
        read(entry.kind, entry.numbers)
    }

    /// What was used of some rate of this name, whichever it is: usages are called by the name of their limit, `/`, and eight
    /// digits that tell how it counts.
    pub fn get_rate(&self, name: &str) -> Option<Usage> {
        const WAY: usize = 9;
        let is_of = |found: &[u8]| {
            let split = found.len().checked_sub(WAY).and_then(|at| found.split_at_checked(at));
            split.is_some_and(|(before, way)| before == name.as_bytes() && way.starts_with(b"/"))
        };
        let entries = Entries::new(&self.bytes).filter(|entry| entry.kind == BUCKET && is_of(entry.name));
        entries.filter_map(|entry| read(entry.kind, entry.numbers)).next()
    }

    /// The names of all limits of which something was used, as bytes.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        Entries::new(&self.bytes).map(|entry| entry.name)
    }

    /// Sets what was used of the limit of this name. `keep` says which entries stay if there are too many.
    pub fn set(&mut self, name: &str, usage: Usage, keep: impl Fn(&[u8]) -> bool) {
        let (kind, numbers) = write(usage);
        let numbers = numbers.map(u64::to_le_bytes);
        let numbers = numbers.as_flattened().get(..size_of_numbers(kind)).unwrap_or_default();

        let place = Entries::new(&self.bytes)
            .find(|entry| entry.name == name.as_bytes() && entry.kind == kind)
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
    kind: u8,
    name: &'a [u8],
    numbers: &'a [u8],
    /// Where the entry ends in the bytes of the state.
    end: usize,
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
        let (numbers, rest) = match size_of_numbers(kind) {
            0 => None,
            size => rest.split_at_checked(size),
        }?;
        self.rest = rest;
        Some(Entry { kind, name, numbers, end: self.total.saturating_sub(rest.len()) })
    }
}

/// Bytes that the numbers of a kind take; 0 of a kind that there is not.
const fn size_of_numbers(kind: u8) -> usize {
    match kind {
        BUCKET => size_of::<[u64; 5]>(),
        WINDOW => size_of::<[u64; 2]>(),
        PARTS => size_of::<[u64; MAX_NUMBERS]>(),
        IN_FLIGHT => size_of::<[u64; 3]>(),
        _ => 0,
    }
}

fn read(kind: u8, numbers: &[u8]) -> Option<Usage> {
    let (numbers, _) = numbers.as_chunks::<{ size_of::<u64>() }>();
    let mut numbers = numbers.iter().map(|number| u64::from_le_bytes(*number));
    let mut next = || numbers.next();
    Some(match kind {
        BUCKET => Usage::Bucket(Bucket {
            at: next()?,
            requests: next()?,
            rest: next()?,
            owed: next()?,
            refunded: next()?,
        }),
        WINDOW => Usage::Window(Used { start: next()?, requests: next()? }),
        PARTS => {
            let mut parts = Parts { start: next()?, length: next()?, ..Parts::default() };
            for requests in &mut parts.requests {
                *requests = next()?;
            }
            Usage::Parts(parts)
        }
        IN_FLIGHT => Usage::InFlight(InFlight { epoch: next()?, present: next()?, past: next()? }),
        _ => return None,
    })
}

fn write(usage: Usage) -> (u8, [u64; MAX_NUMBERS]) {
    let mut numbers = [0; MAX_NUMBERS];
    let mut fill = |all: &[u64], rest: &[u64]| {
        numbers.iter_mut().zip(all.iter().chain(rest)).for_each(|(to, from)| *to = *from);
    };
    let kind = match usage {
        Usage::Bucket(Bucket { at, requests, rest, owed, refunded }) => {
            fill(&[at, requests, rest, owed, refunded], &[]);
            BUCKET
        }
        Usage::Window(Used { start, requests }) => {
            fill(&[start, requests], &[]);
            WINDOW
        }
        Usage::Parts(Parts { start, length, requests }) => {
            fill(&[start, length], &requests);
            PARTS
        }
        Usage::InFlight(InFlight { epoch, present, past }) => {
            fill(&[epoch, present, past], &[]);
            IN_FLIGHT
        }
    };
    (kind, numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const BURST: Usage = Usage::Bucket(Bucket { at: 1, requests: 2, rest: 3, owed: 4, refunded: 5 });
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
        let less = Usage::Bucket(Bucket { at: 7, requests: 8, rest: 9, owed: 0, refunded: 0 });
        state.set("burst", less, |_| true);
        assert_eq!((state.get("burst"), state.get("monthly")), (Some(less), Some(MONTH)));
        assert_eq!(state.as_bytes().len(), before);
        // 1 for the version; 2, the name and 5 or 2 numbers for each entry.
        assert_eq!(before, 1 + (2 + 5 + 40) + (2 + 7 + 16));
    }

    #[test]
    fn every_kind_is_read_as_it_was_set() {
        let mut requests = Parts::default().requests;
        requests.iter_mut().zip(3..).for_each(|(requests, number)| *requests = number);
        let parts = Usage::Parts(Parts { start: 1, length: 2, requests });
        let in_flight = Usage::InFlight(InFlight { epoch: 1, present: 2, past: 3 });
        for (usage, size) in [(BURST, 40), (MONTH, 16), (parts, 104), (in_flight, 24)] {
            let mut state = State::fresh();
            state.set("l", usage, |_| true);
            assert_eq!(state.as_bytes().len(), 1 + 2 + 1 + size);
            assert_eq!(State::from_bytes(state.as_bytes().to_vec()).unwrap().get("l"), Some(usage));
        }
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
            let between_entries = [1, 1 + 47].contains(&end);
            assert_eq!(State::from_bytes(whole[..end].to_vec()).is_ok(), between_entries, "cut at {end}");
        }
        for version in [0, 1, 255] {
            let mut other = whole.clone();
            other[0] = version;
            assert_eq!(State::from_bytes(other), Err(Garbled));
        }
        let mut kind = whole.clone();
        kind[1] = 5;
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
