//! Header fields, cookies, query and path: values with names, looked at one by one.

use std::ops::Range;

use meshgate_detect::{Finding, Scanner};
use meshgate_policy::head::{RequestHead, split_target};
use meshgate_policy::headers::{HeaderName, HeaderValue, Headers};
use meshgate_policy::host::{Host, HostError, Map, Side};
use meshgate_policy::query;

use crate::Dlp;
use crate::inspect::{Around, Blocked, Edit, Inspection, splice};
use crate::place::Place;
use crate::report::Report;
use crate::sink::Sink;

/// Header fields that frame a message, direct it or are about its connection: whatever they hold is no data, and to change
/// it would break the message.
const STRUCTURAL: [&[u8]; 24] = [
    b"accept",
    b"accept-encoding",
    b"accept-ranges",
    b"age",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"date",
    b"expect",
    b"host",
    b"keep-alive",
    b"proxy-connection",
    b"range",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"vary",
    b"via",
];

/// Header fields whose values are URLs.
const URLS: [&[u8]; 4] = [b"content-location", b"location", b"referer", b"x-original-url"];

/// Why a head does not pass.
#[derive(Debug)]
pub enum Stop {
    /// A rule lets it not pass.
    Blocked(Blocked),
    /// The proxy refused something.
    Failed(HostError),
}

impl From<Blocked> for Stop {
    fn from(blocked: Blocked) -> Self {
        Self::Blocked(blocked)
    }
}

impl From<HostError> for Stop {
    fn from(error: HostError) -> Self {
        Self::Failed(error)
    }
}

/// Looks into the head of a message, for the rules of this set, and changes what has to be changed.
///
/// # Errors
/// The head must not pass.
pub fn inspect(
    dlp: &Dlp,
    host: &mut dyn Host,
    side: Side,
    headers: &Headers,
    rules: u64,
    report: &mut Report,
) -> Result<(), Stop> {
    let mut heads = Heads { dlp, rules, report, findings: Vec::new() };
    if side == Side::Request {
        heads.target(host, headers)?;
    }
    heads.fields(host, side, headers)
}

struct Heads<'a> {
    dlp: &'a Dlp,
    rules: u64,
    report: &'a mut Report,
    /// Reused.
    findings: Vec<Finding>,
}

/// What becomes of a value.
enum Change {
    /// Another value.
    Value(Vec<u8>),
    /// The field that it is in goes.
    Drop,
}

/// The name of a value.
#[derive(Clone, Copy)]
enum Label<'a> {
    /// It has none.
    None,
    /// This.
    Name(&'a [u8]),
    /// It is itself this name: rules are for it that are for fields of that name, but it says nothing of itself.
    Own(&'a [u8]),
}

impl<'a> From<Option<&'a [u8]>> for Label<'a> {
    fn from(name: Option<&'a [u8]>) -> Self {
        name.map_or(Self::None, Self::Name)
    }
}

impl Heads<'_> {
    /// What looks into a place, if one of the rules is for it.
    fn scanner(&self, place: Place) -> Option<&Scanner> {
        let wanted = self.dlp.rules.of(self.rules).any(|(_, rule)| rule.places.has(place));
        self.dlp.rules.scanner(place).filter(|_| wanted)
    }

    /// Path and query.
    fn target(&mut self, host: &mut dyn Host, headers: &Headers) -> Result<(), Stop> {
        let head = RequestHead::new(headers);
        let path = self.value(Place::RequestPath, head.path, Label::None, Sink::Url)?;
        let query = match head.query {
            Some(query) => self.query(query)?,
            None => None,
        };
        if path.is_none() && query.is_none() {
            return Ok(());
        }
        let target = headers.first(":path").unwrap_or_default();
        let (old_path, old_query) = split_target(target);
        let mut new = match path {
            Some(Change::Value(path)) => path,
            // A path can't go: the configuration does not allow for it.
            Some(Change::Drop) | None => old_path.to_vec(),
        };
        match query {
            Some(query) if query.is_empty() => {}
            Some(query) => new.extend([b"?", query.as_slice()].concat()),
            None => new.extend(old_query.map(|query| [b"?", query].concat()).unwrap_or_default()),
        }
        let value = HeaderValue::new(new).map_err(|_| HostError::Malformed)?;
        Ok(host.set_header(Map::RequestHeaders, &HeaderName::PATH, &value)?)
    }

    /// The query with its changes; `None`: there are none.
    fn query(&mut self, query: &[u8]) -> Result<Option<Vec<u8>>, Stop> {
        if self.scanner(Place::RequestQuery).is_none() {
            return Ok(None);
        }
        let mut edits: Vec<Edit> = Vec::new();
        for parameter in query::parameters(query) {
            let name = parameter.decoded_name();
            let value_start = parameter.range.end.saturating_sub(parameter.value.len());
            let first = edits.len();
            for (text, start, label) in [
                (parameter.name, parameter.range.start, Label::Own(&name)),
                (parameter.value, value_start, Label::Name(&name)),
            ] {
                match self.value(Place::RequestQuery, text, label, Sink::Url)? {
                    Some(Change::Value(with)) => {
                        let range = start..start.saturating_add(text.len());
                        edits.push(Edit { range, with, drops: false });
                    }
                    Some(Change::Drop) => {
                        edits.truncate(first);
                        edits.push(drop_piece(query, parameter.range, b'&'));
                        break;
                    }
                    None => {}
                }
            }
        }
        Ok((!edits.is_empty()).then(|| trim_end(splice(query, &edits), b'&', query)))
    }

    /// Header fields and cookies.
    fn fields(&mut self, host: &mut dyn Host, side: Side, headers: &Headers) -> Result<(), Stop> {
        let (fields, cookies) = match side {
            Side::Request => (Place::RequestHeaders, Place::RequestCookies),
            Side::Response => (Place::ResponseHeaders, Place::ResponseCookies),
        };
        let (look_at_fields, look_at_cookies) =
            (self.scanner(fields).is_some(), self.scanner(cookies).is_some());
        if !look_at_fields && !look_at_cookies {
            return Ok(());
        }
        let mut changes: Vec<(usize, Option<Vec<u8>>)> = Vec::new();
        for (index, (name, value)) in headers.iter().enumerate() {
            let change = match name {
                b"cookie" if side == Side::Request && look_at_cookies => self.cookies(value)?,
                b"set-cookie" if side == Side::Response && look_at_cookies => self.set_cookie(value)?,
                _ if !look_at_fields || name.starts_with(b":") || STRUCTURAL.contains(&name) => None,
                _ => {
                    let sink = if URLS.contains(&name) { Sink::Url } else { Sink::Header };
                    self.value(fields, value, Label::Name(name), sink)?
                }
            };
            match change {
                Some(Change::Value(value)) => changes.push((index, Some(value))),
                Some(Change::Drop) => changes.push((index, None)),
                None => {}
            }
        }
        Ok(write(host, Map::head(side), headers, &changes)?)
    }

    /// The `cookie` field of a request: `a=1; b=2`.
    fn cookies(&mut self, field: &[u8]) -> Result<Option<Change>, Stop> {
        let mut edits: Vec<Edit> = Vec::new();
        let mut start = 0_usize;
        for piece in field.split(|byte| *byte == b';') {
            let end = start.saturating_add(piece.len());
            let (name, value) = pair(field, start..end);
            let text = field.get(value.clone()).unwrap_or_default();
            match self.value(Place::RequestCookies, text, name.into(), Sink::Cookie)? {
                Some(Change::Value(with)) => edits.push(Edit { range: value, with, drops: false }),
                Some(Change::Drop) => edits.push(drop_piece(field, start..end, b';')),
                None => {}
            }
            start = end.saturating_add(1);
        }
        if edits.is_empty() {
            return Ok(None);
        }
        let left = trim_end(splice(field, &edits), b';', field);
        Ok(Some(if left.trim_ascii().is_empty() {
            Change::Drop
        } else {
            Change::Value(left.trim_ascii().to_vec())
        }))
    }

    /// The `set-cookie` field of a response: `a=1; Path=/; Secure`.
    fn set_cookie(&mut self, field: &[u8]) -> Result<Option<Change>, Stop> {
        let end = memchr::memchr(b';', field).unwrap_or(field.len());
        let (name, value) = pair(field, 0..end);
        let text = field.get(value.clone()).unwrap_or_default();
        Ok(match self.value(Place::ResponseCookies, text, name.into(), Sink::Cookie)? {
            Some(Change::Value(with)) => {
                Some(Change::Value(splice(field, &[Edit { range: value, with, drops: false }])))
            }
            other => other,
        })
    }

    /// Looks into one value.
    fn value(
        &mut self,
        place: Place,
        text: &[u8],
        label: Label<'_>,
        sink: Sink,
    ) -> Result<Option<Change>, Stop> {
        let (key, name) = match label {
            Label::None => (None, None),
            Label::Name(name) => (Some(name), Some(name)),
            Label::Own(name) => (None, Some(name)),
        };
        let mut findings = std::mem::take(&mut self.findings);
        let found = match self.scanner(place) {
            Some(scanner) if !text.is_empty() => {
                scanner.scan_value(text, key, sink.syntax(), &mut findings);
                !findings.is_empty()
            }
            _ => false,
        };
        let mut edits = Vec::new();
        if found {
            let mut inspection =
                Inspection { dlp: self.dlp, rules: self.rules, place, report: self.report, quotes: None };
            inspection.edits(text, Around::field(sink, name), &mut findings, &mut edits)?;
        }
        self.findings = findings;
        if edits.is_empty() {
            Ok(None)
        } else if edits.iter().any(|edit| edit.drops) {
            Ok(Some(Change::Drop))
        } else {
            Ok(Some(Change::Value(splice(text, &edits))))
        }
    }
}

/// Writes the fields that have changed. Of a repeated field all values are written again, in their order.
fn write(
    host: &mut dyn Host,
    map: Map,
    headers: &Headers,
    changes: &[(usize, Option<Vec<u8>>)],
) -> Result<(), HostError> {
    let changed =
        |index: usize| changes.iter().find(|(changed, _)| *changed == index).map(|(_, value)| value);
    let mut written: Vec<&[u8]> = Vec::new();
    for (name, _) in
        headers.iter().enumerate().filter(|(index, _)| changed(*index).is_some()).map(|(_, field)| field)
    {
        if written.contains(&name) {
            continue;
        }
        written.push(name);
        // A name that can't be written can't be removed either: then nothing of the message passes.
        let name_to_write = std::str::from_utf8(name).ok().and_then(|name| HeaderName::new(name).ok());
        let name_to_write = name_to_write.ok_or(HostError::Malformed)?;
        host.remove_header(map, &name_to_write)?;
        for (index, (_, value)) in headers.iter().enumerate().filter(|(_, (other, _))| *other == name) {
            let value = match changed(index) {
                Some(None) => continue,
                Some(Some(value)) => value,
                None => value,
            };
            let value = HeaderValue::new(value).map_err(|_| HostError::Malformed)?;
            host.add_header(map, &name_to_write, &value)?;
        }
    }
    Ok(())
}

/// Name and value of a `name=value` in a text, without the white space around them.
fn pair(text: &[u8], range: Range<usize>) -> (Option<&[u8]>, Range<usize>) {
    let piece = text.get(range.clone()).unwrap_or_default();
    let (name, value_at) = match memchr::memchr(b'=', piece) {
        Some(at) => (piece.get(..at).map(<[u8]>::trim_ascii), at.saturating_add(1)),
        None => (None, 0),
    };
    let value = piece.get(value_at..).unwrap_or_default();
    let leading = value.len().saturating_sub(value.trim_ascii_start().len());
    let start = range.start.saturating_add(value_at).saturating_add(leading);
    (name, start..start.saturating_add(value.trim_ascii().len()))
}

/// Takes a piece out of a list, with the separator behind it.
fn drop_piece(text: &[u8], range: Range<usize>, separator: u8) -> Edit {
    let end = match text.get(range.end) {
        Some(byte) if *byte == separator => range.end.saturating_add(1),
        _ => range.end,
    };
    Edit { range: range.start..end, with: Vec::new(), drops: true }
}

/// Without the separator that the last piece has left behind, where there was none before.
fn trim_end(mut list: Vec<u8>, separator: u8, before: &[u8]) -> Vec<u8> {
    if list.last() == Some(&separator) && before.last() != Some(&separator) {
        list.pop();
    }
    list
}
