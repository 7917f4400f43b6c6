//! The questions about tokens that are under way, and who may have how many of them.
//!
//! Who makes up tokens can have each of them asked about, from as many addresses as are at hand, and nothing tells such a
//! client from one that comes for the first time. Two things keep it from shutting out the others:
//!
//! - The more questions others have under way, the fewer may a client have: of `questions_per_client` the share that they
//!   leave. With 8 of these it takes 65 addresses to have all that strangers may have, where 24 would do if each had 8.
//! - A quarter is left for clients of whom a token was good lately. Whoever has none can't have that, from however many
//!   addresses.

use std::collections::HashMap;

use meshgate_policy::host::CalloutId;

use super::cache::TokenDigest;
use crate::scope::Address;

/// The questions that a worker has under way at a time.
pub const MAX_UNDER_WAY: usize = 256;
/// Strangers may have questions while so many are under way at most.
const FOR_STRANGERS: usize = 192;
/// How long a good token speaks for its client. Seconds.
const TRUSTED_FOR: u64 = 600;
/// Of how many clients it is known that a token was good.
const MAX_TRUSTED: usize = 4_096;

/// The questions of a worker.
#[derive(Debug)]
pub struct Questions {
    under_way: HashMap<TokenDigest, UnderWay>,
    /// So many for one client, at most.
    per_client: usize,
    trusted: Trusted,
}

/// A question that has no answer yet.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    id: CalloutId,
    client: Address,
}

/// Until when clients are trusted, in seconds since 1970-01-01T00:00:00Z. Of two halves the older goes when the newer is full.
#[derive(Debug, Default)]
struct Trusted {
    new: HashMap<Address, u64>,
    old: HashMap<Address, u64>,
}

/// Whether a client may have one more question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// It may.
    ForOne,
    /// It has as many as it may have now.
    NotForClient,
    /// It has none, and there is none for it.
    Nothing,
}

impl Questions {
    /// With so many for one client, at most.
    pub fn new(per_client: usize) -> Self {
        Self { under_way: HashMap::new(), per_client, trusted: Trusted::default() }
    }

    /// The question about a token, if one is under way.
    pub fn about(&self, token: &TokenDigest) -> Option<CalloutId> {
        Some(self.under_way.get(token)?.id)
    }

    /// Whether a client may have one more. `now`: seconds since 1970-01-01T00:00:00Z.
    pub fn room(&self, client: Address, now: u64) -> Room {
        let all = self.under_way.len();
        let own = self.under_way.values().filter(|question| question.client == client).count();
        let total = if self.trusted.has(client, now) { MAX_UNDER_WAY } else { FOR_STRANGERS };
        let left_by_others = total.saturating_sub(all.saturating_sub(own));
        let most = self.per_client.saturating_mul(left_by_others).div_ceil(total);
        if all < total && own < most {
            Room::ForOne
        } else if own > 0 {
            Room::NotForClient
        } else {
            Room::Nothing
        }
    }

    /// A question of a client is under way.
    pub fn begin(&mut self, token: TokenDigest, id: CalloutId, client: Address) {
        self.under_way.insert(token, UnderWay { id, client });
    }

    /// It is no more.
    pub fn end(&mut self, token: &TokenDigest) {
        self.under_way.remove(token);
    }

    /// A token of this client was good. `now`: seconds since 1970-01-01T00:00:00Z.
    pub fn trust(&mut self, client: Address, now: u64) {
        self.trusted.add(client, now.saturating_add(TRUSTED_FOR));
    }
}

impl Trusted {
    fn has(&self, client: Address, now: u64) -> bool {
        let until = |clients: &HashMap<Address, u64>| clients.get(&client).is_some_and(|until| *until > now);
        until(&self.new) || until(&self.old)
    }

    fn add(&mut self, client: Address, until: u64) {
        if self.new.len() >= MAX_TRUSTED / 2 && !self.new.contains_key(&client) {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(client, until);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test code")]

    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const NOW: u64 = 1_767_225_600;

    fn client(number: u32) -> Address {
        Address::V4(number.to_be_bytes())
    }

    /// Takes all that a client may have, and says how many that are and why it gets no more.
    fn take(questions: &mut Questions, client: Address) -> (usize, Room) {
        let mut taken = 0;
        loop {
            let room = questions.room(client, NOW);
            if room != Room::ForOne {
                return (taken, room);
            }
            let mut token = [0; 32];
            token[..size_of::<usize>()].copy_from_slice(&questions.under_way.len().to_le_bytes());
            questions.begin(token, CalloutId(1), client);
            taken += 1;
        }
    }

    #[test]
    fn a_client_has_fewer_the_more_others_have() {
        let mut questions = Questions::new(8);
        let taken: Vec<usize> = (0..)
            .map_while(|number| match take(&mut questions, client(number)) {
                (_, Room::Nothing) => None,
                (taken, _) => Some(taken),
            })
            .collect();
        assert!(taken.is_sorted_by(|before, after| before >= after), "{taken:?}");
        assert_eq!((taken.first(), taken.last()), (Some(&8), Some(&1)));
        assert_eq!(taken.iter().sum::<usize>(), FOR_STRANGERS);
        assert_eq!(taken.len(), 65, "the README says so: {taken:?}");
        // Who has some is told that it is too many, and who has none that there is none.
        assert_eq!(questions.room(client(0), NOW), Room::NotForClient);
        // What ends is there for the next, first of all for who has none.
        questions.end(&[0; 32]);
        assert_eq!(questions.room(client(1), NOW), Room::NotForClient);
        assert_eq!(questions.room(client(99), NOW), Room::ForOne);
    }

    #[test]
    fn one_client_alone_has_what_is_configured() {
        for per_client in [1, 2, 8, 100, FOR_STRANGERS] {
            assert_eq!(take(&mut Questions::new(per_client), client(1)), (per_client, Room::NotForClient));
        }
        let mut questions = Questions::new(MAX_UNDER_WAY);
        assert_eq!(take(&mut questions, client(1)), (FOR_STRANGERS, Room::NotForClient));
        questions.trust(client(1), NOW);
        assert_eq!(take(&mut questions, client(1)).0, MAX_UNDER_WAY - FOR_STRANGERS);
    }

    #[test]
    fn a_quarter_is_left_for_those_of_whom_a_token_was_good() {
        let mut questions = Questions::new(8);
        for number in 0..200 {
            take(&mut questions, client(number));
        }
        let known = client(1_000);
        assert_eq!(questions.room(known, NOW), Room::Nothing);
        questions.trust(known, NOW);
        assert_eq!(questions.room(known, NOW), Room::ForOne);
        assert_eq!(questions.room(known, NOW + TRUSTED_FOR), Room::Nothing);
        let taken: usize = (1_000..2_000)
            .map(|number| {
                questions.trust(client(number), NOW);
                take(&mut questions, client(number)).0
            })
            .sum();
        assert_eq!(taken, MAX_UNDER_WAY - FOR_STRANGERS);
    }

    #[test]
    fn the_memory_for_clients_has_an_end() {
        let mut questions = Questions::new(8);
        for number in 0..100_000 {
            questions.trust(client(number), NOW);
            questions.trust(client(0), NOW);
        }
        let Trusted { new, old } = &questions.trusted;
        assert!(new.len() + old.len() <= MAX_TRUSTED, "{} and {}", new.len(), old.len());
        assert!(questions.trusted.has(client(0), NOW) && questions.trusted.has(client(99_999), NOW));
        assert!(!questions.trusted.has(client(1), NOW));
    }
}
