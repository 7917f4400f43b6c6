//! Keys behind a URL: fetched when they are first needed, and again before they are old.
//!
//! All that happens here happens because a request needs a key, but no request decides how often. A worker has one request
//! under way at most; those that can't go on without it wait for it, and all others go on with the keys that there are. What
//! one worker has fetched, the others take from a shared value. Keys that are there stay until others take their place: an
//! issuer that does not answer makes no token worse. A key id that is not known may be that of a new key, as may be the
//! signature of a token without one, so it makes for one more request, but not for more than one in some time: both are the
//! clients' to choose.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use meshgate_jwt::{KeySet, MAX_KEY_SET, Take};
use meshgate_policy::config::{self, ConfigError, Path};
use meshgate_policy::host::{Answer, CalloutId, Host, HostError, Listener, Metric, Setup, Timestamp};

use super::endpoint::{self, Endpoint};
use super::pace::{self, FIRST_RETRY, Retries};
use crate::config::JwksFromConfig;
use crate::consumer::escaped;
use crate::metrics::{self, Event, Metrics};

/// How long after a fetch a key id that is not known makes for another one.
const UNKNOWN_KEY_INTERVAL: Duration = Duration::from_secs(30);
const DEFAULT_REFRESH: config::Duration = config::Duration::from_secs(600);
const DEFAULT_TIMEOUT: config::Duration = config::Duration::from_secs(2);

/// The keys of an issuer, as far as they are known.
pub struct Remote {
    endpoint: Endpoint,
    take: Take,
    refresh: Duration,
    /// The shared value: when it was fetched (nanoseconds, `u64` LE), and the key set.
    shared: Box<str>,
    metrics: Rc<Metrics>,
    fetched_at: Metric,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    keys: Option<Rc<KeySet>>,
    /// Grows with each change of the keys.
    generation: u64,
    fetched: Timestamp,
    /// When new ones are asked for.
    due: Timestamp,
    under_way: Option<CalloutId>,
    retries: Retries,
    /// Before then a key id that is not known is no reason to ask.
    next_unknown: Timestamp,
}

impl State {
    /// The clock has gone back since the keys were fetched: nobody knows how old they are.
    fn is_from_later(&self, now: Timestamp) -> bool {
        self.fetched > now
    }
}

/// What there is for a token.
pub enum Found {
    /// These keys.
    Keys {
        /// Those.
        keys: Rc<KeySet>,
        /// They have just come, so that what is not among them is not there.
        latest: bool,
    },
    /// They come with the answer to a fetch, which the exchange waits for.
    Wait,
    /// None, for at least so many seconds.
    Nothing {
        /// Seconds.
        retry_after: u64,
    },
}

impl Remote {
    /// Checks what is configured.
    ///
    /// # Errors
    /// A [`ConfigError`] for what no request can be made of, or if nothing can be shared.
    pub fn compile(
        config: JwksFromConfig,
        issuer: &str,
        take: Take,
        prefix: &str,
        metrics: &Rc<Metrics>,
        setup: &mut dyn Setup,
        path: &Path,
    ) -> Result<Self, ConfigError> {
        let refresh = pace::refresh(config.refresh.unwrap_or(DEFAULT_REFRESH), path)?;
        let target = config.path.unwrap_or_default();
        let endpoint = Endpoint::compile(
            "GET",
            (config.cluster.unwrap_or_default(), &target, config.authority),
            config.timeout.unwrap_or(DEFAULT_TIMEOUT),
            &[("accept", "application/json")],
            MAX_KEY_SET,
            path,
        )?;
        // The names of consumers have no slash in them, so no usage is called that.
        let shared = format!("{prefix}jwks/{}/{}", escaped(endpoint.cluster()), escaped(&endpoint.url()));
        let failed = |error| ConfigError::at(path).problem(format!("keys can't be shared: {error}"));
        if setup.shared(&shared).map_err(failed)?.is_none() {
            setup.set_shared(&shared, &[]).map_err(failed)?;
        }
        Ok(Self {
            endpoint,
            take,
            refresh,
            shared: shared.into(),
            metrics: Rc::clone(metrics),
            fetched_at: metrics::fetched_at(setup, issuer)?,
            state: RefCell::default(),
        })
    }

    /// The keys for a token with this key id. `wait`: the exchange may wait for them.
    ///
    /// # Errors
    /// What the host refused.
    pub fn keys(
        self: &Rc<Self>,
        host: &mut dyn Host,
        key_id: Option<&str>,
        wait: bool,
    ) -> Result<Found, HostError> {
        let now = host.now();
        self.renew(host, now)?;
        if self.present().is_none() || self.is_overdue(now) {
            return Ok(if wait && self.join(host) { Found::Wait } else { self.found(now) });
        }
        let knows =
            |this: &Self| key_id.is_none_or(|key_id| this.present().is_some_and(|keys| keys.knows(key_id)));
        if !wait || knows(self) { Ok(self.found(now)) } else { self.ask_further(host, now, knows) }
    }

    /// The keys for a token without a key id that none of the present ones has signed: the issuer may have changed them.
    ///
    /// # Errors
    /// What the host refused.
    pub fn other_keys(self: &Rc<Self>, host: &mut dyn Host) -> Result<Found, HostError> {
        let (now, generation) = (host.now(), self.generation());
        self.ask_further(host, now, |this| this.generation() != generation)
    }

    /// Asks for keys beyond those that are there, if that may be: nothing keeps clients from sending what needs others.
    fn ask_further(
        self: &Rc<Self>,
        host: &mut dyn Host,
        now: Timestamp,
        is_enough: impl Fn(&Self) -> bool,
    ) -> Result<Found, HostError> {
        if self.state.borrow().under_way.is_none() && self.may_ask_for_unknown(now) {
            // Another worker may have seen it first.
            self.take_shared(host, now)?;
            if is_enough(self) {
                return Ok(self.found(now));
            }
            self.ask(host, now);
        }
        Ok(if self.join(host) { Found::Wait } else { self.found(now) })
    }

    /// From when on a token that the present keys have not signed is a reason to ask for others.
    pub fn next_unknown(&self) -> Timestamp {
        let state = self.state.borrow();
        state.next_unknown.max(state.fetched.after(FIRST_RETRY))
    }

    /// Asks for new keys if it is time to.
    ///
    /// # Errors
    /// What the host refused.
    pub fn renew(self: &Rc<Self>, host: &mut dyn Host, now: Timestamp) -> Result<(), HostError> {
        if self.is_due(now) {
            self.take_shared(host, now)?;
        }
        if self.is_due(now) {
            self.ask(host, now);
        }
        Ok(())
    }

    /// How often the keys have changed.
    pub fn generation(&self) -> u64 {
        self.state.borrow().generation
    }

    fn present(&self) -> Option<Rc<KeySet>> {
        self.state.borrow().keys.as_ref().map(Rc::clone)
    }

    /// What there is without asking.
    fn found(&self, now: Timestamp) -> Found {
        let state = self.state.borrow();
        match &state.keys {
            Some(keys) => {
                Found::Keys { keys: Rc::clone(keys), latest: now < state.fetched.after(FIRST_RETRY) }
            }
            None => Found::Nothing { retry_after: state.retries.seconds(now) },
        }
    }

    /// Whether new keys are to be asked for now.
    fn is_due(&self, now: Timestamp) -> bool {
        let state = self.state.borrow();
        (now >= state.due || state.is_from_later(now)) && now >= state.retries.at && state.under_way.is_none()
    }

    /// Whether the keys are older than they are to become, because no request came when it was time, and the issuer has not
    /// failed yet to send new ones.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        let state = self.state.borrow();
        state.retries.failures == 0 && (now >= state.fetched.after(self.refresh) || state.is_from_later(now))
    }

    fn may_ask_for_unknown(&self, now: Timestamp) -> bool {
        // Those that came a moment ago are as new as any.
        let may = now >= self.next_unknown();
        if may {
            self.state.borrow_mut().next_unknown = now.after(UNKNOWN_KEY_INTERVAL);
        }
        may
    }

    /// Asks for the keys, if nothing keeps from it.
    fn ask(self: &Rc<Self>, host: &mut dyn Host, now: Timestamp) {
        {
            let state = self.state.borrow();
            if state.under_way.is_some() || now < state.retries.at {
                return;
            }
        }
        let listener: Rc<dyn Listener> = Rc::clone(self) as _;
        match host.fetch(&self.endpoint.call(b""), listener) {
            Ok(id) => self.state.borrow_mut().under_way = Some(id),
            Err(error) => self.failed(host, now, &error),
        }
    }

    /// Lets the exchange wait for what is under way.
    fn join(&self, host: &mut dyn Host) -> bool {
        let under_way = self.state.borrow().under_way;
        let joined = under_way.is_some_and(|id| host.join(id).is_ok());
        if !joined {
            // Nobody will tell.
            self.state.borrow_mut().under_way = None;
        }
        joined
    }

    /// Takes what another worker has fetched, if it is newer, and not of a time that is still to come.
    fn take_shared(&self, host: &mut dyn Host, now: Timestamp) -> Result<(), HostError> {
        let Some(shared) = host.shared(&self.shared)? else { return Ok(()) };
        let Some((fetched, text)) = shared.value.split_first_chunk() else { return Ok(()) };
        let fetched = Timestamp::from_nanos(u64::from_le_bytes(*fetched));
        let newer = fetched > self.state.borrow().fetched || self.state.borrow().is_from_later(now);
        if newer
            && fetched <= now
            && let Ok(keys) = KeySet::parse(text, self.take)
        {
            self.adopt(host, keys, fetched);
        }
        Ok(())
    }

    fn adopt(&self, host: &mut dyn Host, keys: KeySet, fetched: Timestamp) {
        let due = fetched.after(pace::jittered(self.refresh, host));
        host.record(self.fetched_at, fetched.as_secs());
        let mut state = self.state.borrow_mut();
        state.generation = state.generation.saturating_add(1);
        (state.keys, state.fetched, state.due) = (Some(Rc::new(keys)), fetched, due);
        state.retries = Retries::default();
    }

    fn failed(&self, host: &mut dyn Host, now: Timestamp, why: &dyn fmt::Display) {
        let mut state = self.state.borrow_mut();
        let cluster = self.endpoint.cluster();
        let fallback = if state.keys.is_some() { "the last good ones stay" } else { "there are none" };
        log::warn!("keys from the cluster {cluster}: {why}; {fallback}");
        self.metrics.count(host, Event::JwksFailed);
        state.retries.failed(now);
    }
}

impl Listener for Remote {
    fn answered(&self, host: &mut dyn Host, id: CalloutId, answer: &Answer) {
        {
            let mut state = self.state.borrow_mut();
            if state.under_way == Some(id) {
                state.under_way = None;
            }
        }
        let now = host.now();
        let body = endpoint::body(answer);
        let parsed = body.and_then(|text| match KeySet::parse(text, self.take) {
            Ok(keys) => Ok((text, keys)),
            Err(problem) => Err(problem.to_string()),
        });
        match parsed {
            Ok((text, keys)) => {
                self.metrics.count(host, Event::JwksFetched);
                let shared = [now.as_nanos().to_le_bytes().as_slice(), text].concat();
                if let Err(error) = host.set_shared(&self.shared, &shared, None) {
                    log::warn!("keys can't be shared with other workers: {error}");
                }
                self.adopt(host, keys, now);
            }
            Err(why) => self.failed(host, now, &why),
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
