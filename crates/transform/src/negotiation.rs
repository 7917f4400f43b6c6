//! What is asked of the upstream when its answer may be rewritten: all of it, and in an encoding that can be read.
//!
//! A part of a JSON document is none, so `range` and `if-range` go (RFC 9110 section 14.2: a server may ignore them), and from
//! `accept-encoding` the codings that are not known here, and `br` where the body leaves as it came: it is written without
//! being compressed. Only requests are touched whose response a rule could be for, whatever its status and type; and only a rule
//! for 200 or 206 makes `range` go, since no other response is, or could have been, a part.

use std::borrow::Cow;

use meshgate_policy::head::RequestHead;
use meshgate_policy::headers::{HeaderName, HeaderValue, Headers};
use meshgate_policy::host::{Host, HostError, Map, Side};

use crate::Transform;
use crate::config::EncodedBodies;
use crate::head::Draft;
use crate::known::Known;

static RANGE: HeaderName = HeaderName::constant("range");
static IF_RANGE: HeaderName = HeaderName::constant("if-range");
static ACCEPT_ENCODING: HeaderName = HeaderName::constant("accept-encoding");

/// What a request asks for, where nothing else of its head is wanted.
#[derive(Debug, Default)]
pub struct Asked {
    range: bool,
    /// Its one line: Envoy puts several into one when they arrive.
    accept_encoding: Option<Vec<u8>>,
}

impl Asked {
    /// Reads the two fields, which most requests to an API do not have: that is cheaper than a whole head.
    ///
    /// # Errors
    /// What the host refused.
    pub fn read(host: &mut dyn Host) -> Result<Self, HostError> {
        let mut first = |name| host.first_header(Map::RequestHeaders, name);
        Ok(Self { range: first(&RANGE)?.is_some(), accept_encoding: first(&ACCEPT_ENCODING)? })
    }
}

/// Prepares a request for a response that may be rewritten. `asked` is what arrived if the draft does not know it.
pub fn prepare<'a>(
    draft: &mut Draft<'a>,
    asked: &Asked,
    policy: &Transform,
    known: &Known<'_>,
    roll: &dyn Fn(usize) -> u16,
) {
    let has_range = draft.lines("range").next().is_some() || (asked.range && !draft.is_replaced(&RANGE));
    let readable = readable(draft, asked, policy.encoded_bodies);
    if !has_range && readable.is_none() {
        return;
    }
    let (is_rewritten, in_part) = may_be_rewritten(policy, known, roll);
    if has_range && in_part {
        draft.drop_field(&RANGE);
        draft.drop_field(&IF_RANGE);
    }
    if let Some(value) = readable.filter(|_| is_rewritten) {
        draft.set_field(&ACCEPT_ENCODING, value);
    }
}

/// What `accept-encoding` becomes, if it names a coding that can't be read.
fn readable(draft: &Draft<'_>, asked: &Asked, encoded_bodies: EncodedBodies) -> Option<HeaderValue<'static>> {
    let arrived = asked.accept_encoding.as_deref().filter(|_| !draft.is_replaced(&ACCEPT_ENCODING));
    let lines = arrived.into_iter().chain(draft.lines("accept-encoding"));
    let known: Vec<Cow<'_, [u8]>> = lines.map(|codings| only_known(codings, encoded_bodies)).collect();
    if !known.iter().any(|codings| matches!(codings, Cow::Owned(_))) {
        return None;
    }
    let known: Vec<_> = known.into_iter().filter(|codings| !codings.is_empty()).collect();
    let list = if known.is_empty() { b"identity".to_vec() } else { known.join(b", ".as_slice()) };
    HeaderValue::new(list).ok()
}

/// Whether a rule that works on bodies of responses could be for the response to this request, and whether one could be for a
/// response that is a part, or the whole of which a part was asked for.
fn may_be_rewritten(policy: &Transform, known: &Known<'_>, roll: &dyn Fn(usize) -> u16) -> (bool, bool) {
    let nothing = Headers::default();
    let request = RequestHead::new(known.request.unwrap_or(&nothing));
    let rules = policy.rules.iter().enumerate().filter(|(_, rule)| !rule.response.ops.is_empty());
    let readers = rules.filter(|(_, rule)| rule.needs(Side::Response).works_on_body());
    readers.fold((false, false), |(any, part), (index, rule)| match &rule.matches {
        None => (true, true),
        Some(matches) if matches.may_hold(&request, &|| roll(index)) => {
            (true, part || [200, 206].into_iter().any(|status| matches.allows_status(status)))
        }
        Some(_) => (any, part),
    })
}

/// The members of a list of codings that are known here, or the list as it is; `*` is not one of them.
fn only_known(codings: &[u8], encoded_bodies: EncodedBodies) -> Cow<'_, [u8]> {
    let known: &[&str] = match encoded_bodies {
        EncodedBodies::Keep => &["gzip", "x-gzip", "deflate", "identity"],
        EncodedBodies::Identity => &["gzip", "x-gzip", "deflate", "br", "identity"],
    };
    let is_known = |member: &&[u8]| {
        let name = member.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        known.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    };
    let members = || codings.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    if members().filter(|member| !member.is_empty()).all(|member| is_known(&member)) {
        Cow::Borrowed(codings)
    } else {
        Cow::Owned(members().filter(is_known).collect::<Vec<_>>().join(b", ".as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn codings_that_are_known_stay() {
        for (codings, expected) in [
            ("gzip, deflate, br", "gzip, deflate, br"),
            ("gzip,br;q=0.5", "gzip,br;q=0.5"),
            ("gzip, deflate, br, zstd", "gzip, deflate, br"),
            ("zstd;q=1, GZIP;q=0.8 , *;q=0", "GZIP;q=0.8"),
            ("*", ""),
            ("zstd", ""),
            ("", ""),
        ] {
            let found = only_known(codings.as_bytes(), EncodedBodies::Identity);
            assert_eq!(found.as_ref(), expected.as_bytes(), "{codings}");
        }
        assert_eq!(only_known(b"gzip, br", EncodedBodies::Keep).as_ref(), b"gzip");
        assert_eq!(only_known(b"br", EncodedBodies::Keep).as_ref(), b"");
    }
}
