//! Path templates: `/users/{id}`, `/files/{path...}`, `/jobs/{id}:cancel`.
//!
//! - `{name}` stands for one segment that is not empty, or for the part of one that literal text leaves over
//!   (`{name}.json`). Its value is percent-decoded.
//! - `{name...}`, at the end only, stands for all segments that are left, none included. Its value stays in normal form,
//!   encoded: decoded, a slash within a segment could not be told from one between segments.
//! - A slash at the end makes no difference, neither in the template nor in the path.
//! - Names are letters, digits and `_`, and occur once.
//!
//! Both sides are in the normal form of [`super::path`], so `/caf%C3%A9` in a configuration is `/café`.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::path::normal_segment;

/// A compiled template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    segments: Box<[Segment]>,
    /// The name that takes all segments after the others.
    rest: Option<Box<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// In normal form.
    Literal(Box<[u8]>),
    /// `before` and `after` are decoded.
    Variable { before: Box<[u8]>, name: Box<str>, after: Box<[u8]> },
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// One line that says what is wrong with it.
    pub fn new(source: &str) -> Result<Self, String> {
        let source = check_path(source)?;
        let mut template = Self { segments: Box::default(), rest: None };
        let mut segments = Vec::new();
        let mut names = Vec::new();
        for segment in source.strip_suffix('/').unwrap_or(source).split('/').skip(1) {
            if template.rest.is_some() {
                return Err("{name...} stands for all that is left: nothing may follow it".to_owned());
            }
            if matches!(segment, "" | "." | "..") {
                return Err(format!("a request path never has a segment {segment:?} when rules see it"));
            }
            match parse_segment(segment)? {
                Parsed::Rest(name) => template.rest = Some(name.into()),
                Parsed::Segment(segment) => segments.push(segment),
            }
            let name = match (&template.rest, segments.last()) {
                (Some(name), _) | (None, Some(Segment::Variable { name, .. })) => name.clone(),
                (None, _) => continue,
            };
            if names.contains(&name) {
                return Err(format!("the name {name:?} is used twice"));
            }
            names.push(name);
        }
        template.segments = segments.into();
        Ok(template)
    }

    /// The names in it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let variables = self.segments.iter().filter_map(|segment| match segment {
            Segment::Variable { name, .. } => Some(name),
            Segment::Literal(_) => None,
        });
        variables.chain(&self.rest).map(AsRef::as_ref)
    }

    /// Whether a path in normal form is of this shape.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.walk(path, |_, _| ())
    }

    /// The values of the names, if the path, in normal form, is of this shape.
    pub fn captures(&self, path: &[u8]) -> Option<Vec<(&str, Vec<u8>)>> {
        let mut captured = Vec::new();
        self.walk(path, |name, value| captured.push((name, value.bytes()))).then_some(captured)
    }

    fn walk<'t>(&'t self, path: &[u8], mut capture: impl FnMut(&'t str, Capture<'_>)) -> bool {
        let Some(path) = path.strip_prefix(b"/") else { return false };
        let mut left = Some(path).filter(|path| !path.is_empty());
        for segment in &self.segments {
            let Some(path) = left else { return false };
            let (first, rest) = split_segment(path);
            left = rest;
            match segment {
                Segment::Literal(literal) if **literal == *first => {}
                Segment::Literal(_) => return false,
                Segment::Variable { before, name, after } if before.is_empty() && after.is_empty() => {
                    capture(name, Capture::Segment(first));
                }
                Segment::Variable { before, name, after } => match between(first, before, after) {
                    Some(value) => capture(name, Capture::Value(value)),
                    None => return false,
                },
            }
        }
        match (&self.rest, left) {
            (Some(name), left) => {
                capture(name, Capture::Value(Cow::Borrowed(left.unwrap_or_default())));
                true
            }
            (None, left) => left.is_none(),
        }
    }
}

/// What a name stands for, decoded only where somebody asks for it.
enum Capture<'p> {
    /// A whole segment in normal form.
    Segment(&'p [u8]),
    Value(Cow<'p, [u8]>),
}

impl Capture<'_> {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Segment(segment) => decode(segment).into_owned(),
            Self::Value(value) => value.into_owned(),
        }
    }
}

fn decode(segment: &[u8]) -> Cow<'_, [u8]> {
    percent_decode(segment).into()
}

/// What a path in a configuration must be: absolute, and without a query.
pub(super) fn check_path(path: &str) -> Result<&str, String> {
    if !path.starts_with('/') {
        Err("a path starts with /".to_owned())
    } else if path.contains(['?', '#']) {
        Err("a path has no ? and no #: match the query with query:".to_owned())
    } else {
        Ok(path)
    }
}

enum Parsed<'a> {
    Segment(Segment),
    Rest(&'a str),
}

fn parse_segment(segment: &str) -> Result<Parsed<'_>, String> {
    let Some((before, tail)) = segment.split_once('{') else {
        return if segment.contains('}') {
            Err(format!("a }} without {{ in {segment:?}"))
        } else if let Some(name) = segment.strip_prefix(':').filter(|name| is_name(name)) {
            Err(format!("{segment:?} is taken as it stands: write {{{name}}}, or exact: if it is meant so"))
        } else {
            Ok(Parsed::Segment(Segment::Literal(normal_segment(segment.as_bytes()).into())))
        };
    };
    let (name, after) = tail.split_once('}').ok_or_else(|| format!("a {{ without }} in {segment:?}"))?;
    if before.contains('}') || after.contains(['{', '}']) {
        return Err(format!("more than one {{name}} in the segment {segment:?}"));
    }
    let (plain, is_rest) = name.strip_suffix("...").map_or((name, false), |plain| (plain, true));
    if !is_name(plain) {
        return Err(format!("{{{name}}} is not a name: names are letters, digits and _"));
    }
    if is_rest && !(before.is_empty() && after.is_empty()) {
        return Err(format!("{{{name}}} stands alone between slashes"));
    }
    let decoded = |literal: &str| percent_decode(literal.as_bytes()).collect::<Box<[u8]>>();
    Ok(if is_rest {
        Parsed::Rest(plain)
    } else {
        Parsed::Segment(Segment::Variable {
            before: decoded(before),
            name: plain.into(),
            after: decoded(after),
        })
    })
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The first segment, and what follows its slash if anything does.
fn split_segment(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'/', path).and_then(|at| path.split_at_checked(at)) {
        Some((first, rest)) => (first, rest.get(1..).filter(|rest| !rest.is_empty())),
        None => (path, None),
    }
}

/// What a segment, decoded, has between two literals; `None` if it lacks one of them, or if nothing is between.
fn between<'a>(segment: &'a [u8], before: &[u8], after: &[u8]) -> Option<Cow<'a, [u8]>> {
    let trim = |decoded: &[u8]| {
        decoded.strip_prefix(before)?.strip_suffix(after).filter(|value| !value.is_empty()).map(<[u8]>::len)
    };
    let decoded = decode(segment);
    let range = before.len()..before.len().saturating_add(trim(&decoded)?);
    match decoded {
        Cow::Borrowed(plain) => plain.get(range).map(Cow::Borrowed),
        Cow::Owned(decoded) => decoded.get(range).map(|value| Cow::Owned(value.to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn captures(template: &str, path: &str) -> Option<String> {
        let template = Template::new(template).unwrap();
        let captured = template.captures(path.as_bytes());
        assert_eq!(template.matches(path.as_bytes()), captured.is_some());
        captured.map(|captured| {
            let pairs: Vec<_> =
                captured.iter().map(|(name, value)| format!("{name}={}", value.escape_ascii())).collect();
            pairs.join(" ")
        })
    }

    #[test]
    fn templates_take_whole_segments() {
        for (template, path, expected) in [
            ("/", "/", Some("")),
            ("/", "/a", None),
            ("/a", "/a", Some("")),
            ("/a", "/a/", Some("")),
            ("/a/", "/a", Some("")),
            ("/a", "/A", None),
            ("/a", "/ab", None),
            ("/a", "/a/b", None),
            ("/café", "/caf%C3%A9", Some("")),
            ("/v1/users/{id}", "/v1/users/7", Some("id=7")),
            ("/v1/users/{id}", "/v1/users/7/", Some("id=7")),
            ("/v1/users/{id}", "/v1/users", None),
            ("/v1/users/{id}", "/v1/users/", None),
            ("/v1/users/{id}", "/v1/users/7/x", None),
            ("/v1/users/{id}", "/v1/users/a%2Fb", Some("id=a/b")),
            ("/v1/users/{id}", "/v1/users/%FF%25zz", Some("id=\\xff%zz")),
            ("/{a}/{b}", "/1/2", Some("a=1 b=2")),
            ("/{a}/x/{b}", "/1/y/2", None),
            ("/jobs/{id}:cancel", "/jobs/7:cancel", Some("id=7")),
            ("/jobs/{id}:cancel", "/jobs/:cancel", None),
            ("/jobs/{id}:cancel", "/jobs/7:start", None),
            ("/jobs:cancel/:/:{id}", "/jobs:cancel/:/:7", Some("id=7")),
            ("/v{n}.json", "/v12.json", Some("n=12")),
            // Literals overlap: one character cannot be both.
            ("/a{x}a", "/a", None),
            ("/a{x}a", "/aa", None),
            // The 5 that ends an escape is not a 5.
            ("/{x}5", "/%25", None),
            ("/files/{path...}", "/files/a/b%2Fc/", Some("path=a/b%2Fc/")),
            ("/files/{path...}", "/files", Some("path=")),
            ("/files/{path...}", "/files/", Some("path=")),
            ("/files/{path...}", "/filesystem", None),
            ("/{all...}", "/", Some("all=")),
            ("/a", "*", None),
            ("/{all...}", "*", None),
            ("/{all...}", "", None),
        ] {
            assert_eq!(captures(template, path).as_deref(), expected, "{template} {path}");
        }
    }

    #[test]
    fn a_template_that_means_nothing_is_refused() {
        for (template, expected) in [
            ("", "starts with /"),
            ("users", "starts with /"),
            ("/a?b=c", "no ?"),
            ("/a//b", "segment \"\""),
            ("//", "segment \"\""),
            ("/a/../b", "segment \"..\""),
            ("/{id", "without }"),
            ("/id}", "without {"),
            ("/{}", "not a name"),
            ("/{a b}", "not a name"),
            ("/{a.b}", "not a name"),
            ("/{...}", "not a name"),
            ("/{a}{b}", "more than one"),
            ("/{{a}}", "more than one"),
            ("/{a}/{a}", "twice"),
            ("/{a}/{a...}", "twice"),
            ("/{a...}/b", "nothing may follow"),
            ("/x{a...}", "stands alone"),
            ("/users/:id/x", "\":id\" is taken as it stands: write {id}, or exact: if it is meant so"),
        ] {
            let error = Template::new(template).unwrap_err();
            assert!(error.contains(expected), "{template:?}: {error}");
            assert!(!error.contains('\n'));
        }
    }
}
