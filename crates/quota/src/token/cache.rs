//! What was found out about tokens, in bounded space.

use std::collections::HashMap;
use std::fmt;

use blake2::{Blake2b256, Digest as _};

/// A token by its BLAKE2b-256 digest (RFC 7693): the token itself is not kept. A token is ten times as long as a key, so the
/// digest is one that is fast in wasm.
pub type TokenDigest = [u8; 32];

/// The digest of a token.
pub fn digest(token: &[u8]) -> TokenDigest {
    Blake2b256::digest(token).into()
}

/// What is known by digest, each until a time of its own. Of two halves the older goes when the newer is full, so that
/// what is asked for stays and nothing has to be looked through.
pub struct Cache<V> {
    new: HashMap<TokenDigest, Entry<V>>,
    old: HashMap<TokenDigest, Entry<V>>,
    /// The sizes of the new ones together.
    size: usize,
    /// The most entries of a half, and the most that they have together, but for the last one.
    half: usize,
    half_size: usize,
}

struct Entry<V> {
    value: V,
    until: u64,
    size: usize,
}

impl<V: Clone> Cache<V> {
    /// For at most so many, of at most this size together.
    pub fn new(capacity: usize, size: usize) -> Self {
        Self { new: HashMap::new(), old: HashMap::new(), size: 0, half: capacity / 2, half_size: size / 2 }
    }

    /// What is known now, in seconds since 1970-01-01T00:00:00Z.
    pub fn get(&mut self, digest: &TokenDigest, now: u64) -> Option<V> {
        if !self.new.contains_key(digest) {
            let (digest, entry) = self.old.remove_entry(digest)?;
            self.insert_entry(digest, entry);
        }
        let entry = self.new.get(digest)?;
        if entry.until > now {
            return Some(entry.value.clone());
        }
        self.new.remove(digest);
        None
    }

    /// Keeps something of some size until a time.
    pub fn insert(&mut self, digest: TokenDigest, value: V, until: u64, size: usize) {
        self.insert_entry(digest, Entry { value, until, size });
    }

    fn insert_entry(&mut self, digest: TokenDigest, entry: Entry<V>) {
        let full = self.new.len() >= self.half || self.size >= self.half_size;
        if full && !self.new.contains_key(&digest) {
            self.old = std::mem::take(&mut self.new);
            self.size = 0;
        }
        self.size = self.size.saturating_add(entry.size);
        self.new.insert(digest, entry);
    }
}

impl<V> fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("len", &self.new.len().saturating_add(self.old.len())).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "test code")]

    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn entries_end_at_their_time() {
        let mut cache = Cache::new(8, 80);
        let key = digest(b"token");
        cache.insert(key, "first", 10, 1);
        assert_eq!(
            (cache.get(&key, 9), cache.get(&key, 10), cache.get(&key, 9)),
            (Some("first"), None, None)
        );
        cache.insert(key, "second", 20, 1);
        cache.insert(key, "third", 30, 1);
        assert_eq!((cache.get(&key, 29), cache.get(&digest(b"other"), 0)), (Some("third"), None));
    }

    #[test]
    fn a_million_tokens_take_no_more_room_than_the_first() {
        let mut cache = Cache::new(64, 1 << 20);
        let favourite = [0xff; 32];
        cache.insert(favourite, 0, u64::MAX, 1);
        for number in 0_u32..1_000_000 {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&number.to_le_bytes());
            cache.insert(key, number, u64::MAX, 1);
            // What is in use stays.
            if number % 16 == 0 {
                assert_eq!(cache.get(&favourite, 0), Some(0));
            }
        }
        assert!(cache.new.len() <= 32 && cache.old.len() <= 32, "{cache:?}");
        assert!(cache.new.capacity() + cache.old.capacity() < 256);
        assert_eq!(cache.get(&favourite, 0), Some(0));
    }

    #[test]
    fn large_ones_leave_room_for_fewer() {
        let mut cache = Cache::new(1_000, 100);
        for number in 0_u8..100 {
            cache.insert([number; 32], number, u64::MAX, 25);
        }
        assert!(cache.new.len() + cache.old.len() <= 4, "{cache:?}");
        assert_eq!(cache.get(&[99; 32], 0), Some(99));
    }
}
