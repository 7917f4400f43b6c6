//! What `proxy_get_property` says: Envoy's attributes, in its encodings.

use crate::message::{Fields, Side};
use crate::stream::Stream;
use crate::world::World;

/// The value at a path, whose parts have a NUL between each two.
pub(crate) fn property(world: &World, plugin: (&str, &str), path: &[u8]) -> Option<Vec<u8>> {
    let parts: Vec<&str> =
        path.split(|byte| *byte == 0).map(std::str::from_utf8).collect::<Result<_, _>>().ok()?;
    let (name, vm_id) = plugin;
    match parts.as_slice() {
        ["plugin_name"] => Some(name.into()),
        ["plugin_root_id"] => Some(Vec::new()),
        ["plugin_vm_id"] => Some(vm_id.into()),
        parts => of_stream(world, world.stream.as_ref()?, parts),
    }
}

fn of_stream(world: &World, stream: &Stream, parts: &[&str]) -> Option<Vec<u8>> {
    let facts = &stream.facts;
    match parts {
        ["source", "address"] => Some(facts.from.to_string().into()),
        ["source", "port"] => Some(number(i64::from(facts.from.port()))),
        ["destination", "address"] => Some(b"127.0.0.1:80".to_vec()),
        ["destination", "port"] => Some(number(80)),
        ["connection", "mtls"] => Some(vec![0]),
        ["connection", "id"] => Some(number(1)),
        ["xds", "route_name"] => Some(facts.route.clone().into()),
        ["xds", "cluster_name"] => Some(b"upstream".to_vec()),
        ["request", rest @ ..] => of_request(world, stream, rest),
        ["response", rest @ ..] => of_response(stream, rest),
        ["filter_state", key] => facts.filter_state.get(key.as_bytes()).cloned(),
        [key] => facts.filter_state.get(format!("wasm.{key}").as_bytes()).cloned(),
        _ => None,
    }
}

fn of_request(world: &World, stream: &Stream, parts: &[&str]) -> Option<Vec<u8>> {
    let message = stream.message(Side::Request);
    let head = message.head.as_ref()?;
    let path = || head.text(":path").unwrap_or_default();
    let text = |name: &str| head.first(name).map(<[u8]>::to_vec);
    match parts {
        ["path"] => text(":path"),
        ["url_path"] => path().split('?').next().map(Into::into),
        ["query"] => Some(path().split_once('?').map_or("", |(_, query)| query).into()),
        ["host"] => text(":authority"),
        ["scheme"] => text(":scheme"),
        ["method"] => text(":method"),
        ["referer"] => text("referer"),
        ["useragent"] => text("user-agent"),
        ["id"] => text("x-request-id"),
        ["protocol"] => Some(b"HTTP/1.1".to_vec()),
        ["time"] => Some(facts_time(stream.facts.started)),
        ["duration"] if message.complete => Some(facts_time(world.now.saturating_sub(stream.facts.started))),
        ["size"] => Some(length(message.size)),
        ["total_size"] => Some(length(message.size.saturating_add(head.size()))),
        ["headers", name] => joined(head, name),
        _ => None,
    }
}

fn of_response(stream: &Stream, parts: &[&str]) -> Option<Vec<u8>> {
    let message = stream.message(Side::Response);
    let details = &stream.facts.details;
    match parts {
        ["code"] => Some(number(message.head.as_ref()?.text(":status")?.parse().ok()?)),
        ["code_details"] => (!details.is_empty()).then(|| details.clone().into()),
        ["flags"] => Some(number(i64::try_from(stream.facts.flags).ok()?)),
        ["size"] => Some(length(message.size)),
        ["headers", name] => joined(message.head.as_ref()?, name),
        ["trailers", name] => joined(message.trailers.as_ref()?, name),
        _ => None,
    }
}

/// All values of a field, with a comma between each two.
fn joined(fields: &Fields, name: &str) -> Option<Vec<u8>> {
    let values: Vec<&[u8]> = fields.all(name).collect();
    (!values.is_empty()).then(|| values.join(&b','))
}

fn number(number: i64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

fn length(length: usize) -> Vec<u8> {
    number(i64::try_from(length).unwrap_or(i64::MAX))
}

/// Times and durations are nanoseconds.
fn facts_time(nanos: u64) -> Vec<u8> {
    number(i64::try_from(nanos).unwrap_or(i64::MAX))
}
