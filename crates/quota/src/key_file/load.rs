//! A file of keys while it comes, a part at a time.

use meshgate_policy::config::ConfigError;

use super::line::{Line, MAX_LINE, Rules};
use super::table::{Change, Full, Table};

/// A file of which some parts have come.
#[derive(Debug)]
pub struct Load {
    /// What the server calls this version of it.
    pub etag: Option<Vec<u8>>,
    /// Its length in bytes.
    pub total: u64,
    /// How much of it has come.
    pub read: u64,
    /// The beginning of a line whose end has not come.
    rest: Vec<u8>,
    /// How many lines have come.
    lines: u64,
    change: Change,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong(pub String);

impl Load {
    /// Begins. What was begun before is given up.
    pub fn new(etag: Option<Vec<u8>>, total: u64, table: &mut Table) -> Self {
        Self { etag, total, read: 0, rest: Vec::new(), lines: 0, change: table.change() }
    }

    /// Whether all of it has come.
    pub const fn is_complete(&self) -> bool {
        self.read >= self.total
    }

    /// How many keys have come.
    pub const fn keys(&self) -> usize {
        self.change.number()
    }

    /// The change that it makes.
    pub const fn change(&mut self) -> &mut Change {
        &mut self.change
    }

    /// Takes the next part.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn take(&mut self, mut part: &[u8], table: &mut Table, rules: &Rules) -> Result<(), Wrong> {
        self.read = self.read.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
        while let Some(end) = memchr::memchr(b'\n', part) {
            let (line, behind) = part.split_at_checked(end).unwrap_or((part, b""));
            part = behind.strip_prefix(b"\n").unwrap_or(behind);
            if self.rest.is_empty() {
                self.line(line, table, rules)?;
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(line);
                self.line(&whole, table, rules)?;
                // Its memory is for the next one.
                whole.clear();
                self.rest = whole;
            }
        }
        self.rest.extend_from_slice(part);
        if self.rest.len() > MAX_LINE {
            return Err(self.wrong("longer than 8 KiB"));
        }
        if self.is_complete() {
            let last = std::mem::take(&mut self.rest);
            self.line(&last, table, rules)?;
            if self.keys() == 0 {
                // What writes a file may have failed after it had made it.
                return Err(Wrong("no key is in it".to_owned()));
            }
        }
        Ok(())
    }

    fn line(&mut self, text: &[u8], table: &mut Table, rules: &Rules) -> Result<(), Wrong> {
        let is_last = self.is_complete() && text.is_empty();
        if is_last {
            return Ok(());
        }
        self.lines = self.lines.saturating_add(1);
        if text.len() > MAX_LINE {
            return Err(self.wrong_here("longer than 8 KiB"));
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let line = Line::read(text, rules).map_err(|error| self.wrong_here(&described(&error)))?;
        self.change.add(table, &line.row()).map_err(|full| {
            self.wrong_here(&match full {
                Full::Duplicate => format!("{}: the digest of another key of the file", line.digest_field()),
                Full::TooLong => "metadata: more than 64 KiB".to_owned(),
            })
        })
    }

    fn wrong_here(&self, what: &str) -> Wrong {
        Wrong(format!("line {}: {what}", self.lines))
    }

    /// As [`Load::wrong_here`], of the line that has not ended.
    fn wrong(&self, what: &str) -> Wrong {
        Wrong(format!("line {}: {what}", self.lines.saturating_add(1)))
    }
}

/// Of an error in a line, without the place where it was put to be explained.
fn described(error: &ConfigError) -> String {
    let error = error.to_string();
    let inner = error.strip_prefix("keys").map(|rest| rest.strip_prefix('.').unwrap_or(rest));
    inner.map_or_else(|| error.clone(), |inner| inner.trim_start_matches(": ").to_owned())
}
