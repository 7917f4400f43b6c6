//! Responses that the proxy makes itself.

use meshgate_policy::grpc::GrpcStatus;

use crate::message::Fields;

/// What a filter or the router wants the client to get.
#[derive(Clone, Debug, Default)]
pub(crate) struct LocalReply {
    pub(crate) status: u16,
    pub(crate) details: String,
    pub(crate) headers: Fields,
    pub(crate) body: Vec<u8>,
    pub(crate) grpc_status: Option<u32>,
    pub(crate) flags: u64,
}

impl LocalReply {
    pub(crate) fn new(status: u16, details: &str, body: &str) -> Self {
        Self { status, details: details.to_owned(), body: body.as_bytes().to_vec(), ..Self::default() }
    }

    /// Head and body as Envoy makes them of it for this request.
    pub(crate) fn messages(self, request: Option<&Fields>) -> (Fields, Vec<u8>) {
        let content_type = request.and_then(|head| head.text("content-type")).unwrap_or_default();
        let is_grpc = content_type == "application/grpc" || content_type.starts_with("application/grpc+");
        let is_head = request.and_then(|head| head.first(":method")) == Some(b"HEAD");
        let mut head: Fields = [(":status", self.status.to_string())].into_iter().collect();
        for (name, value) in self.headers.iter() {
            head.add(name, value);
        }
        if is_grpc {
            head.set(":status", "200");
            head.set("content-type", "application/grpc");
            let status = self.grpc_status.unwrap_or_else(|| GrpcStatus::of_proxy(self.status).number());
            head.set("grpc-status", status.to_string());
            if !self.body.is_empty() && !is_head {
                head.set("grpc-message", grpc_message(&self.body));
            }
            head.remove("content-length");
            return (head, Vec::new());
        }
        if self.body.is_empty() {
            head.remove("content-length");
            head.remove("content-type");
        } else {
            head.set("content-length", self.body.len().to_string());
            if head.first("content-type").is_none() {
                head.set("content-type", "text/plain");
            }
        }
        (head, if is_head { Vec::new() } else { self.body })
    }
}

/// Percent-encoded, as gRPC over HTTP/2 has it.
fn grpc_message(body: &[u8]) -> String {
    let mut message = String::new();
    for byte in body {
        match byte {
            b' '..=b'~' if *byte != b'%' => message.push(char::from(*byte)),
            _ => message.push_str(&format!("%{byte:02X}")),
        }
    }
    message
}
