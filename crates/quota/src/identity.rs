//! The header fields that tell the upstream who the consumer is.

use meshgate_policy::headers::{HeaderName, HeaderValue, Headers};
use meshgate_policy::host::{Host, HostError, Map};

use crate::consumer::Identity;

const PREFIX: &[u8] = b"x-consumer-";
const NAME: HeaderName = HeaderName::constant("x-consumer-name");
const PLAN: HeaderName = HeaderName::constant("x-consumer-plan");
const KEY_ID: HeaderName = HeaderName::constant("x-consumer-key-id");
const GROUPS: HeaderName = HeaderName::constant("x-consumer-groups");
const ANONYMOUS: HeaderName = HeaderName::constant("x-consumer-anonymous");

/// Whether a field could pass for one of ours: its name starts with `x-consumer-`, where `_` counts as `-`, because CGI
/// and all that comes after it (WSGI, Rack, PHP) do not tell the two apart.
pub fn is_identity(name: &[u8]) -> bool {
    let fold = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.get(..PREFIX.len()).is_some_and(|start| start.iter().map(fold).eq(PREFIX.iter().copied()))
}

/// The names of the fields that the client sent and that could pass for ours, as often as they are there.
///
/// # Errors
/// [`Unremovable`]
pub fn forged(headers: &Headers) -> Result<Vec<HeaderName>, Unremovable> {
    let names = headers.iter().map(|(name, _)| name).filter(|name| is_identity(name));
    let checked = names.map(|name| {
        let name = std::str::from_utf8(name).ok().and_then(|name| HeaderName::new(name).ok());
        name.ok_or(Unremovable)
    });
    checked.collect()
}

/// A field could pass for one of ours and can't be removed, because its name is longer than 256 bytes or not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unremovable;

/// Tells the upstream who sent the request, once [`forged`] fields are removed: to add what is not there spares Envoy the
/// search for what would have to be replaced.
///
/// # Errors
/// What the host refused.
pub fn tell_upstream(host: &mut dyn Host, identity: &Identity<'_>) -> Result<(), HostError> {
    host.add_header(Map::RequestHeaders, &NAME, identity.name)?;
    host.add_header(Map::RequestHeaders, &PLAN, &identity.plan.name)?;
    if let Some(key_id) = identity.key_id() {
        let key_id = HeaderValue::new(key_id.as_bytes()).map_err(|_| HostError::Malformed)?;
        host.add_header(Map::RequestHeaders, &KEY_ID, &key_id)?;
    }
    if let Some(groups) = identity.groups.header() {
        host.add_header(Map::RequestHeaders, &GROUPS, groups)?;
    }
    if identity.is_anonymous() {
        let yes = HeaderValue::new(b"true".as_slice()).map_err(|_| HostError::Malformed)?;
        host.add_header(Map::RequestHeaders, &ANONYMOUS, &yes)?;
    }
    for (name, value) in identity.metadata {
        host.add_header(Map::RequestHeaders, name, value)?;
    }
    Ok(())
}

/// Tells access logs who sent the request.
///
/// # Errors
/// What the host refused.
pub fn tell_log(host: &mut dyn Host, identity: &Identity<'_>) -> Result<(), HostError> {
    host.set_filter_state("meshgate.consumer", identity.name.as_bytes())?;
    if let Some(key_id) = identity.traced_key_id() {
        host.set_filter_state("meshgate.key_id", key_id.as_bytes())?;
    }
    host.set_filter_state("meshgate.plan", identity.plan.name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn whatever_folds_to_our_prefix_is_ours() {
        for name in
            ["x-consumer-name", "X-Consumer-Name", "x_consumer_name", "x-consumer_groups", "x-consumer-"]
        {
            assert!(is_identity(name.as_bytes()), "{name}");
        }
        for name in ["x-consumer", "x-consumers-name", "consumer-name", "x.consumer.name", ""] {
            assert!(!is_identity(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn forged_names_are_listed_as_they_are_spelled() {
        let headers = Headers::from_pairs([
            ("x-consumer-name", "a"),
            ("accept", "*/*"),
            ("x_consumer_name", "b"),
            ("x-consumer-name", "c"),
        ]);
        let names: Vec<_> = forged(&headers).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["x-consumer-name", "x_consumer_name", "x-consumer-name"]);
    }

    #[test]
    fn a_name_that_cannot_be_written_cannot_be_removed() {
        for name in [format!("x-consumer-{}", "a".repeat(256)), "x-consumer-\u{e9}".to_owned()] {
            assert_eq!(forged(&Headers::from_pairs([(name, "")])), Err(Unremovable));
        }
    }
}
