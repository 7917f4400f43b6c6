//! The few protobuf fields that calls to Envoy itself need: all are of the length-delimited kind (wire type 2).
//!
//! Messages of services belong to the policies that call them, and to a real protobuf library.

/// Appends a field of bytes, a string or a message. Field numbers up to 15 take one byte.
pub(crate) fn field(message: &mut Vec<u8>, number: u8, value: &[u8]) {
    const LENGTH_DELIMITED: u8 = 2;
    message.push((number & 0x0f) << 3 | LENGTH_DELIMITED);
    let mut rest = value.len();
    while rest >= 0x80 {
        message.push(u8::try_from(rest & 0x7f).unwrap_or_default() | 0x80);
        rest >>= 7;
    }
    message.push(u8::try_from(rest).unwrap_or_default());
    message.extend_from_slice(value);
}

/// An `envoy.config.core.v3.GrpcService` that names a cluster: `envoy_grpc { cluster_name }`.
///
/// A bare name would do too, as long as it does not happen to be a valid message itself.
pub(crate) fn grpc_service(cluster: &str) -> Vec<u8> {
    let mut envoy_grpc = Vec::new();
    field(&mut envoy_grpc, 1, cluster.as_bytes());
    let mut service = Vec::new();
    field(&mut service, 1, &envoy_grpc);
    service
}
