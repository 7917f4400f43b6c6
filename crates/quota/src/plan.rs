//! Plans: which requests they allow, and their limits.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use meshgate_policy::condition::Condition;
use meshgate_policy::config::{ConfigError, Path, Percent};
use meshgate_policy::headers::HeaderValue;
use meshgate_policy::matching::{Match, Truth};

use crate::accounts::{Account, Accounts};
use crate::config::{LimitConfig, PlanConfig};
use crate::consumer::check_name;
use crate::cost::{Charged, Cost, Unclear};
use crate::levels::{self, Levels, Limits, Route};
use crate::limit::{Rule, Usage, Wait};
use crate::rate_limit::{self, Told};
use crate::request::{Request, check_path};
use crate::rule;
use crate::scope::Scope;
use crate::slot::Weight;
use crate::state::{MAX_ENTRIES, State};

/// The most limits of a plan.
pub const MAX_LIMITS: usize = 16;
const REQUEST_ONLY: &str = "conditions on the request only";
const NO_RESPONSE: &str = "requests are decided on before there is a response";

/// What a consumer can have bought.
#[derive(Debug)]
pub struct Plan {
    /// What it is called.
    pub name: HeaderValue<'static>,
    /// `None`: all requests.
    allow: Option<Rc<[Match]>>,
    limits: Limits,
    routes: Rc<[Route]>,
    /// The plan as it is on each route: made for the first request there.
    routed: Box<[OnceCell<Rc<Self>>]>,
}

/// One limit of a plan.
#[derive(Debug)]
pub struct Limit {
    /// What it is called.
    pub name: Box<str>,
    /// What its usage is called: its name, and the way in which it counts. Where limits of one name, of a plan and of a route,
    /// count in different ways, neither counts in what the other has used, or who alternates between them would have used nothing.
    usage: Box<str>,
    /// How it counts.
    pub rule: Rule,
    /// What it counts apart.
    pub scope: Scope,
    /// What a request costs.
    pub cost: Cost,
    /// Which requests stay counted.
    pub charged: Charged,
    /// It also counts requests that limits refuse.
    pub count_rejected: bool,
    /// It refuses nothing: what it would refuse is counted by a metric.
    shadow: bool,
    /// The share of requests that it refuses if it has no room.
    enforce: Percent,
    counts: Match,
    when: Option<Condition>,
    /// Its member of `RateLimit-Policy`: `"burst";q=10;w=2`.
    policy: Box<str>,
}

/// For each limit of a plan, how it counts a request, if it does. As long as the plan: most have one or two limits, and what
/// is as long as the longest possible takes longer to copy than to allocate.
pub type Counted = Vec<Option<Due>>;

/// How a limit counts a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// What the request costs.
    pub cost: u64,
    /// The request passes only if there is room for it.
    pub enforced: bool,
}

/// For each limit of a plan that counts a request, what was used of it.
pub type Usages = Vec<Option<Usage>>;

/// A request that is over a limit. Nothing was counted.
#[derive(Debug)]
pub struct Over<'a> {
    /// The names of the limits that have no room for it.
    pub violated: Vec<&'a str>,
    /// When all of them have room.
    pub wait: Wait,
    /// Where the consumer stands with all limits that count the request.
    pub usages: Usages,
}

/// The request is on a route as some upstreams read it, and not as others do: which limits are its own can't be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

impl Plan {
    /// Checks a plan.
    ///
    /// # Errors
    /// A [`ConfigError`] for the first thing that is wrong.
    pub fn compile(
        name: &str,
        config: PlanConfig,
        levels: &Levels,
        path: &Path,
    ) -> Result<Self, ConfigError> {
        let name = check_name(name, path)?;
        let allow = config.allow.map(|allow| {
            let allowed = allow.located(&path.key("allow"));
            allowed.map(|(path, entry)| needs_no_response(&entry, &path).map(|()| entry)).collect()
        });
        let path = path.key("limits");
        let limits = levels::overlay(&levels.defaults, &levels::compile(config.limits, &path)?, &path)?;
        let plan = Self {
            name,
            allow: allow.transpose()?,
            limits,
            routed: levels.routes.iter().map(|_| OnceCell::new()).collect(),
            routes: Rc::clone(&levels.routes),
        };
        plan.check_routes(&path)?;
        Ok(plan)
    }

    /// The plan with the limits of another level on top of its own.
    ///
    /// # Errors
    /// A [`ConfigError`] if there are too many.
    pub fn with_limits(&self, limits: &[Rc<Limit>], path: &Path) -> Result<Self, ConfigError> {
        let plan = Self {
            name: self.name.clone(),
            allow: self.allow.clone(),
            limits: levels::overlay(&self.limits, limits, path)?,
            routed: self.routes.iter().map(|_| OnceCell::new()).collect(),
            routes: Rc::clone(&self.routes),
        };
        plan.check_routes(path)?;
        Ok(plan)
    }

    /// The plan as it is for a request: with the limits of its route, and which one that is. `None`: as it is.
    ///
    /// # Errors
    /// [`Ambiguous`]
    pub fn on_route(&self, request: &Request<'_>) -> Result<Option<(usize, &Rc<Self>)>, Ambiguous> {
        let mut routes = self.routes.iter().zip(&self.routed).enumerate();
        let found = routes.find_map(|(index, (route, plan))| match request.truth(&route.requests) {
            Truth::No => None,
            Truth::Unclear => Some(Err(Ambiguous)),
            Truth::Yes => Some(Ok((index, route, plan))),
        });
        let Some((index, route, plan)) = found.transpose()? else { return Ok(None) };
        let plan = plan.get_or_init(|| {
            Rc::new(Self {
                name: self.name.clone(),
                allow: self.allow.clone(),
                limits: levels::overlaid(&self.limits, &route.limits),
                routes: Rc::new([]),
                routed: Box::default(),
            })
        });
        Ok(Some((index, plan)))
    }

    fn check_routes(&self, path: &Path) -> Result<(), ConfigError> {
        let names: BTreeSet<_> = self.all().map(|limit| &*limit.usage).collect();
        if names.len() > MAX_ENTRIES {
            return Err(ConfigError::at(path)
                .found(format!("{} limits of different names, with those of all routes", names.len()))
                .expected(format!("at most {MAX_ENTRIES}: a consumer has one usage of them all")));
        }
        self.routes.iter().try_for_each(|route| levels::overlay(&self.limits, &route.limits, path).map(drop))
    }

    /// Whether the plan covers a request.
    pub fn allows(&self, request: &Request<'_>) -> bool {
        self.allow.as_ref().is_none_or(|allow| allow.iter().any(|entry| request.is_permitted(entry)))
    }

    /// Whether the path of a request has a say in what it may or in what counts it.
    pub fn decides_by_path(&self) -> bool {
        let allow = self.allow.iter().flat_map(|allow| allow.iter());
        let routes = self.routes.iter().map(|route| &route.requests);
        allow.chain(routes).chain(self.all().map(|limit| &limit.counts)).any(Match::looks_at_path)
            || self.all().any(|limit| limit.when.is_some() || limit.cost.is_expression())
    }

    /// Whether a condition or an expression has a say in which limits count a request, or in what it costs.
    pub fn asks_expressions(&self) -> bool {
        self.limits().any(|limit| limit.when.is_some() || limit.cost.is_expression())
    }

    /// Which limits count a request, and what it costs; `None`: not one.
    ///
    /// # Errors
    /// [`Unclear`]
    pub fn counted(&self, request: &Request<'_>) -> Result<Option<Counted>, Unclear> {
        let mut counted = vec![None; self.limits.len()];
        for (limit, due) in self.limits.iter().zip(&mut counted) {
            let counts = request.may_match(&limit.counts)
                && limit.when.as_ref().is_none_or(|when| request.holds(when, &limit.counts));
            if counts {
                let enforced = !limit.shadow && request.is_in(limit.enforce);
                *due = Some(Due { cost: limit.cost.at_head(request, &limit.counts)?, enforced });
            }
        }
        Ok(counted.iter().any(Option::is_some).then_some(counted))
    }

    /// One of its limits, by its place in [`Counted`].
    pub fn limit(&self, index: usize) -> Option<&Limit> {
        self.limits.get(index).map(|limit| &**limit)
    }

    /// Its limits, in the order of [`Counted`].
    pub fn limits(&self) -> impl Iterator<Item = &Limit> {
        self.limits.iter().map(|limit| &**limit)
    }

    /// Its limits, and those of all routes.
    fn all(&self) -> impl Iterator<Item = &Limit> {
        self.limits().chain(self.routes.iter().flat_map(|route| route.limits.iter().map(|limit| &**limit)))
    }

    /// The names of all limits that it may have, also more than once.
    pub fn limit_names(&self) -> impl Iterator<Item = &str> {
        self.all().map(|limit| &*limit.name)
    }

    /// Whether there is nothing to count.
    pub fn is_unlimited(&self) -> bool {
        self.all().next().is_none()
    }

    /// The state of a consumer that has used nothing.
    pub fn unused(&self) -> State {
        let mut state = State::fresh();
        for limit in self.limits.iter().filter(|limit| limit.scope.is_consumer()) {
            state.set(&limit.usage, limit.rule.unused(), |_| true);
        }
        state
    }

    /// Counts a request in all limits, or in none.
    ///
    /// # Errors
    /// [`Over`] if one of them has no room for it; the accounts are as they were.
    pub fn charge(
        &self,
        accounts: &mut Accounts<'_>,
        counted: &Counted,
        now: u64,
    ) -> Result<Usages, Box<Over<'_>>> {
        let mut usages = vec![None; self.limits.len()];
        for (index, limit, Due { cost, enforced }) in self.due(counted) {
            match limit.rule.charge(limit.usage(accounts, index), now, cost) {
                Some(charged) => put(&mut usages, index, charged),
                None if !enforced => {}
                None => return Err(Box::new(self.over(accounts, counted, now))),
            }
        }
        for (index, usage) in usages.iter().enumerate() {
            if let Some((usage, account)) = usage.zip(accounts.of_mut(index)) {
                self.set_in(account, index, usage, now);
            }
        }
        Ok(usages)
    }

    /// Sets what was used of a limit in its account.
    pub fn set_in(&self, account: &mut Account<'_>, index: usize, usage: Usage, now: u64) {
        if let Some(limit) = self.limits.get(index) {
            account.set(&limit.usage, usage, |name| self.has_usage(name));
            account.weigh(|account, name| {
                let limit = self.limits().find(|limit| limit.usage.as_bytes() == name)?;
                let usage = account.usage(&limit.usage);
                let weight = usage.map_or(Weight::default(), |usage| limit.rule.weight(usage, now));
                // To forget what refuses nothing is no loss.
                Some(if limit.shadow { Weight { spent: 0, ..weight } } else { weight })
            });
        }
    }

    /// The limits that count a request, each with its place and what the request costs.
    pub fn counting(&self, counted: &Counted) -> impl Iterator<Item = (usize, &Limit, u64)> {
        self.due(counted).map(|(index, limit, due)| (index, limit, due.cost))
    }

    fn due(&self, counted: &Counted) -> impl Iterator<Item = (usize, &Limit, Due)> {
        let limits = self.limits().enumerate().zip(counted);
        limits.filter_map(|((index, limit), due)| Some((index, limit, (*due)?)))
    }

    /// The names of the limits that have no room for a request and let it pass, as they are not enforced. `usages`: what
    /// [`Plan::charge`] returned.
    pub fn let_pass(&self, counted: &Counted, usages: &Usages) -> impl Iterator<Item = &str> {
        let unused = |index: usize| usages.get(index).is_some_and(Option::is_none);
        self.due(counted).filter(move |(index, ..)| unused(*index)).map(|(_, limit, _)| &*limit.name)
    }

    /// What a client is told of the limits that count its request: nothing of those that are not enforced.
    pub fn told(&self, counted: &Counted, usages: &Usages, now: u64) -> Vec<Told<'_>> {
        let enforced = self.due(counted).filter(|(.., due)| due.enforced);
        let told = enforced.filter_map(|(index, limit, _)| {
            let usage = usages.get(index).copied().flatten()?;
            let standing = limit.rule.standing(usage, now);
            Some(Told { name: &limit.name, rule: &limit.rule, policy: &limit.policy, standing })
        });
        told.collect()
    }

    /// Where the caller stands with each limit.
    pub fn standings(&self, accounts: &Accounts<'_>, now: u64) -> Vec<Told<'_>> {
        let mut usages = vec![None; self.limits.len()];
        for (index, limit) in self.limits.iter().enumerate() {
            put(&mut usages, index, limit.usage(accounts, index));
        }
        self.told(&self.all_limits(), &usages, now)
    }

    /// All limits, as if each counted a request.
    pub fn all_limits(&self) -> Counted {
        let mut counted = vec![None; self.limits.len()];
        for (due, limit) in counted.iter_mut().zip(&self.limits) {
            *due = Some(Due { cost: 0, enforced: !limit.shadow });
        }
        counted
    }

    /// What its limits count apart, but for consumers.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.all().map(|limit| &limit.scope).filter(|scope| !scope.is_consumer())
    }

    /// Which limits have no room for a request.
    pub fn over(&self, accounts: &Accounts<'_>, counted: &Counted, now: u64) -> Over<'_> {
        let usages = vec![None; self.limits.len()];
        let mut over = Over { violated: Vec::new(), wait: Wait::Nothing, usages };
        for (index, limit, Due { cost, .. }) in self.due(counted).filter(|(.., due)| due.enforced) {
            let used = limit.usage(accounts, index);
            put(&mut over.usages, index, used);
            let wait = limit.rule.wait(used, now, cost);
            if wait != Wait::Nothing {
                over.violated.push(&limit.name);
                over.wait = over.wait.max(wait);
            }
        }
        over
    }

    fn has_usage(&self, name: &[u8]) -> bool {
        self.all().any(|limit| limit.usage.as_bytes() == name)
    }
}

impl Limit {
    /// Checks a limit.
    ///
    /// # Errors
    /// A [`ConfigError`] for the first thing that is wrong.
    pub fn compile(config: LimitConfig, path: &Path) -> Result<Self, ConfigError> {
        check_limit_name(&config.name, &path.key("name"))?;
        needs_no_response(&config.counts, &path.key("match"))?;
        if config.when.as_ref().is_some_and(|when| when.needs().response) {
            let error = ConfigError::at(path.key("when")).found("a condition on the response");
            return Err(error.expected(REQUEST_ONLY).hint(NO_RESPONSE));
        }
        if config.when.as_ref().is_some_and(|when| when.needs().body) {
            let error = ConfigError::at(path.key("when")).found("a condition on the body");
            return Err(
                error.expected("conditions on the head of the request: limits count before there is a body")
            );
        }
        if let Some(when) = &config.when {
            check_path(when.captures(), &config.counts, &path.key("when"))?;
        }
        let rule = rule::compile(&config, path)?;
        let LimitConfig { name, counts, when, per, cost, charge, count_rejected, shadow, enforce, .. } =
            config;
        if rule.counts_streams() {
            let given =
                [("cost", cost.is_some()), ("charge", charge.is_some()), ("count_rejected", count_rejected)];
            if let Some((field, _)) = given.iter().find(|(_, given)| *given) {
                let error = ConfigError::at(path.key(field)).found("it beside concurrency");
                return Err(error.expected("it only beside rate or quota").hint(
                    "a request is one request at the same time, whatever it costs and however it ends",
                ));
            }
        }
        let scope = Scope::compile(per, &path.key("per"))?;
        let cost = Cost::compile(cost, &counts, &path.key("cost"))?;
        let policy = rate_limit::policy_member(&name, &rule, &cost);
        let charged = Charged::compile(charge, &path.key("charge"))?;
        let usage = format!("{name}/{}", rule.way());
        Ok(Self {
            name: name.into(),
            usage: usage.into(),
            rule,
            scope,
            cost,
            charged,
            count_rejected,
            shadow,
            enforce,
            counts,
            when,
            policy,
        })
    }

    /// What was used of it. `index`: its place in its plan.
    pub fn usage(&self, accounts: &Accounts<'_>, index: usize) -> Usage {
        accounts.of(index).map_or_else(|| self.rule.unused(), |account| self.usage_in(account))
    }

    /// What was used of it in this account.
    pub fn usage_in(&self, account: &Account<'_>) -> Usage {
        // A rate that was changed goes on with what was used at the one before.
        let before = || account.usage_before(&self.name).filter(|_| matches!(self.rule, Rule::Gcra(_)));
        account.usage(&self.usage).or_else(before).unwrap_or_else(|| self.rule.unused())
    }
}

fn put(usages: &mut [Option<Usage>], index: usize, usage: Usage) {
    if let Some(place) = usages.get_mut(index) {
        *place = Some(usage);
    }
}

/// The name stands in structured fields as it is: without what would have to be escaped there (RFC 9651 section 3.3.3).
fn check_limit_name(name: &str, path: &Path) -> Result<(), ConfigError> {
    check_name(name, path)?;
    if name.contains(['"', '\\']) {
        return Err(ConfigError::at(path).value(name).expected("a name without \" and \\"));
    }
    Ok(())
}

/// A request is counted and allowed before there is a response.
pub fn needs_no_response(entry: &Match, path: &Path) -> Result<(), ConfigError> {
    if entry.needs_response() {
        let error = ConfigError::at(path.key("status")).found("a status of the response");
        return Err(error.expected(REQUEST_ONLY).hint(NO_RESPONSE));
    }
    Ok(())
}
