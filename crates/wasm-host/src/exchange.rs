//! What has become of a request.

use std::time::Duration;

use crate::message::{Received, Response};
use crate::world::Event;

/// An exchange that is over.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What the client got.
    pub outcome: Outcome,
    /// `%RESPONSE_CODE_DETAILS%`
    pub details: String,
    /// The bits of `%RESPONSE_FLAGS%`.
    pub flags: u64,
    /// What each filter got of the request, in the order of the chain, and behind the last what the upstream got: `None`
    /// where it never came to.
    pub request_at: Vec<Option<Received>>,
    /// What came out of each filter of the response, and behind the last what came into it.
    pub response_at: Vec<Option<Received>>,
    /// What the plugins did, in order.
    pub events: Vec<Event>,
    /// How many instructions each plugin ran.
    pub fuel: Vec<u64>,
    /// How long it waited for callouts.
    pub waited: Duration,
}

/// What a client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A response.
    Response(Response),
    /// A response that breaks off.
    Reset(Response),
}

impl Exchange {
    /// What the upstream got: `None` if the request never came to it.
    pub fn upstream(&self) -> Option<&Received> {
        self.request_at.last()?.as_ref()
    }

    /// What the client got, whole or not.
    pub fn response(&self) -> &Response {
        match &self.outcome {
            Outcome::Response(response) | Outcome::Reset(response) => response,
        }
    }
}
