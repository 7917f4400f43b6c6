//! What a user configures.

use std::rc::Rc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::config::{self, ConfigError, Options};
use crate::exchange::Exchange;
use crate::host::Setup;

/// A policy, compiled from its configuration and shared by all exchanges of a worker.
pub trait Policy: Sized + 'static {
    /// What configuration documents, metrics and logs call it.
    const NAME: &'static str;

    /// The callbacks that its exchanges need: a host makes no others.
    const PHASES: Phases;

    /// What reading the configuration needs beyond its types: which fields hold secrets, and examples for missing ones.
    const OPTIONS: Options<'static> = Options { sensitive: &[], examples: &[] };

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
}

/// The callbacks that a policy needs. Each costs a crossing into the VM on each request, so a module exports no others.
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
    };
}

/// Reads a configuration document and compiles it: what a host does when a configuration arrives.
///
/// # Errors
/// What is wrong with the document, or what [`Policy::compile`] has against it.
pub fn compile<P: Policy>(document: &[u8], setup: &mut dyn Setup) -> Result<P, ConfigError> {
    P::compile(config::load(document, &P::OPTIONS)?, setup)
}
