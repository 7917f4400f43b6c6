//! The exchange that is under way: what its messages are right now, and where each filter stands.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::message::{Fields, Side};

/// One exchange.
pub(crate) struct Stream {
    pub(crate) request: Message,
    pub(crate) response: Message,
    /// In the order of the chain.
    pub(crate) filters: Vec<Filter>,
    pub(crate) facts: Facts,
}

/// What is known of an exchange beside its messages.
pub(crate) struct Facts {
    pub(crate) from: SocketAddr,
    pub(crate) route: String,
    pub(crate) started: u64,
    pub(crate) details: String,
    pub(crate) flags: u64,
    pub(crate) filter_state: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What there is of a message now.
#[derive(Default)]
pub(crate) struct Message {
    pub(crate) head: Option<Fields>,
    /// The part that is on its way through the filters.
    pub(crate) fresh: Vec<u8>,
    /// What is kept: one buffer for all filters.
    pub(crate) buffered: Option<Vec<u8>>,
    /// Whether the filter that keeps it wants it all, or only for some time.
    pub(crate) streaming: bool,
    pub(crate) trailers: Option<Fields>,
    /// All of it has arrived at the proxy.
    pub(crate) complete: bool,
    /// Nothing more of it is shown to filters.
    pub(crate) aborted: bool,
    /// How many bytes of the body have arrived.
    pub(crate) size: usize,
}

/// A filter in an exchange.
#[derive(Default)]
pub(crate) struct Filter {
    /// Its context in its VM; `None` until it sees the request.
    pub(crate) context: Option<u32>,
    pub(crate) request: Half,
    pub(crate) response: Half,
}

/// A filter on one side of an exchange.
#[derive(Default)]
pub(crate) struct Half {
    pub(crate) state: Iteration,
    pub(crate) headers_continued: bool,
    /// It has seen the end.
    pub(crate) end: bool,
    pub(crate) from_current: bool,
    /// The module asked for the whole body.
    pub(crate) buffering: bool,
    /// What its module can reach.
    pub(crate) sees_head: bool,
    pub(crate) sees_body: Option<Source>,
    pub(crate) sees_trailers: bool,
    /// It is in the callback for the last part of the body, where trailers may be made.
    pub(crate) may_add_trailers: bool,
}

/// Whether messages go on behind a filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Iteration {
    #[default]
    Continue,
    /// This part stops here, the next is shown.
    StopSingle,
    /// All stops here, and nothing more is shown.
    StopAll,
}

/// Where a part of a body lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Fresh,
    Buffered,
}

impl Stream {
    pub(crate) fn message(&self, side: Side) -> &Message {
        match side {
            Side::Request => &self.request,
            Side::Response => &self.response,
        }
    }

    pub(crate) fn message_mut(&mut self, side: Side) -> &mut Message {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    /// The filter whose context this is.
    pub(crate) fn half_of(&self, plugin: usize, context: u32, side: Side) -> Option<&Half> {
        let filter = self.filters.get(plugin).filter(|filter| filter.context == Some(context))?;
        Some(filter.half(side))
    }
}

impl Filter {
    pub(crate) fn half(&self, side: Side) -> &Half {
        match side {
            Side::Request => &self.request,
            Side::Response => &self.response,
        }
    }

    pub(crate) fn half_mut(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }
}

impl Message {
    pub(crate) fn body(&self, source: Source) -> &[u8] {
        match source {
            Source::Fresh => &self.fresh,
            Source::Buffered => self.buffered.as_deref().unwrap_or_default(),
        }
    }

    pub(crate) fn body_mut(&mut self, source: Source) -> &mut Vec<u8> {
        match source {
            Source::Fresh => &mut self.fresh,
            Source::Buffered => self.buffered.get_or_insert_default(),
        }
    }
}
