//! A key of a file, as it lies in memory: bytes, and nothing that a configuration would have to stay for.

use std::collections::BTreeMap;

use meshgate_policy::digest::Digest;
use meshgate_policy::host::Timestamp;

use crate::keys::{ALWAYS, NEVER, Validity};

/// A key of a file.
#[derive(Debug)]
pub struct Row<'a> {
    /// Its digest.
    pub digest: Digest,
    /// That is made with the pepper.
    pub peppered: bool,
    /// When it can be used.
    pub validity: Validity,
    /// What it is known by.
    pub id: &'a str,
    /// Whose it is, without the prefix of the file.
    pub consumer: &'a str,
    /// The name of its plan, if it has one.
    pub plan: Option<&'a str>,
    /// What else the upstream is told.
    pub metadata: &'a BTreeMap<String, String>,
}

/// A key of a file: the digest, a mark, what there is (`has`), the lengths of id and consumer; then what there is of the
/// times, the plan and the length of the metadata, each number in little endian; then the texts.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    bytes: &'a [u8],
    parts: Parts<'a>,
}

#[derive(Clone, Copy, Debug)]
struct Parts<'a> {
    digest: &'a [u8; 32],
    mark: u8,
    has: u8,
    times: (u64, u64),
    plan: Option<u16>,
    id: &'a str,
    consumer: &'a str,
    metadata: &'a [u8],
}

/// Where the mark lies.
const MARK: usize = 32;

/// What a record has.
mod has {
    pub const PEPPER: u8 = 1;
    pub const DISABLED: u8 = 2;
    pub const NOT_BEFORE: u8 = 4;
    pub const EXPIRES_AT: u8 = 8;
    pub const PLAN: u8 = 16;
    pub const METADATA: u8 = 32;
}

/// Writes a record; `None`: something is too long.
pub fn write(out: &mut Vec<u8>, row: &Row<'_>, plan: Option<u16>, mark: u8) -> Option<()> {
    let Validity { not_before, expires_at, disabled } = row.validity;
    let times = [(has::NOT_BEFORE, not_before, ALWAYS), (has::EXPIRES_AT, expires_at, NEVER)];
    let times = times.map(|(has, time, nothing)| (time != nothing).then_some((has, time)));
    let flags = [
        (row.peppered, has::PEPPER),
        (disabled, has::DISABLED),
        (plan.is_some(), has::PLAN),
        (!row.metadata.is_empty(), has::METADATA),
    ];
    let flags = flags.into_iter().filter_map(|(is, flag)| is.then_some(flag));
    let has = flags.chain(times.iter().flatten().map(|(flag, _)| *flag)).fold(0, |all, flag| all | flag);
    let length = |text: &str| u8::try_from(text.len()).ok();
    out.extend_from_slice(row.digest.as_bytes());
    out.extend_from_slice(&[mark, has, length(row.id)?, length(row.consumer)?]);
    for (_, time) in times.into_iter().flatten() {
        out.extend_from_slice(&time.as_nanos().to_le_bytes());
    }
    if let Some(plan) = plan {
        out.extend_from_slice(&plan.to_le_bytes());
    }
    if !row.metadata.is_empty() {
        let entries = row.metadata.iter();
        let sizes = entries.map(|(name, value)| name.len().saturating_add(value.len()).saturating_add(2));
        out.extend_from_slice(&u16::try_from(sizes.sum::<usize>()).ok()?.to_le_bytes());
    }
    out.extend_from_slice(row.id.as_bytes());
    out.extend_from_slice(row.consumer.as_bytes());
    for (name, value) in row.metadata {
        out.extend_from_slice(&[length(name)?, length(value)?]);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    Some(())
}

/// Changes the mark of the record that is first among these bytes.
pub fn mark(records: &mut [u8], mark: u8) {
    if let Some(byte) = records.get_mut(MARK) {
        *byte = mark;
    }
}

impl<'a> Record<'a> {
    /// The first of those that lie here.
    pub fn first(records: &'a [u8]) -> Option<Self> {
        let mut rest = records;
        let digest = take(&mut rest)?;
        let [mark, has, id, consumer] = *take(&mut rest)?;
        let mut time = |flag, nothing: Timestamp| {
            let bytes = if has & flag == 0 { Some(nothing.as_nanos()) } else { None };
            bytes.or_else(|| take(&mut rest).map(|bytes| u64::from_le_bytes(*bytes)))
        };
        let times = (time(has::NOT_BEFORE, ALWAYS)?, time(has::EXPIRES_AT, NEVER)?);
        let mut number = |flag| {
            let there = has & flag != 0;
            if there { take(&mut rest).map(|bytes| Some(u16::from_le_bytes(*bytes))) } else { Some(None) }
        };
        let (plan, metadata) = (number(has::PLAN)?, number(has::METADATA)?);
        let mut text = |length: u8| {
            let (text, behind) = rest.split_at_checked(length.into())?;
            rest = behind;
            std::str::from_utf8(text).ok()
        };
        let (id, consumer) = (text(id)?, text(consumer)?);
        let (metadata, rest) = rest.split_at_checked(metadata.unwrap_or_default().into())?;
        let bytes = records.get(..records.len().checked_sub(rest.len())?)?;
        Some(Self { bytes, parts: Parts { digest, mark, has, times, plan, id, consumer, metadata } })
    }

    /// All of it.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What it was marked with last.
    pub const fn mark(&self) -> u8 {
        self.parts.mark
    }

    /// Its digest.
    pub const fn digest(&self) -> Digest {
        Digest::from_bytes(*self.parts.digest)
    }

    /// Whether it is that of a key with this digest.
    pub fn is(&self, digest: &Digest, peppered: bool) -> bool {
        (self.parts.has & has::PEPPER != 0) == peppered && self.digest() == *digest
    }

    /// Whether it is the same as another, whatever they are marked with.
    pub fn says(&self, other: &[u8]) -> bool {
        let parts =
            |bytes: &'a [u8]| bytes.split_at_checked(MARK).map(|(digest, rest)| (digest, rest.get(1..)));
        let other = other.split_at_checked(MARK).map(|(digest, rest)| (digest, rest.get(1..)));
        parts(self.bytes) == other
    }

    /// When it can be used.
    pub const fn validity(&self) -> Validity {
        let (not_before, expires_at) = self.parts.times;
        Validity {
            not_before: Timestamp::from_nanos(not_before),
            expires_at: Timestamp::from_nanos(expires_at),
            disabled: self.parts.has & has::DISABLED != 0,
        }
    }

    /// The number of its plan.
    pub const fn plan(&self) -> Option<u16> {
        self.parts.plan
    }

    /// What it is known by.
    pub const fn id(&self) -> &'a str {
        self.parts.id
    }

    /// Whose it is, without the prefix of the file.
    pub const fn consumer(&self) -> &'a str {
        self.parts.consumer
    }

    /// What else the upstream is told: names and values.
    pub fn metadata(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut rest = self.parts.metadata;
        std::iter::from_fn(move || {
            let [name, value] = *take(&mut rest)?;
            let (name, behind) = rest.split_at_checked(name.into())?;
            let (value, behind) = behind.split_at_checked(value.into())?;
            rest = behind;
            Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?))
        })
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let time = |nanos| Timestamp::from_nanos(nanos);
        let some =
            BTreeMap::from([("tenant".to_owned(), "42".to_owned()), ("a".to_owned(), "b c".to_owned())]);
        let none = BTreeMap::new();
        let mut all = Vec::new();
        let mut expected = Vec::new();
        for (not_before, expires_at) in
            [(ALWAYS, NEVER), (time(5), NEVER), (ALWAYS, time(7)), (time(1), time(2))]
        {
            for plan in [None, Some(0), Some(999)] {
                for (peppered, disabled, metadata) in
                    [(false, false, &none), (true, false, &some), (false, true, &some)]
                {
                    let validity = Validity { not_before, expires_at, disabled };
                    let digest = Digest::of(&[u8::from(peppered)]);
                    let row =
                        Row { digest, peppered, validity, id: "an id", consumer: "", plan: None, metadata };
                    write(&mut all, &row, plan, 3).unwrap();
                    expected.push((digest, peppered, validity, plan, metadata));
                }
            }
        }
        let mut rest = all.as_slice();
        for (digest, peppered, validity, plan, metadata) in expected {
            let record = Record::first(rest).unwrap();
            assert!(record.is(&digest, peppered) && !record.is(&digest, !peppered));
            assert_eq!((record.validity(), record.plan(), record.mark()), (validity, plan, 3));
            assert_eq!((record.id(), record.consumer()), ("an id", ""));
            let read: BTreeMap<_, _> =
                record.metadata().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            assert_eq!(read, *metadata);
            let mut other = record.bytes().to_vec();
            mark(&mut other, 4);
            assert!(record.says(&other));
            other.push(0);
            assert!(!record.says(&other));
            rest = &rest[record.bytes().len()..];
        }
        assert!(rest.is_empty() && Record::first(rest).is_none());
        for length in 0..40 {
            assert!(Record::first(&all[..length]).is_none());
        }
    }

    #[test]
    fn what_is_too_long_is_not_written() {
        let (long, none) = ("x".repeat(256), BTreeMap::new());
        let validity = Validity { not_before: ALWAYS, expires_at: NEVER, disabled: false };
        let row = Row {
            digest: Digest::of(b""),
            peppered: false,
            validity,
            id: &long,
            consumer: "c",
            plan: None,
            metadata: &none,
        };
        assert_eq!(write(&mut Vec::new(), &row, None, 0), None);
        let much: BTreeMap<_, _> =
            (0..600).map(|number| (format!("{number:064}"), "x".repeat(128))).collect();
        let row = Row { id: "i", metadata: &much, ..row };
        assert_eq!(write(&mut Vec::new(), &row, None, 0), None);
    }
}
