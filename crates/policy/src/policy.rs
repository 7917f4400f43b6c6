//! What a user configures.

use std::rc::Rc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::config::{self, ConfigError, Options};
use crate::document::Document;
use crate::exchange::Exchange;
use crate::host::{Host, Setup, Side};

/// A policy, compiled from its configuration and shared by all exchanges of a worker.
pub trait Policy: Sized + 'static {
    /// What configuration documents, metrics and logs call it.
    const NAME: &'static str;

    /// The callbacks that its exchanges need: a host makes no others.
    const PHASES: Phases;

    /// What reading the configuration needs beyond its types: which fields hold secrets, and examples for missing ones.
    const OPTIONS: Options<'static> = Options { sensitive: &[], open: &[], examples: &[], documents: &[] };

    /// The configuration document. Its types are its documentation: the JSON Schema comes from them.
    type Config: DeserializeOwned + JsonSchema;

    /// What handles one exchange.
    type Exchange: Exchange;

    /// Compiles a configuration: everything that can be done before the first request is done here.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the field, what was found and what to write instead.
    fn compile(config: Self::Config, setup: &mut dyn Setup) -> Result<Self, ConfigError>;

    /// Begins an exchange.
    fn begin(self: &Rc<Self>) -> Self::Exchange;

    /// Does what is to be done though no request comes, such as fetching what the next ones need. Called soon after the
    /// configuration has been compiled, if that has asked for it ([`Setup::wake`]). Returns in how long it wants to be called
    /// again, or `None`: never. `host` is nobody's: of messages it knows nothing. Only a policy with [`Phases::callout`] is
    /// called.
    fn wake(self: &Rc<Self>, host: &mut dyn Host) -> Option<Duration> {
        let _ = host;
        None
    }
}

/// The callbacks that a policy needs. Each costs a crossing into the VM on each request, so a module exports no others.
/// Not every choice is sound: see [`Phases::check`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// [`Exchange::request_head`]
    pub request_head: bool,
    /// [`Exchange::request_body`]
    pub request_body: bool,
    /// [`Exchange::request_trailers`]; needed wherever `request_body` is.
    pub request_trailers: bool,
    /// [`Exchange::response_head`]
    pub response_head: bool,
    /// [`Exchange::response_body`]
    pub response_body: bool,
    /// [`Exchange::response_trailers`]; needed wherever `response_body` is.
    pub response_trailers: bool,
    /// [`Exchange::callout`]
    pub callout: bool,
    /// [`Exchange::log`]
    pub log: bool,
    /// [`Exchange::end`]; this one costs no crossing.
    pub end: bool,
}

impl Phases {
    /// None.
    pub const NONE: Self = Self {
        request_head: false,
        request_body: false,
        request_trailers: false,
        response_head: false,
        response_body: false,
        response_trailers: false,
        callout: false,
        log: false,
        end: false,
    };

    /// All.
    pub const ALL: Self = Self {
        request_head: true,
        request_body: true,
        request_trailers: true,
        response_head: true,
        response_body: true,
        response_trailers: true,
        callout: true,
        log: true,
        end: true,
    };

    /// Checks that nothing of a message can slip past a policy with these phases.
    ///
    /// A proxy passes on what a module has no callback for, and with a body or with trailers it passes on a head that is
    /// held. So a request that is answered for by a callout needs all callbacks behind its head, and a body that is read
    /// needs those of the trailers that may end it.
    ///
    /// A response is not bound by the rule of callouts: most policies with callouts only add fields to it, and would pay
    /// for a callback on each part of each body. One that waits in a response without the phases that it takes gets
    /// [`HostError::PhasesMissing`](crate::host::HostError::PhasesMissing).
    ///
    /// # Errors
    /// What is missing.
    pub const fn check(&self) -> Result<(), &'static str> {
        if self.callout && self.request_head && !self.holds(Side::Request) {
            return Err("request_head with callout needs request_body and request_trailers");
        }
        if self.request_body && !self.request_trailers {
            return Err("request_body needs request_trailers");
        }
        if self.response_body && !self.response_trailers {
            return Err("response_body needs response_trailers");
        }
        Ok(())
    }

    /// Whether the policy is called for all that follows the head of a message, so that it can hold it.
    pub const fn holds(&self, side: Side) -> bool {
        match side {
            Side::Request => self.request_body && self.request_trailers,
            Side::Response => self.response_body && self.response_trailers,
        }
    }
}

/// Reads a configuration document and compiles it: what a host does when a configuration arrives.
///
/// # Errors
/// What is wrong with the document, or what [`Policy::compile`] has against it.
pub fn compile<'a, P: Policy>(
    document: impl Into<Document<'a>>,
    setup: &mut dyn Setup,
) -> Result<P, ConfigError> {
    let config = match document.into() {
        Document::Json(text) => config::load(text, &P::OPTIONS)?,
        Document::Value(value) => config::from_value(&value, &P::OPTIONS)?,
    };
    P::compile(config, setup)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn what_waits_is_held_behind_its_head() {
        const HEADS: Phases = Phases { request_head: true, response_head: true, log: true, ..Phases::NONE };
        const HELD: Phases = Phases { request_body: true, request_trailers: true, callout: true, ..HEADS };
        for phases in [Phases::NONE, Phases::ALL, HEADS, HELD, Phases { callout: true, ..Phases::NONE }] {
            assert_eq!(phases.check(), Ok(()), "{phases:?}");
        }
        for (phases, missing) in [
            (Phases { callout: true, ..HEADS }, "request_head with callout"),
            (Phases { request_body: false, ..HELD }, "request_head with callout"),
            (Phases { request_trailers: false, ..HELD }, "request_head with callout"),
            (Phases { request_body: true, ..HEADS }, "request_body needs"),
            (Phases { response_body: true, ..HEADS }, "response_body needs"),
        ] {
            assert!(phases.check().unwrap_err().starts_with(missing), "{phases:?}");
        }
        assert!(HELD.holds(Side::Request) && !HELD.holds(Side::Response));
    }
}
