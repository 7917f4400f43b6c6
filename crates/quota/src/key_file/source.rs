//! A file of keys behind a URL: when it is asked for, and what becomes of the answers.
//!
//! A worker asks for it as soon as it has its configuration, and again before it is old, whether requests come or not. It is
//! asked for in parts ([`PART`]), each of a version of the file that the server names by an entity tag: if it has changed in
//! the midst (`If-Match`), the load starts over; if it has not changed since it was loaded (`If-None-Match`), that is all. A part
//! that does not come is asked for again, so that a load of minutes does not begin anew for one lost packet. The keys that are there
//! stay until all of the others are there and right.
//!
//! The table outlives the configuration: the one that follows it in the same worker takes it over ([`Content`]), since to load a
//! million keys anew whenever a limit changes would be seconds without any.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};
use std::time::Duration;

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::host::{Answer, CalloutId, Host, Listener, Metric, Setup, Timestamp};

use super::content::Content;
use super::identity::Fetched;
use super::line::Rules;
use super::load::Load;
use super::reply::{self, PART, Part, Reply, WHOLE};
use crate::config::KeyFileConfig;
use crate::consumer::{Consumers, escaped};
use crate::metrics::{self, Event, Metrics};
use crate::names::Names;
use crate::presented::Presented;
use crate::token::endpoint::Endpoint;
use crate::token::pace::{self, Retries};

/// How often it is looked at whether something is to be done.
const REST: Duration = Duration::from_secs(1);
/// The same while parts come: the last one may leave something to do.
const LOADING: Duration = Duration::from_millis(20);
/// How many shards of a table are changed at a time: a thousand keys each, of a million.
const AT_ONCE: usize = 24;
/// How often in a row a part may fail to come before its load is given up.
const MAX_FAILURES: u32 = 5;

/// A file of keys.
pub struct Source {
    /// What metrics and logs call it.
    pub name: Box<str>,
    endpoint: Endpoint,
    refresh: Duration,
    max_size: u64,
    rules: Rules,
    /// The shared value: when a worker last saw that the file had changed (nanoseconds, `u64` LE).
    pub shared: Box<str>,
    metrics: Rc<Metrics>,
    fetched_at: Metric,
    loaded: Metric,
    content: Rc<Content>,
    /// Which of the configurations that have had the content it is; `None`: it has not had it yet. It takes it when it is first
    /// woken, since until then something else of its configuration may be wrong, and the one before stays.
    turn: Cell<Option<u64>>,
    state: RefCell<State>,
    this: Weak<Self>,
}

#[derive(Debug, Default)]
struct State {
    under_way: Option<CalloutId>,
    /// When the file is asked for again.
    due: Timestamp,
    retries: Retries,
    /// When the present load began.
    asked: Timestamp,
    /// Until when a worker's word that the file has changed has been followed.
    heard: Timestamp,
    /// The version that was not right, and why.
    refused: Option<(Vec<u8>, String)>,
    /// The present load began because another worker said that the file had changed.
    was_told: bool,
}

impl Source {
    /// Checks what is configured.
    ///
    /// # Errors
    /// A [`ConfigError`] for what no request can be made of, or if nothing can be shared.
    pub fn compile(
        config: KeyFileConfig,
        rules: Rules,
        prefix: &str,
        metrics: &Rc<Metrics>,
        setup: &mut dyn Setup,
        path: &Path,
    ) -> Result<Rc<Self>, ConfigError> {
        let refresh = pace::refresh(config.refresh, path)?;
        let endpoint = Endpoint::compile(
            "GET",
            (config.cluster, &config.path, config.authority),
            config.timeout,
            &[("accept", "application/jsonl, */*;q=0.5"), ("accept-encoding", "identity")],
            WHOLE,
            path,
        )?;
        // The names of consumers have no slash in them, so no usage is called that.
        let place = format!("{}/{}", escaped(endpoint.cluster()), escaped(&endpoint.url()));
        let shared = format!("{prefix}keys/{place}");
        let failed = |error| ConfigError::at(path).problem(format!("its changes can't be shared: {error}"));
        if setup.shared(&shared).map_err(failed)?.is_none() {
            setup.set_shared(&shared, &[]).map_err(failed)?;
        }
        let left = setup.left(&shared).and_then(|left| left.downcast::<Content>().ok());
        let content = left.unwrap_or_default();
        let as_any: Rc<dyn Any> = Rc::clone(&content) as _;
        setup.leave(&shared, &as_any);
        setup.wake();
        let [fetched_at, loaded] = metrics::of_key_file(setup, &config.name)?;
        Ok(Rc::new_cyclic(|this| Self {
            name: config.name.into(),
            endpoint,
            refresh,
            max_size: config.max_size.bytes(),
            rules,
            shared: shared.into(),
            metrics: Rc::clone(metrics),
            fetched_at,
            loaded,
            content,
            turn: Cell::new(None),
            state: RefCell::default(),
            this: Weak::clone(this),
        }))
    }

    /// The names of consumers that it gives.
    pub const fn names(&self) -> &Names {
        self.rules.whose.names()
    }

    /// Whose key it is, if it is among those that are there.
    ///
    /// # Errors
    /// [`Unfit`]
    pub fn find(
        &self,
        key: &Presented<'_>,
        consumers: &Consumers,
        now: impl FnOnce() -> Timestamp,
    ) -> Result<Option<Fetched>, Unfit> {
        let inner = self.content.0.borrow();
        let (plain, peppered) = inner.table.kinds();
        let plain = if plain { inner.table.find(key.plain(), false) } else { None };
        let found = plain.or_else(|| if peppered { inner.table.find(key.peppered()?, true) } else { None });
        let Some(record) = found else { return Ok(None) };
        let plan = record.plan().and_then(|plan| inner.table.plan(plan));
        self.rules.whose.of(&record, plan, consumers, now).map(Some).ok_or(Unfit)
    }

    /// In how many seconds a key that was not found may be there: its file has not been loaded yet. `None`: it has.
    pub fn is_missing(&self, host: &mut dyn Host) -> Option<u64> {
        let loaded = self.content.0.borrow().is_loaded;
        (!loaded).then(|| self.state.borrow().retries.seconds(host.now()))
    }

    /// Does what is to be done now; in how long there is more. `None`: never again.
    pub fn wake(&self, host: &mut dyn Host) -> Option<Duration> {
        if self.turn.get().is_none() {
            self.turn.set(Some(self.content.hand_over()));
        }
        if !self.is_in_charge() {
            return None;
        }
        let complete = self.content.0.borrow().load.as_ref().is_some_and(Load::is_complete);
        if complete {
            self.apply(host);
        } else if self.state.borrow().under_way.is_none() {
            let now = host.now();
            if self.is_due(host, now) {
                self.ask(host, now);
            }
        }
        Some(match &self.content.0.borrow().load {
            Some(load) if load.is_complete() => Duration::ZERO,
            Some(_) => LOADING,
            None => REST,
        })
    }

    /// No other configuration has taken over.
    fn is_in_charge(&self) -> bool {
        self.turn.get() == Some(self.content.0.borrow().turns)
    }

    /// Stops loading: there are others who do, or nobody needs it.
    pub fn retire(&self) {
        if self.is_in_charge() {
            self.content.hand_over();
        }
    }

    fn is_due(&self, host: &mut dyn Host, now: Timestamp) -> bool {
        if now < self.state.borrow().retries.at {
            return false;
        }
        let begun = self.content.0.borrow().load.is_some();
        if begun || now >= self.state.borrow().due || self.is_from_later(now) {
            self.state.borrow_mut().was_told = false;
            return true;
        }
        let said = host.shared(&self.shared).ok().flatten();
        let said = said.and_then(|shared| shared.value.first_chunk().copied());
        let said =
            said.map_or(Timestamp::default(), |nanos| Timestamp::from_nanos(u64::from_le_bytes(nanos)));
        let mut state = self.state.borrow_mut();
        let told = said > state.heard && said <= now;
        if told {
            (state.heard, state.was_told) = (said, true);
        }
        told
    }

    /// The clock has gone back: what is due may be very far away.
    fn is_from_later(&self, now: Timestamp) -> bool {
        self.state.borrow().due > now.after(self.refresh)
    }

    /// Asks for the next part, or for a new file.
    fn ask(&self, host: &mut dyn Host, now: Timestamp) {
        let headers = {
            let (inner, state) = (self.content.0.borrow(), self.state.borrow());
            let start = inner.load.as_ref().map_or(0, |load| load.read);
            let range = format!("bytes={start}-{}", start.saturating_add(PART).saturating_sub(1));
            let known = match &inner.load {
                Some(load) => load.etag.clone().map(|etag| ("if-match", etag)),
                None => {
                    let loaded = inner.etag.as_deref().filter(|_| inner.is_loaded);
                    let refused = state.refused.as_ref().map(|(etag, _)| etag.as_slice());
                    let both: Vec<&[u8]> = loaded.into_iter().chain(refused).collect();
                    (!both.is_empty()).then(|| ("if-none-match", both.join(b", ".as_slice())))
                }
            };
            let mut fields = vec![("range", range.as_bytes())];
            fields.extend(known.as_ref().map(|(name, value)| (*name, value.as_slice())));
            self.endpoint.with(&fields)
        };
        let Some(this) = self.this.upgrade() else { return };
        match host.fetch(&self.endpoint.call_with(&headers), this) {
            Ok(id) => {
                let begins = self.content.0.borrow().load.is_none();
                let mut state = self.state.borrow_mut();
                state.under_way = Some(id);
                if begins {
                    state.asked = now;
                }
            }
            Err(error) => self.failed(host, now, &error),
        }
    }

    /// Takes a part.
    fn take(&self, part: &Part<'_>) -> Result<(), Stopped> {
        let mut inner = self.content.0.borrow_mut();
        let inner = &mut *inner;
        let taken = u64::try_from(part.bytes.len()).unwrap_or(u64::MAX);
        match &inner.load {
            None => {
                if part.start != 0 {
                    return Err(Stopped::Later(
                        "the server sends another part than was asked for".to_owned(),
                    ));
                }
                if part.total > self.max_size {
                    let Part { total, .. } = part;
                    return Err(Stopped::Wrong(format!(
                        "{total} bytes are more than max_size, {}",
                        self.max_size
                    )));
                }
                if part.total > taken && !part.etag.is_some_and(reply::is_strong) {
                    return Err(Stopped::Wrong(
                        "the server gives no strong etag, so that parts of it could be of two files"
                            .to_owned(),
                    ));
                }
                let etag = part.etag.map(<[u8]>::to_vec);
                inner.load = Some(Load::new(etag, part.total, &mut inner.table));
            }
            Some(load) if load.etag.as_deref() != part.etag || load.total != part.total => {
                return Err(Stopped::Changed);
            }
            Some(load) if load.read != part.start => {
                return Err(Stopped::Later("the server sends another part than was asked for".to_owned()));
            }
            Some(_) => {}
        }
        if let Some(load) = &mut inner.load {
            load.take(part.bytes, &mut inner.table, &self.rules).map_err(|wrong| Stopped::Wrong(wrong.0))?;
        }
        self.state.borrow_mut().retries = Retries::default();
        Ok(())
    }

    /// Puts the keys that have come in the place of those that are there, some at a time.
    fn apply(&self, host: &mut dyn Host) {
        let (done, changed) = {
            let mut inner = self.content.0.borrow_mut();
            let inner = &mut *inner;
            let Some(load) = &mut inner.load else { return };
            let done = load.change().apply(&mut inner.table, AT_ONCE);
            let changed = inner.is_loaded;
            if done {
                inner.etag = load.etag.take();
                inner.is_loaded = true;
                inner.load = None;
            }
            (done, changed)
        };
        if done {
            let number = self.content.0.borrow().table.number();
            log::info!("key file {}: {number} keys from the cluster {}", self.name, self.endpoint.cluster());
            self.metrics.count(host, Event::KeysFetched);
            host.record(self.loaded, u64::try_from(number).unwrap_or(u64::MAX));
            if changed {
                self.tell_others(host);
            }
            self.is_current(host);
        }
    }

    /// The keys that are there are those of the server.
    fn is_current(&self, host: &mut dyn Host) {
        let now = host.now();
        host.record(self.fetched_at, now.as_secs());
        let due = now.after(pace::jittered(self.refresh, host));
        let mut state = self.state.borrow_mut();
        (state.due, state.retries, state.refused) = (due, Retries::default(), None);
        state.heard = state.heard.max(state.asked);
    }

    /// Tells the other workers that the file has changed, so that they ask as well; those that are told tell nobody.
    fn tell_others(&self, host: &mut dyn Host) {
        if self.state.borrow().was_told {
            return;
        }
        let now = host.now();
        self.state.borrow_mut().heard = now;
        if let Err(error) = host.set_shared(&self.shared, &now.as_nanos().to_le_bytes(), None) {
            log::warn!("key file {}: other workers can't be told of a change: {error}", self.name);
        }
    }

    /// The file is as it was.
    fn unchanged(&self, host: &mut dyn Host, etag: Option<&[u8]>) -> Result<(), Stopped> {
        let inner = self.content.0.borrow();
        if inner.load.is_some() || !(inner.is_loaded || self.state.borrow().refused.is_some()) {
            return Err(Stopped::Later("status 304 to what was not asked".to_owned()));
        }
        if let Some((refused, why)) = &self.state.borrow().refused
            && etag.is_none_or(|etag| etag == refused)
        {
            return Err(Stopped::Still(why.clone()));
        }
        drop(inner);
        self.metrics.count(host, Event::KeysUnchanged);
        self.is_current(host);
        Ok(())
    }

    /// Gives up what has come of a file.
    fn give_up(&self) -> Option<Load> {
        self.content.0.borrow_mut().load.take()
    }

    fn stopped(&self, host: &mut dyn Host, now: Timestamp, why: Stopped, etag: Option<&[u8]>) {
        match why {
            Stopped::Later(why) => {
                if self.state.borrow().retries.failures >= MAX_FAILURES {
                    drop(self.give_up());
                }
                self.failed(host, now, &why);
            }
            Stopped::Changed => {
                drop(self.give_up());
                self.failed(host, now, &"the file has changed while it came, and is asked for anew");
            }
            Stopped::Wrong(why) => {
                drop(self.give_up());
                let refused = etag.map(|etag| (etag.to_vec(), why.clone()));
                self.failed(host, now, &why);
                self.state.borrow_mut().refused = refused;
            }
            Stopped::Still(why) => self.failed(host, now, &why),
        }
    }

    fn failed(&self, host: &mut dyn Host, now: Timestamp, why: &dyn fmt::Display) {
        let (cluster, loaded) = (self.endpoint.cluster(), self.content.0.borrow().is_loaded);
        let fallback = if loaded { "the last good ones stay" } else { "there are none" };
        log::warn!("key file {}: keys from the cluster {cluster}: {why}; {fallback}", self.name);
        self.metrics.count(host, Event::KeysFailed);
        let mut state = self.state.borrow_mut();
        state.retries.failed(now);
        // Also where another worker's word was all that there was to go by.
        state.due = state.due.min(now);
    }
}

/// What a file says of a key does not fit the configuration, which has changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit;

/// Why a load does not go on.
#[derive(Debug)]
enum Stopped {
    /// A part has not come: it may do so later.
    Later(String),
    /// The file is another one now.
    Changed,
    /// The file is not right.
    Wrong(String),
    /// The file is still the one that was not right.
    Still(String),
}

impl Listener for Source {
    fn answered(&self, host: &mut dyn Host, id: CalloutId, answer: &Answer) {
        {
            let mut state = self.state.borrow_mut();
            if state.under_way != Some(id) {
                return;
            }
            state.under_way = None;
        }
        if !self.is_in_charge() {
            return;
        }
        let now = host.now();
        let start = self.content.0.borrow().load.as_ref().map_or(0, |load| load.read);
        let reply = Reply::read(answer, start);
        let etag = match &reply {
            Reply::Part(part) => part.etag,
            _ => None,
        };
        let done = match &reply {
            Reply::Unchanged(etag) => self.unchanged(host, *etag),
            Reply::Part(part) => self.take(part),
            Reply::Changed => Err(Stopped::Changed),
            Reply::Empty => Err(Stopped::Wrong("the file is empty".to_owned())),
            Reply::Bad(why) => Err(Stopped::Later(why.clone())),
        };
        if let Err(why) = done {
            self.stopped(host, now, why, etag);
            return;
        }
        let complete = self.content.0.borrow().load.as_ref().map(Load::is_complete);
        match complete {
            Some(true) => self.apply(host),
            Some(false) => self.ask(host, now),
            None => {}
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
