//! A file of keys, as far as it has come: what outlives a configuration.

use std::cell::RefCell;

use super::load::Load;
use super::table::Table;

/// What one configuration leaves to the next.
#[derive(Debug, Default)]
pub struct Content(pub RefCell<Inner>);

/// A file.
#[derive(Debug, Default)]
pub struct Inner {
    /// Its keys.
    pub table: Table,
    /// All of a file has been loaded.
    pub is_loaded: bool,
    /// What the server calls that version of it.
    pub etag: Option<Vec<u8>>,
    /// The version that is coming.
    pub load: Option<Load>,
    /// How many configurations have had it: the last one loads.
    pub turns: u64,
}

impl Content {
    /// Gives it to somebody else; what has not all come is given up.
    pub fn hand_over(&self) -> u64 {
        let mut inner = self.0.borrow_mut();
        let inner = &mut *inner;
        if let Some(mut load) = inner.load.take()
            && load.is_complete()
        {
            // It is half made, and can't be undone.
            while !load.change().apply(&mut inner.table, usize::MAX) {}
            (inner.etag, inner.is_loaded) = (load.etag, true);
        }
        inner.turns = inner.turns.saturating_add(1);
        inner.turns
    }
}
