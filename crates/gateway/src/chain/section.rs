//! A field section that all stages share: read once, written once.
//!
//! What a stage writes is kept as an edit, and what a later stage reads is what the edits before it made. When the section
//! is passed on, each field that differs from what the proxy has is written, in as few calls as that takes.

use meshgate_policy::headers::{HeaderName, HeaderValue, Headers};
use meshgate_policy::host::{Host, HostError, Map};

use super::local::Kind;

/// A field section, as far as anybody asked for it.
#[derive(Debug, Default)]
pub(super) struct Section {
    /// As the proxy has it; `None`: nobody has read it.
    base: Option<Headers>,
    /// With the edits so far.
    current: Option<Headers>,
    /// Fields that were asked for one by one.
    singles: Vec<(HeaderName, Option<Vec<u8>>)>,
    edits: Vec<Edit>,
}

#[derive(Debug)]
enum Edit {
    Set(HeaderName, HeaderValue<'static>),
    Add(HeaderName, HeaderValue<'static>),
    Remove(HeaderName),
}

impl Edit {
    const fn name(&self) -> &HeaderName {
        match self {
            Self::Set(name, _) | Self::Add(name, _) | Self::Remove(name) => name,
        }
    }
}

impl Section {
    /// A section that the proxy does not have: of an answer that a stage gave.
    pub(super) fn of(fields: Headers) -> Self {
        Self { base: Some(fields), ..Self::default() }
    }

    /// All fields, as they are now.
    pub(super) fn read(&mut self, host: &mut dyn Host, map: Map) -> Result<Headers, HostError> {
        if let Some(current) = &self.current {
            return Ok(current.clone());
        }
        if self.base.is_none() {
            self.base = Some(host.headers(map)?);
        }
        let Some(base) = &self.base else { return Err(HostError::Malformed) };
        if self.edits.is_empty() {
            return Ok(base.clone());
        }
        let current = apply(base, &self.edits);
        self.current = Some(current.clone());
        Ok(current)
    }

    /// The first value of one field, as it is now. Absent fields are cheap to ask for, and two that are there cost more than
    /// all at once.
    pub(super) fn first(
        &mut self,
        host: &mut dyn Host,
        map: Map,
        name: &HeaderName,
    ) -> Result<Option<Vec<u8>>, HostError> {
        if self.edits.iter().all(|edit| edit.name() != name) {
            if let Some(base) = &self.base {
                return Ok(base.first(name.as_str()).map(<[u8]>::to_vec));
            }
            if let Some((_, value)) = self.singles.iter().find(|(known, _)| known == name) {
                return Ok(value.clone());
            }
            if self.singles.iter().all(|(_, value)| value.is_none()) {
                let value = host.first_header(map, name)?;
                self.singles.push((name.clone(), value.clone()));
                return Ok(value);
            }
        }
        Ok(self.read(host, map)?.first(name.as_str()).map(<[u8]>::to_vec))
    }

    /// Replaces all values of a field by one.
    pub(super) fn set(&mut self, name: &HeaderName, value: &HeaderValue<'_>) {
        self.edit(Edit::Set(name.clone(), value.clone().into_owned()));
    }

    /// Adds a value to a field.
    pub(super) fn add(&mut self, name: &HeaderName, value: &HeaderValue<'_>) {
        self.edit(Edit::Add(name.clone(), value.clone().into_owned()));
    }

    /// Removes all values of a field.
    pub(super) fn remove(&mut self, name: &HeaderName) {
        self.edit(Edit::Remove(name.clone()));
    }

    fn edit(&mut self, edit: Edit) {
        self.edits.push(edit);
        self.current = None;
    }

    /// Of a request: what it is, as far as it has been read.
    pub(super) fn kind(&self) -> Kind {
        let Some(base) = &self.base else { return Kind::default() };
        let content_type = base.first("content-type").unwrap_or_default();
        Kind {
            is_head: base.first(":method") == Some(b"HEAD"),
            is_grpc: content_type
                .strip_prefix(b"application/grpc")
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+")),
        }
    }

    /// Whether it is still what it was made of.
    pub(super) const fn is_unchanged(&self) -> bool {
        self.edits.is_empty()
    }

    /// Writes what differs from what the proxy has.
    pub(super) fn flush(&mut self, host: &mut dyn Host, map: Map) -> Result<(), HostError> {
        let edits = std::mem::take(&mut self.edits);
        for (index, edit) in edits.iter().enumerate() {
            let name = edit.name();
            if edits.iter().take(index).any(|earlier| earlier.name() == name) {
                continue;
            }
            let edits = || edits.iter().filter(|edit| edit.name() == name);
            match &self.base {
                Some(base) => write_difference(host, map, name, base, edits())?,
                None => write(host, map, name, edits())?,
            }
        }
        *self = Self::default();
        Ok(())
    }
}

/// The fields with the edits.
fn apply(base: &Headers, edits: &[Edit]) -> Headers {
    let mut fields: Vec<(&[u8], &[u8])> = base.iter().collect();
    for edit in edits {
        let name = edit.name().as_str().as_bytes();
        match edit {
            Edit::Add(_, value) => fields.push((name, value.as_bytes())),
            Edit::Remove(_) => fields.retain(|(found, _)| *found != name),
            Edit::Set(_, value) => {
                let place = fields.iter().position(|(found, _)| *found == name);
                let mut index = 0_usize;
                fields.retain(|(found, _)| {
                    let here = index;
                    index = index.saturating_add(1);
                    *found != name || Some(here) == place
                });
                match place.and_then(|place| fields.get_mut(place)) {
                    Some(field) => field.1 = value.as_bytes(),
                    None => fields.push((name, value.as_bytes())),
                }
            }
        }
    }
    Headers::from_pairs(fields)
}

/// What the edits of one field make of its values.
fn values<'a>(
    before: impl Iterator<Item = &'a [u8]>,
    edits: impl Iterator<Item = &'a Edit>,
) -> Vec<&'a [u8]> {
    let mut values: Vec<&[u8]> = before.collect();
    for edit in edits {
        match edit {
            Edit::Set(_, value) => values = vec![value.as_bytes()],
            Edit::Add(_, value) => values.push(value.as_bytes()),
            Edit::Remove(_) => values.clear(),
        }
    }
    values
}

/// Writes one field of which it is known what the proxy has.
fn write_difference<'a>(
    host: &mut dyn Host,
    map: Map,
    name: &'a HeaderName,
    base: &'a Headers,
    edits: impl Iterator<Item = &'a Edit>,
) -> Result<(), HostError> {
    let before: Vec<&[u8]> = base.all(name.as_str()).collect();
    let after = values(before.iter().copied(), edits);
    let value = |bytes: &'a [u8]| HeaderValue::new(bytes).map_err(|_| HostError::Malformed);
    match after.strip_prefix(&*before) {
        Some(added) => added.iter().try_for_each(|bytes| host.add_header(map, name, &value(bytes)?)),
        None => match after.split_first() {
            None => host.remove_header(map, name),
            Some((first, others)) => {
                // What becomes of the others is not left to the proxy.
                if before.len() > 1 {
                    host.remove_header(map, name)?;
                    host.add_header(map, name, &value(first)?)?;
                } else {
                    host.set_header(map, name, &value(first)?)?;
                }
                others.iter().try_for_each(|bytes| host.add_header(map, name, &value(bytes)?))
            }
        },
    }
}

/// Writes one field of which it is not known what the proxy has.
fn write<'a>(
    host: &mut dyn Host,
    map: Map,
    name: &HeaderName,
    edits: impl Iterator<Item = &'a Edit>,
) -> Result<(), HostError> {
    let (mut replaces, mut values) = (false, Vec::new());
    for edit in edits {
        match edit {
            Edit::Set(_, value) => (replaces, values) = (true, vec![value]),
            Edit::Remove(_) => (replaces, values) = (true, Vec::new()),
            Edit::Add(_, value) => values.push(value),
        }
    }
    let mut values = values.into_iter();
    if replaces {
        match values.next() {
            Some(first) => host.set_header(map, name, first)?,
            None => host.remove_header(map, name)?,
        }
    }
    values.try_for_each(|value| host.add_header(map, name, value))
}
