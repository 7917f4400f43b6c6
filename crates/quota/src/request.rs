//! A request as plans see it: what their `match` blocks and conditions are asked about.

use std::cell::{OnceCell, RefCell};

use meshgate_policy::condition::Condition;
use meshgate_policy::expression::Scope;
use meshgate_policy::head::RequestHead;
use meshgate_policy::host::Host;
use meshgate_policy::matching::{Input, Match};
use minijinja::Value;

use crate::consumer::Identity;

/// A request, and who sent it once that is known.
pub struct Request<'a> {
    head: &'a RequestHead<'a>,
    host: RefCell<&'a mut dyn Host>,
    identity: Option<Identity<'a>>,
    /// Made for the first condition that asks.
    scope: OnceCell<Scope>,
}

impl<'a> Request<'a> {
    /// A request of somebody.
    pub fn new(head: &'a RequestHead<'a>, host: &'a mut dyn Host, identity: Option<Identity<'a>>) -> Self {
        Self { head, host: RefCell::new(host), identity, scope: OnceCell::new() }
    }

    /// Whether it is one of these.
    pub fn matches(&self, entry: &Match) -> bool {
        entry.holds(&Input { request: self.head, response: None, roll: &|| self.roll() })
    }

    /// Whether it is one of these, whichever of several values the upstream takes.
    pub fn is_permitted(&self, entry: &Match) -> bool {
        self.matches(entry) && !entry.sees_several(self.head)
    }

    /// Whether a condition holds, or has no answer; `entry` is the `match` block beside it, whose path template gives the
    /// condition its `path`. A limit is not evaded by a request that its condition can't be asked about.
    pub fn holds(&self, condition: &Condition, entry: &Match) -> bool {
        let scope = self.scope.get_or_init(|| self.scope());
        let captures = entry.captures(self.head);
        let holds = if captures.iter().next().is_none() {
            condition.holds(scope)
        } else {
            let mut scope = scope.clone();
            scope.set_captures(&captures);
            condition.holds(&scope)
        };
        holds.unwrap_or(true)
    }

    fn scope(&self) -> Scope {
        let mut scope = Scope::new(self.head);
        if let Ok(mut host) = self.host.try_borrow_mut() {
            scope.set_now(host.now());
        }
        if let Some(Identity { consumer, key_id }) = self.identity {
            let text = |bytes| Value::from(String::from_utf8_lossy(bytes));
            scope.set_consumer(Value::from_pairs([
                ("name", text(consumer.name.as_bytes())),
                ("plan", text(consumer.plan.name.as_bytes())),
                ("key_id", Value::from(key_id)),
            ]));
        }
        scope
    }

    /// A number from 0 to 9,999, by chance. Without chance it is 0: as if all were meant.
    fn roll(&self) -> u16 {
        let mut bytes = [0; size_of::<u64>()];
        match self.host.try_borrow_mut().map(|mut host| host.random(&mut bytes)) {
            Ok(Ok(())) => u16::try_from(u64::from_le_bytes(bytes) % 10_000).unwrap_or(0),
            Ok(Err(_)) | Err(_) => 0,
        }
    }
}
