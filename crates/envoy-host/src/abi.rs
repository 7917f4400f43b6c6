//! The imports of the Proxy-Wasm ABI 0.2.1, each behind a function that cannot be misused.
//!
//! The SDK's own bindings are not used, because they panic on every status that they do not expect, and on header values
//! that are not UTF-8; one request would kill the VM. Statuses come back as plain numbers here: a value that an enum lacks
//! would be undefined behaviour. Specification: proxy-wasm/spec, `abi-versions/v0.2.1`.

#![allow(unsafe_code, reason = "the one place where memory is shared with the proxy")]

use std::ptr;

use meshgate_policy::host::{HostError, MetricKind};

/// Body and configuration buffers, by their number in the ABI.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Buffer {
    RequestBody = 0,
    ResponseBody = 1,
    CallResponseBody = 4,
    GrpcReceive = 5,
    PluginConfiguration = 7,
}

/// Header maps, by their number in the ABI.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum HeaderMap {
    RequestHeaders = 0,
    RequestTrailers = 1,
    ResponseHeaders = 2,
    ResponseTrailers = 3,
    CallResponseHeaders = 6,
}

/// Streams, by their number in the ABI.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Stream {
    Request = 0,
    Response = 1,
}

mod import {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub fn proxy_log(level: u32, text: *const u8, size: usize) -> u32;
        pub fn proxy_get_log_level(level: *mut u32) -> u32;
        pub fn proxy_get_current_time_nanoseconds(nanos: *mut u64) -> u32;
        pub fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
        pub fn proxy_get_buffer_bytes(
            buffer: u32,
            start: usize,
            limit: usize,
            out: *mut *mut u8,
            out_size: *mut usize,
        ) -> u32;
        pub fn proxy_set_buffer_bytes(
            buffer: u32,
            start: usize,
            size: usize,
            bytes: *const u8,
            bytes_size: usize,
        ) -> u32;
        pub fn proxy_get_header_map_pairs(map: u32, out: *mut *mut u8, out_size: *mut usize) -> u32;
        pub fn proxy_get_header_map_value(
            map: u32,
            name: *const u8,
            name_size: usize,
            out: *mut *mut u8,
            out_size: *mut usize,
        ) -> u32;
        pub fn proxy_replace_header_map_value(
            map: u32,
            name: *const u8,
            name_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub fn proxy_add_header_map_value(
            map: u32,
            name: *const u8,
            name_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
        pub fn proxy_get_property(
            path: *const u8,
            path_size: usize,
            out: *mut *mut u8,
            out_size: *mut usize,
        ) -> u32;
        pub fn proxy_set_property(
            path: *const u8,
            path_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub fn proxy_get_shared_data(
            key: *const u8,
            key_size: usize,
            out: *mut *mut u8,
            out_size: *mut usize,
            version: *mut u32,
        ) -> u32;
        pub fn proxy_set_shared_data(
            key: *const u8,
            key_size: usize,
            value: *const u8,
            value_size: usize,
            version: u32,
        ) -> u32;
        pub fn proxy_continue_stream(stream: u32) -> u32;
        pub fn proxy_send_local_response(
            status: u32,
            details: *const u8,
            details_size: usize,
            body: *const u8,
            body_size: usize,
            headers: *const u8,
            headers_size: usize,
            grpc_status: i32,
        ) -> u32;
        pub fn proxy_http_call(
            cluster: *const u8,
            cluster_size: usize,
            headers: *const u8,
            headers_size: usize,
            body: *const u8,
            body_size: usize,
            trailers: *const u8,
            trailers_size: usize,
            timeout_milliseconds: u32,
            token: *mut u32,
        ) -> u32;
        pub fn proxy_grpc_call(
            target: *const u8,
            target_size: usize,
            service: *const u8,
            service_size: usize,
            method: *const u8,
            method_size: usize,
            metadata: *const u8,
            metadata_size: usize,
            message: *const u8,
            message_size: usize,
            timeout_milliseconds: u32,
            token: *mut u32,
        ) -> u32;
        pub fn proxy_call_foreign_function(
            name: *const u8,
            name_size: usize,
            arguments: *const u8,
            arguments_size: usize,
            out: *mut *mut u8,
            out_size: *mut usize,
        ) -> u32;
        pub fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
        pub fn proxy_record_metric(id: u32, value: u64) -> u32;
        pub fn proxy_increment_metric(id: u32, by: i64) -> u32;
        pub fn proxy_set_effective_context(context: u32) -> u32;
    }
}

/// `NotFound`: the proxy has no such thing, which is an answer like any other.
const NOT_FOUND: u32 = 1;
const CAS_MISMATCH: u32 = 8;
const UNIMPLEMENTED: u32 = 12;

fn check(status: u32) -> Result<(), HostError> {
    match status {
        0 => Ok(()),
        CAS_MISMATCH => Err(HostError::Conflict),
        UNIMPLEMENTED => Err(HostError::Unsupported),
        status => Err(HostError::Status(status)),
    }
}

fn found(status: u32) -> Result<bool, HostError> {
    if status == NOT_FOUND { Ok(false) } else { check(status).map(|()| true) }
}

/// Memory that the proxy asks for before it hands over bytes; comes back to us through [`Returned`].
pub(crate) fn allocate(size: usize) -> *mut u8 {
    Box::into_raw(Box::<[u8]>::new_uninit_slice(size)).cast()
}

/// Where the proxy writes what it returns: memory that it got from [`allocate`].
struct Returned {
    bytes: *mut u8,
    size: usize,
}

impl Returned {
    const fn new() -> Self {
        Self { bytes: ptr::null_mut(), size: 0 }
    }

    fn into_vec(self) -> Vec<u8> {
        if self.bytes.is_null() {
            return Vec::new();
        }
        // SAFETY: a pointer that is not null came from `allocate` with this size during the call that has just ended, the proxy
        // has filled it, and nobody else holds it.
        unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(self.bytes, self.size)) }.into_vec()
    }
}

// SAFETY, of all calls below: the proxy reads its inputs within the call and only up to the sizes given, which are those of
// live slices; it writes its outputs to locals that outlive the call. The sizes and numbers have the types of the ABI.

pub(crate) fn log(level: u32, text: &str) {
    // There is nobody to tell that telling failed.
    let _ = unsafe { import::proxy_log(level, text.as_ptr(), text.len()) };
}

pub(crate) fn log_level() -> Option<u32> {
    let mut level = 0;
    check(unsafe { import::proxy_get_log_level(&raw mut level) }).ok().map(|()| level)
}

/// Nanoseconds since the epoch.
pub(crate) fn now() -> u64 {
    let mut nanos = 0;
    // Envoy has no way to fail here, and the epoch is as wrong as any other time.
    let _ = unsafe { import::proxy_get_current_time_nanoseconds(&raw mut nanos) };
    nanos
}

/// Calls `proxy_on_tick` each so many milliseconds; 0: no more.
pub(crate) fn set_tick_period(milliseconds: u32) -> Result<(), HostError> {
    check(unsafe { import::proxy_set_tick_period_milliseconds(milliseconds) })
}

pub(crate) fn buffer(buffer: Buffer, start: usize, limit: usize) -> Result<Vec<u8>, HostError> {
    let mut out = Returned::new();
    let status = unsafe {
        import::proxy_get_buffer_bytes(buffer as u32, start, limit, &raw mut out.bytes, &raw mut out.size)
    };
    Ok(if found(status)? { out.into_vec() } else { Vec::new() })
}

/// Replaces all that is there: a size beyond the end means up to the end.
pub(crate) fn set_buffer(buffer: Buffer, bytes: &[u8]) -> Result<(), HostError> {
    let all = usize::MAX;
    check(unsafe { import::proxy_set_buffer_bytes(buffer as u32, 0, all, bytes.as_ptr(), bytes.len()) })
}

/// The whole map in the pairs encoding.
pub(crate) fn header_pairs(map: HeaderMap) -> Result<Vec<u8>, HostError> {
    let mut out = Returned::new();
    check(unsafe { import::proxy_get_header_map_pairs(map as u32, &raw mut out.bytes, &raw mut out.size) })?;
    Ok(out.into_vec())
}

pub(crate) fn header(map: HeaderMap, name: &str) -> Result<Option<Vec<u8>>, HostError> {
    let mut out = Returned::new();
    let status = unsafe {
        import::proxy_get_header_map_value(
            map as u32,
            name.as_ptr(),
            name.len(),
            &raw mut out.bytes,
            &raw mut out.size,
        )
    };
    Ok(found(status)?.then(|| out.into_vec()))
}

pub(crate) fn replace_header(map: HeaderMap, name: &str, value: &[u8]) -> Result<(), HostError> {
    check(unsafe {
        import::proxy_replace_header_map_value(
            map as u32,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    })
}

pub(crate) fn add_header(map: HeaderMap, name: &str, value: &[u8]) -> Result<(), HostError> {
    check(unsafe {
        import::proxy_add_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

pub(crate) fn remove_header(map: HeaderMap, name: &str) -> Result<(), HostError> {
    check(unsafe { import::proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) })
}

/// `path`: its parts with a NUL between each two.
pub(crate) fn property(path: &[u8]) -> Result<Option<Vec<u8>>, HostError> {
    let mut out = Returned::new();
    let status = unsafe {
        import::proxy_get_property(path.as_ptr(), path.len(), &raw mut out.bytes, &raw mut out.size)
    };
    Ok(found(status)?.then(|| out.into_vec()))
}

pub(crate) fn set_property(path: &[u8], value: &[u8]) -> Result<(), HostError> {
    check(unsafe { import::proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) })
}

pub(crate) fn shared_data(key: &str) -> Result<Option<(Vec<u8>, u32)>, HostError> {
    let mut out = Returned::new();
    let mut version = 0;
    let status = unsafe {
        import::proxy_get_shared_data(
            key.as_ptr(),
            key.len(),
            &raw mut out.bytes,
            &raw mut out.size,
            &raw mut version,
        )
    };
    Ok(found(status)?.then(|| (out.into_vec(), version)))
}

/// `version` 0 writes blindly.
pub(crate) fn set_shared_data(key: &str, value: &[u8], version: u32) -> Result<(), HostError> {
    check(unsafe {
        import::proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), version)
    })
}

pub(crate) fn continue_stream(stream: Stream) -> Result<(), HostError> {
    check(unsafe { import::proxy_continue_stream(stream as u32) })
}

/// `headers`: in the pairs encoding.
pub(crate) fn send_local_response(
    status: u16,
    details: &str,
    headers: &[u8],
    body: &[u8],
    grpc_status: Option<u32>,
) -> Result<(), HostError> {
    // -1 is what the ABI calls "none".
    let grpc_status = grpc_status.and_then(|code| i32::try_from(code).ok()).unwrap_or(-1);
    check(unsafe {
        import::proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            grpc_status,
        )
    })
}

/// `headers`: in the pairs encoding. Returns the token of the call.
pub(crate) fn http_call(
    cluster: &str,
    headers: &[u8],
    body: &[u8],
    timeout_milliseconds: u32,
) -> Result<u32, HostError> {
    let mut token = 0;
    check(unsafe {
        import::proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            ptr::null(),
            0,
            timeout_milliseconds,
            &raw mut token,
        )
    })?;
    Ok(token)
}

/// `target`: an encoded `envoy.config.core.v3.GrpcService`; `metadata`: in the pairs encoding. Returns the token of the
/// call.
pub(crate) fn grpc_call(
    target: &[u8],
    service: &str,
    method: &str,
    metadata: &[u8],
    message: &[u8],
    timeout_milliseconds: u32,
) -> Result<u32, HostError> {
    let mut token = 0;
    check(unsafe {
        import::proxy_grpc_call(
            target.as_ptr(),
            target.len(),
            service.as_ptr(),
            service.len(),
            method.as_ptr(),
            method.len(),
            metadata.as_ptr(),
            metadata.len(),
            message.as_ptr(),
            message.len(),
            timeout_milliseconds,
            &raw mut token,
        )
    })?;
    Ok(token)
}

/// `None`: the proxy has no function of this name.
pub(crate) fn foreign_function(name: &str, arguments: &[u8]) -> Result<Option<Vec<u8>>, HostError> {
    let mut out = Returned::new();
    let status = unsafe {
        import::proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            arguments.as_ptr(),
            arguments.len(),
            &raw mut out.bytes,
            &raw mut out.size,
        )
    };
    Ok(found(status)?.then(|| out.into_vec()))
}

pub(crate) fn define_metric(kind: MetricKind, name: &str) -> Result<u32, HostError> {
    let kind = match kind {
        MetricKind::Counter => 0,
        MetricKind::Gauge => 1,
        MetricKind::Histogram => 2,
    };
    let mut id = 0;
    check(unsafe { import::proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) })?;
    Ok(id)
}

pub(crate) fn record_metric(id: u32, value: u64) -> Result<(), HostError> {
    check(unsafe { import::proxy_record_metric(id, value) })
}

pub(crate) fn increment_metric(id: u32, by: i64) -> Result<(), HostError> {
    check(unsafe { import::proxy_increment_metric(id, by) })
}

/// Makes the calls that follow count for another context than the one that was called.
pub(crate) fn set_effective_context(context: u32) -> Result<(), HostError> {
    check(unsafe { import::proxy_set_effective_context(context) })
}
