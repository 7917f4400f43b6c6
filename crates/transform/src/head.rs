//! A head that is being rewritten.
//!
//! Nothing is written to the proxy until all operations are done: a [`Draft`] holds, for each name that was touched, what has
//! become of it, over the fields as they arrived. At the end only what differs is written, in the cheapest way: a field that is
//! added costs less than one that is set. Query parameters and cookies are edited in the text of `:path`, `cookie` and
//! `set-cookie`, so that all of it that no operation names stays byte for byte.

use std::borrow::Cow;

use meshgate_policy::head::split_target;
use meshgate_policy::headers::{HeaderName, HeaderValue, Headers};
use meshgate_policy::host::{Host, HostError, Map, Side};
use meshgate_policy::query;

use crate::place::Place;
use crate::trouble::Trouble;
use crate::{cookies, parameters, target};

static METHOD: HeaderName = HeaderName::constant(":method");
static PATH: HeaderName = HeaderName::PATH;
static AUTHORITY: HeaderName = HeaderName::constant(":authority");
static STATUS: HeaderName = HeaderName::STATUS;
static COOKIE: HeaderName = HeaderName::constant("cookie");
static SET_COOKIE: HeaderName = HeaderName::constant("set-cookie");

/// Fields that stay with a message whatever is kept of it: they say what it is and how it travels. Without `x-forwarded-proto`
/// Envoy finds no route.
const ALWAYS_KEPT: [&str; 13] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-proto",
];

/// A head, and what is to become of it.
#[derive(Debug)]
pub struct Draft<'a> {
    side: Side,
    /// `None` where no operation has to know what is there.
    original: Option<&'a Headers>,
    touched: Vec<Touched<'a>>,
}

/// One name.
#[derive(Debug)]
struct Touched<'a> {
    name: Cow<'a, HeaderName>,
    /// Whether the values that arrived are gone.
    cleared: bool,
    /// Values, behind those that arrived and are not gone.
    values: Vec<HeaderValue<'a>>,
}

impl<'a> Draft<'a> {
    /// Begins with a head as it arrived.
    pub const fn new(side: Side, original: Option<&'a Headers>) -> Self {
        Self { side, original, touched: Vec::new() }
    }

    /// The values that a place has now: of a header field each line, of a parameter or cookie each decoded or raw value.
    /// Places that the head does not have are empty.
    pub fn values(&self, place: &Place) -> Vec<Vec<u8>> {
        let lines = |name: &'static HeaderName| self.lines(name.as_str()).map(<[u8]>::to_vec).collect();
        match place {
            Place::Header(name) => self.lines(name.as_str()).map(<[u8]>::to_vec).collect(),
            Place::Query(name) => {
                let (_, query) = split_target(self.target());
                query::values(query.unwrap_or_default(), name).map(Cow::into_owned).collect()
            }
            Place::Cookie(name) => match self.side {
                Side::Request => {
                    cookies::of_request(self.lines("cookie"), name).map(<[u8]>::to_vec).collect()
                }
                Side::Response => {
                    cookies::of_response(self.lines("set-cookie"), name).map(<[u8]>::to_vec).collect()
                }
            },
            Place::Path => {
                let (path, _) = split_target(self.target());
                if path.is_empty() { Vec::new() } else { vec![path.to_vec()] }
            }
            Place::Method => lines(&METHOD),
            Place::Host => lines(&AUTHORITY),
            Place::Status => lines(&STATUS),
            Place::Capture(_) | Place::Json(_) | Place::Body => Vec::new(),
        }
    }

    /// Whether a place has a value now.
    pub fn has(&self, place: &Place) -> bool {
        match place {
            Place::Header(name) => self.lines(name.as_str()).next().is_some(),
            other => !self.values(other).is_empty(),
        }
    }

    /// Replaces what a place has. `attributes` belong to a cookie of a response; without them it keeps its own.
    ///
    /// # Errors
    /// [`Trouble::WrongType`] if the place can't take these values.
    pub fn set(
        &mut self,
        place: &'a Place,
        values: Vec<Cow<'a, [u8]>>,
        attributes: Option<&str>,
    ) -> Result<(), Trouble> {
        match place {
            Place::Header(name) => {
                let values = values.into_iter().map(header_value).collect::<Result<_, _>>()?;
                self.replace(Cow::Borrowed(name), values);
                Ok(())
            }
            Place::Query(name) => self.edit_query(|query| Ok(parameters::set(query, name, &values))),
            Place::Cookie(name) => {
                if !values.iter().all(|value| cookies::is_value(value)) {
                    return Err(Trouble::WrongType);
                }
                match self.side {
                    Side::Request => self.edit_lines(&COOKIE, |lines| {
                        cookies::set(lines, name, values.last().map(AsRef::as_ref))
                    }),
                    Side::Response => self.edit_lines(&SET_COOKIE, |lines| {
                        cookies::set_response(lines, name, values.last().map(AsRef::as_ref), attributes)
                    }),
                }
            }
            Place::Path => {
                let path = target::path(&single(values)?)?;
                self.set_path(&path)
            }
            Place::Method => self.pseudo(&METHOD, single(values)?, target::is_method),
            Place::Host => self.pseudo(&AUTHORITY, single(values)?, target::is_host),
            Place::Status => self.pseudo(&STATUS, single(values)?, target::is_status),
            Place::Capture(_) | Place::Json(_) | Place::Body => Err(Trouble::WrongType),
        }
    }

    /// Adds values behind those of a header field or a query parameter.
    ///
    /// # Errors
    /// [`Trouble::WrongType`] if the place can't take these values.
    pub fn append(&mut self, place: &'a Place, value: Cow<'a, [u8]>) -> Result<(), Trouble> {
        match place {
            Place::Header(name) => {
                let value = header_value(value)?;
                self.touch(Cow::Borrowed(name)).values.push(value);
                Ok(())
            }
            Place::Query(name) => self.edit_query(|query| Ok(parameters::append(query, name, &value))),
            _ => Err(Trouble::WrongType),
        }
    }

    /// Removes what a place has.
    ///
    /// # Errors
    /// [`Trouble::WrongType`] for what a head can't be without.
    pub fn remove(&mut self, place: &'a Place) -> Result<(), Trouble> {
        match place {
            Place::Header(name) => {
                self.replace(Cow::Borrowed(name), Vec::new());
                Ok(())
            }
            Place::Query(name) => self.edit_query(|query| Ok(query::without(query, &[name]).into_owned())),
            Place::Cookie(name) => match self.side {
                Side::Request => self.edit_lines(&COOKIE, |lines| cookies::set(lines, name, None)),
                Side::Response => {
                    self.edit_lines(&SET_COOKIE, |lines| cookies::set_response(lines, name, None, None))
                }
            },
            _ => Err(Trouble::WrongType),
        }
    }

    /// Gives what one name has to another of the same kind; what that had is gone.
    ///
    /// # Errors
    /// [`Trouble::Missing`] if there is nothing, [`Trouble::WrongType`] for places without a name.
    pub fn rename(&mut self, from: &'a Place, to: &'a Place) -> Result<(), Trouble> {
        if !self.has(from) {
            return Err(Trouble::Missing);
        }
        match (from, to) {
            (Place::Header(_), Place::Header(name)) => {
                let values = self.values(from).into_iter().map(|value| header_value(Cow::Owned(value)));
                let values = values.collect::<Result<_, _>>()?;
                self.remove(from)?;
                self.replace(Cow::Borrowed(name), values);
                Ok(())
            }
            (Place::Query(from), Place::Query(to)) => {
                self.edit_query(|query| Ok(parameters::rename(query, from, to)))
            }
            (Place::Cookie(from), Place::Cookie(to)) => {
                let name = if self.side == Side::Request { &COOKIE } else { &SET_COOKIE };
                let side = self.side;
                self.edit_lines(name, |lines| cookies::rename(lines, from, to, side))
            }
            _ => Err(Trouble::WrongType),
        }
    }

    /// Removes all header fields but these, and those that say what the message is and how it travels.
    ///
    /// # Errors
    /// [`Trouble::WrongType`] if a field has a name that can't be removed.
    pub fn keep_headers(&mut self, kept: &[HeaderName]) -> Result<(), Trouble> {
        let is_kept = |name: &[u8]| {
            name.starts_with(b":")
                || ALWAYS_KEPT.iter().any(|kept| kept.as_bytes() == name)
                || kept.iter().any(|kept| kept.as_str().as_bytes() == name)
        };
        let arrived = self.original.into_iter().flat_map(Headers::iter).map(|(name, _)| name);
        let mut unwanted: Vec<&[u8]> = arrived.filter(|name| !is_kept(name)).collect();
        unwanted.sort_unstable();
        unwanted.dedup();
        for touched in &mut self.touched {
            if !is_kept(touched.name.as_str().as_bytes()) {
                (touched.cleared, touched.values) = (true, Vec::new());
            }
        }
        for name in unwanted {
            let name = std::str::from_utf8(name).ok().and_then(|name| HeaderName::new(name).ok());
            self.replace(Cow::Owned(name.ok_or(Trouble::WrongType)?), Vec::new());
        }
        Ok(())
    }

    /// Removes all query parameters but these.
    ///
    /// # Errors
    /// None: see [`Draft::set`].
    pub fn keep_query(&mut self, kept: &[Box<[u8]>]) -> Result<(), Trouble> {
        self.edit_query(|query| Ok(parameters::keep(query, kept)))
    }

    /// Removes all cookies but these.
    ///
    /// # Errors
    /// None: see [`Draft::set`].
    pub fn keep_cookies(&mut self, kept: &[Box<[u8]>]) -> Result<(), Trouble> {
        let side = self.side;
        let name = if side == Side::Request { &COOKIE } else { &SET_COOKIE };
        self.edit_lines(name, |lines| cookies::keep(lines, kept, side))
    }

    /// Puts another path in front of the query. It is one that [`target::path`] made.
    ///
    /// # Errors
    /// [`Trouble::WrongType`] for a request without a path (CONNECT).
    pub fn set_path(&mut self, path: &[u8]) -> Result<(), Trouble> {
        let (_, query) = split_target(self.target());
        let target = match query {
            Some(query) => [path, query].join(&b'?'),
            None => path.to_vec(),
        };
        self.replace_pseudo(&PATH, target)
    }

    /// Removes those of some fields that arrived and that no operation has touched.
    pub fn forget(&mut self, names: impl Iterator<Item = &'a HeaderName> + Clone) {
        for (arrived, _) in self.original.into_iter().flat_map(Headers::iter) {
            if let Some(name) = names.clone().find(|name| name.as_str().as_bytes() == arrived)
                && !self.touched.iter().any(|touched| *touched.name == *name)
            {
                self.replace(Cow::Borrowed(name), Vec::new());
            }
        }
    }

    /// Whether the lines of a field that arrived are gone.
    pub fn is_replaced(&self, name: &HeaderName) -> bool {
        self.touched.iter().any(|touched| *touched.name == *name && touched.cleared)
    }

    /// Removes all lines of a field.
    pub fn drop_field(&mut self, name: &'a HeaderName) {
        self.replace(Cow::Borrowed(name), Vec::new());
    }

    /// Sets a field that has one value.
    pub fn set_field(&mut self, name: &'a HeaderName, value: HeaderValue<'a>) {
        self.replace(Cow::Borrowed(name), vec![value]);
    }

    /// The lines that a field has now.
    pub fn lines<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s [u8]> {
        let touched = self.touched.iter().find(|touched| touched.name.as_str() == name);
        let arrived = self.original.filter(|_| touched.is_none_or(|touched| !touched.cleared));
        let arrived = arrived.into_iter().flat_map(move |arrived| arrived.all(name));
        arrived
            .chain(touched.into_iter().flat_map(|touched| touched.values.iter().map(HeaderValue::as_bytes)))
    }

    /// Writes what differs from what arrived.
    ///
    /// # Errors
    /// What the host refused.
    pub fn write(&self, host: &mut dyn Host) -> Result<(), HostError> {
        let map = Map::head(self.side);
        self.touched.iter().try_for_each(|touched| self.write_field(host, map, touched))
    }

    fn write_field(&self, host: &mut dyn Host, map: Map, touched: &Touched<'_>) -> Result<(), HostError> {
        let Touched { name, cleared, values } = touched;
        let mut new = values.as_slice();
        if *cleared {
            let arrived: Option<Vec<&[u8]>> =
                self.original.map(|original| original.all(name.as_str()).collect());
            let keeps = |arrived: &Vec<&[u8]>| {
                arrived.len() <= new.len()
                    && arrived.iter().zip(new).all(|(arrived, new)| *arrived == new.as_bytes())
            };
            match arrived.filter(keeps) {
                // What arrived is still there, in front.
                Some(arrived) if !name.as_str().starts_with(':') || arrived.len() == new.len() => {
                    new = new.get(arrived.len()..).unwrap_or_default();
                }
                _ => match new.split_first() {
                    None => return host.remove_header(map, name),
                    Some((first, rest)) => {
                        host.set_header(map, name, first)?;
                        new = rest;
                    }
                },
            }
        }
        new.iter().try_for_each(|value| host.add_header(map, name, value))
    }

    fn target(&self) -> &[u8] {
        self.lines(":path").last().unwrap_or_default()
    }

    fn edit_query(&mut self, edit: impl FnOnce(&[u8]) -> Result<Vec<u8>, Trouble>) -> Result<(), Trouble> {
        let (path, query) = split_target(self.target());
        let edited = edit(query.unwrap_or_default())?;
        if edited == query.unwrap_or_default() {
            return Ok(());
        }
        let target = if edited.is_empty() { path.to_vec() } else { [path, &edited].join(&b'?') };
        self.replace_pseudo(&PATH, target)
    }

    fn edit_lines(
        &mut self,
        name: &'static HeaderName,
        edit: impl FnOnce(Vec<&[u8]>) -> Vec<Vec<u8>>,
    ) -> Result<(), Trouble> {
        let lines = edit(self.lines(name.as_str()).collect());
        let lines = lines.into_iter().map(|line| header_value(Cow::Owned(line)));
        let lines = lines.collect::<Result<_, _>>()?;
        self.replace(Cow::Borrowed(name), lines);
        Ok(())
    }

    fn pseudo(
        &mut self,
        name: &'static HeaderName,
        value: Cow<'a, [u8]>,
        is_valid: impl FnOnce(&[u8]) -> bool,
    ) -> Result<(), Trouble> {
        if !is_valid(&value) {
            return Err(Trouble::WrongType);
        }
        self.replace(Cow::Borrowed(name), vec![header_value(value)?]);
        Ok(())
    }

    fn replace_pseudo(&mut self, name: &'static HeaderName, value: Vec<u8>) -> Result<(), Trouble> {
        if self.lines(name.as_str()).next().is_none() {
            return Err(Trouble::WrongType);
        }
        self.pseudo(name, Cow::Owned(value), |_| true)
    }

    fn replace(&mut self, name: Cow<'a, HeaderName>, values: Vec<HeaderValue<'a>>) {
        let touched = self.touch(name);
        (touched.cleared, touched.values) = (true, values);
    }

    #[allow(clippy::indexing_slicing, reason = "the place is one that was found or just made")]
    fn touch(&mut self, name: Cow<'a, HeaderName>) -> &mut Touched<'a> {
        let place = self.touched.iter().position(|touched| *touched.name == *name);
        let place = place.unwrap_or_else(|| {
            self.touched.push(Touched { name, cleared: false, values: Vec::new() });
            self.touched.len().saturating_sub(1)
        });
        &mut self.touched[place]
    }
}

fn header_value(value: Cow<'_, [u8]>) -> Result<HeaderValue<'_>, Trouble> {
    HeaderValue::new(value).map_err(|_| Trouble::WrongType)
}

/// The value, where a place takes only one.
fn single<'a>(values: Vec<Cow<'a, [u8]>>) -> Result<Cow<'a, [u8]>, Trouble> {
    let mut values = values.into_iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(Trouble::Missing),
        (Some(_), Some(_)) => Err(Trouble::WrongType),
    }
}
