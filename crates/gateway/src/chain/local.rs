//! The answer of a stage, as a response to the stages in front of it.
//!
//! Envoy shows the local reply of a filter to all filters that have seen the request, from the last to the first. So does this,
//! with one difference: a reply in place of a response goes on to the stages in front, too, where Envoy sends it past all
//! other filters. So what `dlp` blocks has the form that `error-response` in front of it gives, and the fields of a quota.

use meshgate_policy::exchange::Reply;
use meshgate_policy::grpc::GrpcStatus;
use meshgate_policy::headers::{HeaderName, HeaderValue, Headers};
use meshgate_policy::host::{Host, Map, Side};

use super::link::{Data, Event};
use super::section::Section;
use super::{Answered, Chain, Stages, Stopped, Way};
use crate::trace;

/// What a request is: it decides what a proxy makes of an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kind {
    pub(super) is_head: bool,
    pub(super) is_grpc: bool,
}

/// The fields that a proxy makes of the other parts of a reply.
const MADE: [&[u8]; 5] = [b":status", b"content-length", b"grpc-status", b"grpc-message", b"content-type"];

impl<S: Stages> Chain<S> {
    /// What the client is answered, when the stages that are to see the answer have seen it.
    pub(super) fn answer(&mut self, host: &mut dyn Host, side: Side, answered: Answered) -> Box<Reply> {
        let mut reply = if side == Side::Response && self.response.head {
            // All stages have seen another response.
            answered.reply
        } else {
            if side == Side::Request && !self.request.flushed {
                // Somebody may have to know what it is that is answered.
                let _ = self.common.request_head.read(host, Map::RequestHeaders);
                self.common.kind = self.common.request_head.kind();
            }
            self.show(host, answered)
        };
        self.common.local = None;
        if let Some(line) = self.common.trace.as_ref().and_then(|trace| trace.line()) {
            reply.headers.push((trace::FIELD, line));
        }
        reply
    }

    /// Shows an answer to the stages, and then what they answer in its place.
    fn show(&mut self, host: &mut dyn Host, mut answered: Answered) -> Box<Reply> {
        // Each answers once.
        for _ in 0..=self.running.len() {
            let Reply { status, details, .. } = &*answered.reply;
            self.common.explain(host, answered.by, format_args!("answered {status} {details}"));
            for (index, running) in self.running.iter_mut().enumerate() {
                if let Some(running) = running {
                    running.response.done |= running.response.entered || index == answered.by;
                }
            }
            let kind = self.common.kind;
            let (fields, body) = message(&answered.reply, kind);
            self.response = Way::default();
            self.common.response_head = Section::of(fields);
            self.common.local = Some(answered.reply.details.to_string());
            let end = body.is_empty();
            let mut shown = self.deliver(host, Side::Response, 0, Event::Head { end });
            if shown.is_ok() && !end {
                let data = Data::of(body.clone());
                shown = self.deliver(host, Side::Response, 0, Event::Body { data, end: true });
            }
            match shown {
                Ok(()) if self.response.head && !self.waits(Side::Response) => {
                    let made = std::mem::take(&mut self.response.body);
                    if self.common.response_head.is_unchanged() && made == body {
                        return answered.reply;
                    }
                    let Ok(fields) = self.common.response_head.read(host, Map::ResponseHeaders) else {
                        break;
                    };
                    let body = if kind.is_head { answered.reply.body.clone() } else { made };
                    match changed(&answered.reply, &fields, body, kind) {
                        Some(reply) => return Box::new(reply),
                        None => break,
                    }
                }
                Ok(()) | Err(Stopped::Failed(_)) => break,
                Err(Stopped::Answered(next)) => answered = next,
            }
        }
        log::error!("an answer could not be passed on");
        Box::new(Reply::internal_error())
    }
}

/// The response that a proxy makes of a reply: what stages are shown of it.
fn message(reply: &Reply, kind: Kind) -> (Headers, Vec<u8>) {
    let status = if kind.is_grpc { "200".to_owned() } else { reply.status.to_string() };
    let mut fields = vec![(":status".to_owned(), status.into_bytes())];
    let given = reply.headers.iter().filter(|(name, _)| !kind.is_grpc || name.as_str() != "content-type");
    fields.extend(given.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())));
    let mut add = |name: &str, value: &[u8]| fields.push((name.to_owned(), value.to_vec()));
    let mut body = Vec::new();
    if kind.is_grpc {
        add("content-type", b"application/grpc");
        let status = reply.grpc_status.unwrap_or_else(|| GrpcStatus::of_proxy(reply.status).number());
        add("grpc-status", status.to_string().as_bytes());
        if !reply.body.is_empty() {
            add("grpc-message", &reply.body);
        }
    } else if !reply.body.is_empty() {
        add("content-length", reply.body.len().to_string().as_bytes());
        if !reply.headers.iter().any(|(name, _)| name.as_str() == "content-type") {
            add("content-type", b"text/plain");
        }
        if !kind.is_head {
            body.clone_from(&reply.body);
        }
    }
    (Headers::from_pairs(fields), body)
}

/// The reply that a proxy makes this response of; `None` if there is none.
fn changed(reply: &Reply, fields: &Headers, body: Vec<u8>, kind: Kind) -> Option<Reply> {
    let number = |name: &str| std::str::from_utf8(fields.first(name)?).ok()?.parse::<u32>().ok();
    let keeps_type = !kind.is_grpc;
    let mut headers = Vec::new();
    for (name, value) in fields {
        if MADE.contains(&name) && !(keeps_type && name == b"content-type") {
            continue;
        }
        let name = HeaderName::new(std::str::from_utf8(name).ok()?).ok()?;
        headers.push((name, HeaderValue::new(value).ok()?.into_owned()));
    }
    let status =
        if kind.is_grpc { None } else { number(":status").and_then(|status| status.try_into().ok()) };
    let (body, grpc_status) = if kind.is_grpc {
        (
            fields.first("grpc-message").unwrap_or_default().to_vec(),
            number("grpc-status").or(reply.grpc_status),
        )
    } else {
        (body, reply.grpc_status)
    };
    let status = status.unwrap_or(reply.status);
    Some(Reply { status, headers, body, details: reply.details.clone(), grpc_status })
}
