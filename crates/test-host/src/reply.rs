//! The response that Envoy makes of a filter's reply.

use meshgate_policy::exchange::Reply;
use meshgate_policy::grpc::GrpcStatus;

use crate::message::{Fields, Message};

/// What Envoy makes of a reply for the request with this head.
pub(crate) fn to_message(reply: Reply, request: Option<&Fields>) -> Message {
    let request = |name| request.and_then(|head| head.all(name).next());
    let grpc = request("content-type").is_some_and(|kind| kind.starts_with(b"application/grpc"));
    let mut message = Message::response(if grpc { 200 } else { reply.status });
    for (name, value) in &reply.headers {
        message.head.add(name.as_str(), value.as_bytes());
    }
    if grpc {
        message.head.set("content-type", "application/grpc");
        let status = reply.grpc_status.unwrap_or_else(|| GrpcStatus::of_proxy(reply.status).number());
        message.head.set("grpc-status", status.to_string());
        if !reply.body.is_empty() {
            message.head.set("grpc-message", &reply.body);
        }
    } else if !reply.body.is_empty() {
        message.head.set("content-length", reply.body.len().to_string());
        if message.head.all("content-type").next().is_none() {
            message.head.add("content-type", "text/plain");
        }
        if request(":method") != Some(b"HEAD") {
            message.body = reply.body;
        }
    }
    message
}
