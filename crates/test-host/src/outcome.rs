//! How an exchange ended: what upstream and client got.

use std::collections::BTreeMap;

use crate::message::Message;

/// What the client got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client {
    /// Nothing yet.
    Nothing,
    /// A response, complete or not.
    Answer(Message),
    /// A response that broke off.
    Reset,
}

/// How an exchange ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the upstream got; `None`: nothing of the request reached it.
    pub upstream: Option<Message>,
    /// What the client got.
    pub client: Client,
    /// The details of the reply, if the proxy answered by itself.
    pub details: Option<&'static str>,
    /// The filter state that was set.
    pub filter_state: BTreeMap<String, Vec<u8>>,
}

impl Outcome {
    /// What the client got.
    ///
    /// # Panics
    /// It got no answer.
    pub fn answer(&self) -> &Message {
        match &self.client {
            Client::Answer(message) => message,
            Client::Nothing | Client::Reset => panic!("no answer: {self:?}"),
        }
    }

    /// The status of the answer.
    ///
    /// # Panics
    /// There was no answer.
    pub fn status(&self) -> u16 {
        self.answer().status()
    }

    /// What the upstream got.
    ///
    /// # Panics
    /// It got nothing.
    pub fn forwarded(&self) -> &Message {
        self.upstream.as_ref().unwrap_or_else(|| panic!("nothing was passed on: {self:?}"))
    }
}
