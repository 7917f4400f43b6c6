//! A policy, compiled in a world as a user configures it.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::Duration;

use meshgate_policy::config::ConfigError;
use meshgate_policy::host::{HostError, Metric, MetricKind, Setup, Shared, Timestamp};
use meshgate_policy::policy::{self, Policy};

use crate::host::Memory;
use crate::message::Message;
use crate::outcome::Outcome;
use crate::run::Conversation;
use crate::world::World;

/// One worker of the proxy: several in one [`World`] share its values and metrics.
pub struct Worker<P> {
    world: World,
    policy: Rc<P>,
    left: Left,
}

/// What configurations of a worker leave for those that follow.
type Left = BTreeMap<String, Weak<dyn Any>>;

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
        let mut setup = WorkerSetup { world: world.clone(), left: Left::new() };
        let policy = policy::compile(document, &mut setup)?;
        Ok(Self { world: world.clone(), policy: Rc::new(policy), left: setup.left })
    }

    /// Loads another document in the place of the first, as Envoy does in the same VM: the old policy stays until the new one is
    /// there, and then as long as exchanges have it.
    ///
    /// # Errors
    /// What is wrong with the document; then the old one stays.
    pub fn reload(&mut self, document: impl fmt::Display) -> Result<(), ConfigError> {
        let mut setup = WorkerSetup { world: self.world.clone(), left: self.left.clone() };
        self.policy = Rc::new(policy::compile(document.to_string().as_bytes(), &mut setup)?);
        self.left = setup.left;
        Ok(())
    }

    /// Lets the policy do what it does without a request, until it wants to wait; returns for how long.
    ///
    /// # Panics
    /// It wants to go on without end.
    pub fn wake(&self) -> Option<Duration> {
        for _ in 0..100_000 {
            self.world.deliver_fetches();
            let wait = self.policy.wake(&mut Memory::outside(self.world.clone()));
            self.world.deliver_fetches();
            if wait != Some(Duration::ZERO) {
                return wait;
            }
        }
        panic!("the policy never rests");
    }

    /// Lets time pass, in which the policy is woken once a second.
    pub fn pass(&self, time: Duration) {
        let end = self.world.now().after(time);
        while self.world.now() < end {
            let second = Duration::from_secs(1);
            self.world.advance(second.min(end.since(self.world.now())));
            self.wake();
        }
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

/// A world, as one worker sees it while it compiles.
struct WorkerSetup {
    world: World,
    left: Left,
}

impl Setup for WorkerSetup {
    fn instance(&self) -> &str {
        self.world.instance_name()
    }

    fn now(&mut self) -> Timestamp {
        self.world.now()
    }

    fn environment(&self, name: &str) -> Option<Vec<u8>> {
        Setup::environment(&self.world, name)
    }

    fn metric(&mut self, kind: MetricKind, name: &str) -> Result<Metric, HostError> {
        Setup::metric(&mut self.world, kind, name)
    }

    fn add(&mut self, metric: Metric, by: i64) {
        Setup::add(&mut self.world, metric, by);
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), HostError> {
        Setup::random(&mut self.world, out)
    }

    fn shared(&mut self, key: &str) -> Result<Option<Shared>, HostError> {
        Setup::shared(&mut self.world, key)
    }

    fn set_shared(&mut self, key: &str, value: &[u8]) -> Result<(), HostError> {
        Setup::set_shared(&mut self.world, key, value)
    }

    fn left(&self, name: &str) -> Option<Rc<dyn Any>> {
        self.left.get(name).and_then(Weak::upgrade)
    }

    fn leave(&mut self, name: &str, what: &Rc<dyn Any>) {
        self.left.insert(name.to_owned(), Rc::downgrade(what));
    }
}

/// Without the policy, which need not be shown: it may hold secrets.
impl<P: Policy> fmt::Debug for Worker<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("policy", &P::NAME).field("world", &self.world).finish_non_exhaustive()
    }
}
