//! The hostcalls for calls over HTTP and gRPC.

use std::time::Duration;

use wasmtime::{Caller, Linker};

use super::Status;
use crate::answers::{Call, CallKind};
use crate::guest::Guest;
use crate::memory::{give_number, read, status};
use crate::message::Fields;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_http_call",
        |mut caller: Caller<'_, Guest>,
         cluster: u32,
         cluster_size: u32,
         headers: u32,
         headers_size: u32,
         body: u32,
         body_size: u32,
         _trailers: u32,
         _trailers_size: u32,
         timeout: u32,
         out: u32|
         -> Status {
            let cluster = String::from_utf8_lossy(&bytes!(caller, cluster, cluster_size)).into_owned();
            let headers = Fields::from_wire(bytes!(caller, headers, headers_size));
            let body = bytes!(caller, body, body_size);
            if [":method", ":path", ":authority"].into_iter().any(|name| headers.first(name).is_none()) {
                return Ok(status::BAD_ARGUMENT);
            }
            let timeout = Duration::from_millis(timeout.into());
            let call = Call { cluster, kind: CallKind::Http, headers, body, timeout };
            Ok(dispatch(&mut caller, &call, out, status::BAD_ARGUMENT))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_grpc_call",
        |mut caller: Caller<'_, Guest>,
         target: u32,
         target_size: u32,
         service: u32,
         service_size: u32,
         method: u32,
         method_size: u32,
         metadata: u32,
         metadata_size: u32,
         message: u32,
         message_size: u32,
         timeout: u32,
         out: u32|
         -> Status {
            let target = bytes!(caller, target, target_size);
            let service = String::from_utf8_lossy(&bytes!(caller, service, service_size)).into_owned();
            let method = String::from_utf8_lossy(&bytes!(caller, method, method_size)).into_owned();
            let headers = Fields::from_wire(bytes!(caller, metadata, metadata_size));
            let body = bytes!(caller, message, message_size);
            let Some(cluster) = grpc_cluster(&target) else { return Ok(status::PARSE_FAILURE) };
            let timeout = Duration::from_millis(timeout.into());
            let call = Call { cluster, kind: CallKind::Grpc { service, method }, headers, body, timeout };
            Ok(dispatch(&mut caller, &call, out, status::PARSE_FAILURE))
        },
    )?;
    Ok(())
}

fn dispatch(caller: &mut Caller<'_, Guest>, call: &Call, out: u32, no_cluster: u32) -> u32 {
    let guest = caller.data();
    let token = guest.world.borrow_mut().call(guest.plugin, &guest.name, call);
    match token {
        Some(token) => give_number(caller, token, out),
        None => no_cluster,
    }
}

/// The cluster of a `GrpcService`: `envoy_grpc { cluster_name }`, which is field 1 of field 1.
fn grpc_cluster(service: &[u8]) -> Option<String> {
    let field = |message: &[u8]| {
        let (tag, rest) = message.split_first()?;
        let (size, rest) = rest.split_first()?;
        // Names of clusters are short: a length of more than one byte is none of them.
        (*tag == 0x0a && *size < 0x80).then(|| rest.get(..usize::from(*size)).map(<[u8]>::to_vec))?
    };
    String::from_utf8(field(&field(service)?)?).ok()
}
