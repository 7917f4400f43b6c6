//! What is asked of the upstream when its answer may be rewritten: all of it, and in an encoding that can be read.
//!
//! A part of a JSON document is none, so `range` and `if-range` go (RFC 9110 section 14.2: a server may ignore them), and from
//! `accept-encoding` the codings that are not known here, and `br` where the body leaves as it came: it is written without
//! being compressed. Only requests are touched whose response a rule could be for, whatever its status and type; and only a rule
//! for 200 or 206 makes `range` go, since no other response is, or could have been, a part.

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

/// Whether a request asks for something that may have to be changed: cheap where it does not.
///
/// # Errors
/// What the host refused.
pub fn is_asked(host: &mut dyn Host) -> Result<bool, HostError> {
    let mut has = |name| host.first_header(Map::RequestHeaders, name).map(|value| value.is_some());
    Ok(has(&RANGE)? || has(&ACCEPT_ENCODING)?)
}

/// Prepares a request for a response that may be rewritten.
pub fn prepare<'a>(
    draft: &mut Draft<'a>,
    policy: &Transform,
    known: &Known<'_>,
    roll: &dyn Fn(usize) -> u16,
) {
    let has_range = draft.lines("range").next().is_some();
    let codings: Vec<Vec<u8>> = draft.lines("accept-encoding").map(<[u8]>::to_vec).collect();
    let readable: Vec<Vec<u8>> =
        codings.iter().map(|codings| only_known(codings, policy.encoded_bodies)).collect();
    if !has_range && codings == readable {
        return;
    }
    let (is_rewritten, in_part) = may_be_rewritten(policy, known, roll);
    if in_part {
        draft.drop_field(&RANGE);
        draft.drop_field(&IF_RANGE);
    }
    if is_rewritten && codings != readable {
        let list = readable.into_iter().filter(|codings| !codings.is_empty()).collect::<Vec<_>>();
        let list = list.join(b", ".as_slice());
        let list = if list.is_empty() { b"identity".to_vec() } else { list };
        if let Ok(value) = HeaderValue::new(list) {
            draft.set_field(&ACCEPT_ENCODING, value);
        }
    }
}

/// Whether a rule that reads bodies of responses could be for the response to this request, and whether one could be for a
/// response that is a part, or the whole of which a part was asked for.
fn may_be_rewritten(policy: &Transform, known: &Known<'_>, roll: &dyn Fn(usize) -> u16) -> (bool, bool) {
    let nothing = Headers::default();
    let request = RequestHead::new(known.request.unwrap_or(&nothing));
    let rules = policy.rules.iter().enumerate().filter(|(_, rule)| !rule.response.ops.is_empty());
    let readers = rules.filter(|(_, rule)| rule.needs(Side::Response).reads_body());
    readers.fold((false, false), |(any, part), (index, rule)| match &rule.matches {
        None => (true, true),
        Some(matches) if matches.may_hold(&request, &|| roll(index)) => {
            (true, part || [200, 206].into_iter().any(|status| matches.allows_status(status)))
        }
        Some(_) => (any, part),
    })
}

/// The members of a list of codings that are known here, as they are; `*` is not one of them.
fn only_known(codings: &[u8], encoded_bodies: EncodedBodies) -> Vec<u8> {
    let known: &[&str] = match encoded_bodies {
        EncodedBodies::Keep => &["gzip", "x-gzip", "deflate", "identity"],
        EncodedBodies::Identity => &["gzip", "x-gzip", "deflate", "br", "identity"],
    };
    let is_known = |member: &&[u8]| {
        let name = member.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        known.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    };
    let members: Vec<&[u8]> = codings.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect();
    if members.iter().filter(|member| !member.is_empty()).all(is_known) {
        return codings.to_vec();
    }
    members.into_iter().filter(is_known).collect::<Vec<_>>().join(b", ".as_slice())
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
            assert_eq!(String::from_utf8(found).unwrap(), expected, "{codings}");
        }
        assert_eq!(only_known(b"gzip, br", EncodedBodies::Keep), b"gzip");
        assert_eq!(only_known(b"br", EncodedBodies::Keep), b"");
    }
}
