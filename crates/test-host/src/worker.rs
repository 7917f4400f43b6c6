//! A policy, compiled in a world as a user configures it.

use std::fmt;
use std::rc::Rc;

use meshgate_policy::config::ConfigError;
use meshgate_policy::policy::{self, Policy};

use crate::message::Message;
use crate::outcome::Outcome;
use crate::run::Conversation;
use crate::world::World;

/// One worker of the proxy: several in one [`World`] share its values and metrics.
pub struct Worker<P> {
    world: World,
    policy: Rc<P>,
}

impl<P: Policy> Worker<P> {
    /// Loads and compiles a JSON document: text, or what `serde_json::json!` makes.
    ///
    /// # Errors
    /// What is wrong with the document.
    pub fn load(world: &World, document: impl fmt::Display) -> Result<Self, ConfigError> {
        Self::load_bytes(world, document.to_string().as_bytes())
    }

    /// Loads and compiles a document as Envoy hands it over: JSON text, or an encoded `google.protobuf.Struct`.
    ///
    /// # Errors
    /// What is wrong with the document.
    pub fn load_bytes(world: &World, document: &[u8]) -> Result<Self, ConfigError> {
        let policy = policy::compile(document, &mut world.clone())?;
        Ok(Self { world: world.clone(), policy: Rc::new(policy) })
    }

    /// Loads and compiles a document that is right.
    ///
    /// # Panics
    /// It is not.
    pub fn new(world: &World, document: impl fmt::Display) -> Self {
        Self::load(world, document).unwrap_or_else(|error| panic!("configuration refused: {error}"))
    }

    /// Begins an exchange.
    pub fn begin(&self) -> Conversation<P::Exchange> {
        self.world.begin_with(P::PHASES, self.policy.begin())
    }

    /// Takes one exchange through: see [`Conversation::run`].
    pub fn run(&self, request: &Message, response: &Message) -> Outcome {
        self.begin().run(request, response)
    }
}

/// Without the policy, which need not be shown: it may hold secrets.
impl<P: Policy> fmt::Debug for Worker<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("policy", &P::NAME).field("world", &self.world).finish_non_exhaustive()
    }
}
