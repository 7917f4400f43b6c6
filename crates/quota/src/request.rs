//! A request as plans see it: what their `match` blocks and conditions are asked about.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};

use meshgate_policy::condition::Condition;
use meshgate_policy::config::{ConfigError, Path, Percent};
use meshgate_policy::consumer::Consumer;
use meshgate_policy::expression::Scope;
use meshgate_policy::expression::template::Template;
use meshgate_policy::head::RequestHead;
use meshgate_policy::headers::HeaderName;
use meshgate_policy::host::{Host, Map};
use meshgate_policy::matching::{Input, Match, Truth};
use minijinja::Value;
use minijinja::value::Serde;

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

    /// Whether it is one of these for every upstream, or only for some.
    pub fn truth(&self, entry: &Match) -> Truth {
        entry.truth(&Input { request: self.head, response: None, roll: &|| self.roll() })
    }

    /// Whether it is one of these, or may be one for the upstream: what guards and counts goes by this.
    pub fn may_match(&self, entry: &Match) -> bool {
        self.truth(entry).may_be()
    }

    /// Whether it is one of these, however the upstream reads it.
    pub fn is_permitted(&self, entry: &Match) -> bool {
        self.truth(entry) == Truth::Yes
    }

    /// Whether a condition holds, or has no answer; `entry` is the `match` block beside it, whose path template gives the
    /// condition its `path`. A limit is not evaded by a request that its condition can't be asked about.
    pub fn holds(&self, condition: &Condition, entry: &Match) -> bool {
        condition.holds(&self.scope_at(entry)).unwrap_or(true)
    }

    /// The value of an expression, as JSON of at most `limit` bytes. `None`: there is none. `entry` is as in
    /// [`Request::holds`].
    pub fn value(&self, template: &Template, entry: &Match, limit: usize) -> Option<Vec<u8>> {
        template.value_within(&self.scope_at(entry), limit).ok()
    }

    /// The value of a header field: `None` if it is not there, `Some(None)` if it is there more than once.
    pub fn header(&self, name: &HeaderName) -> Option<Option<&'a [u8]>> {
        let mut values = self
            .head
            .headers
            .iter()
            .filter(|(found, _)| *found == name.as_str().as_bytes())
            .map(|(_, value)| value);
        let first = values.next()?;
        Some(values.next().is_none().then_some(first))
    }

    /// What an expression sees beside a `match` block, whose path template gives it its `path`.
    fn scope_at(&self, entry: &Match) -> Cow<'_, Scope> {
        let scope = self.scope.get_or_init(|| self.scope());
        let captures = entry.captures(self.head);
        if captures.iter().next().is_none() {
            return Cow::Borrowed(scope);
        }
        let mut scope = scope.clone();
        scope.set_captures(&captures);
        Cow::Owned(scope)
    }

    /// What expressions see of it.
    pub fn scope(&self) -> Scope {
        let mut scope = Scope::new(self.head);
        if let Ok(mut host) = self.host.try_borrow_mut() {
            scope.set_now(host.now());
        }
        if let Some(identity) = self.identity {
            let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes));
            let named = [
                ("name", text(identity.name.as_bytes())),
                ("plan", text(identity.plan.name.as_bytes())),
                ("key_id", Value::from(identity.key_id())),
            ];
            scope.set_consumer(Value::from_pairs(named.into_iter().chain(identity.more())));
        }
        scope
    }

    /// Whether it is one of a share of all requests, by chance.
    pub fn is_in(&self, share: Percent) -> bool {
        share == Percent::ALL || self.roll() < share.hundredths()
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

/// Refuses an expression that asks `path` for a name that is not in the path of the `match` block beside it: it would never
/// have a value.
///
/// # Errors
/// A [`ConfigError`] that says which names there are.
pub fn check_path<'a>(
    mut asked: impl Iterator<Item = &'a str>,
    entry: &Match,
    path: &Path,
) -> Result<(), ConfigError> {
    let Some(name) = asked.find(|asked| entry.names().all(|known| known != *asked)) else { return Ok(()) };
    let (found, known) = (format!("path.{name}"), entry.names().map(|known| format!("path.{known}")));
    let known: Vec<_> = known.collect();
    if known.is_empty() {
        let error = ConfigError::at(path).value(&found).expected("a name in match.path, which has none");
        return Err(
            error.hint(format!("write a path such as match: {{path: \"/users/{{{name}}}\"}} beside it"))
        );
    }
    Err(ConfigError::unknown(path, &found, known.iter().map(String::as_str)))
}

impl Identity<'_> {
    /// As the policies behind this one see it.
    pub fn to_consumer(self) -> Consumer {
        Consumer {
            name: self.name.as_bytes().to_vec(),
            key_id: self.key_id().unwrap_or_default().as_bytes().to_vec(),
            plan: self.plan.name.as_bytes().to_vec(),
            more: self.more().into(),
        }
    }

    /// What expressions see beside its names.
    fn more(&self) -> [(&'static str, Value); 3] {
        let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes));
        [
            ("groups", self.groups.iter().map(text).collect()),
            ("anonymous", Value::from(self.is_anonymous())),
            ("claims", self.claims().map_or(Value::UNDEFINED, |claims| Value::from(Serde(claims)))),
        ]
    }
}

/// What templates see of the request that a host is at; `None` if it does not show it. `identity` is of who sends it, if that
/// is known.
pub fn scope_of(host: &mut dyn Host, identity: Option<&Identity<'_>>) -> Option<Scope> {
    let headers = host.headers(Map::RequestHeaders).ok()?;
    let head = RequestHead::new(&headers);
    Some(Request::new(&head, host, identity.copied()).scope())
}
