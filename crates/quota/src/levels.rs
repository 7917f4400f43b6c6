//! Levels at which limits stand: of the document, of a plan, of a consumer, of a key, and of a route. A limit of one name at
//! a later level takes the place of that of an earlier one; the others stay beside each other.
//!
//! What comes of them is a plan of its own for each combination that there is, made once.

use std::rc::Rc;

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::matching::Match;

use crate::config::{LimitConfig, RouteConfig};
use crate::plan::{Limit, MAX_LIMITS, needs_no_response};

/// The limits of a level, or of several together.
pub type Limits = Box<[Rc<Limit>]>;

/// The levels that all plans have in common.
#[derive(Clone, Debug)]
pub struct Levels {
    /// For everybody.
    pub defaults: Rc<[Rc<Limit>]>,
    /// For some requests of everybody; the first that a request is one of counts.
    pub routes: Rc<[Route]>,
}

/// Some requests, and the limits for them.
#[derive(Debug)]
pub struct Route {
    /// Which requests.
    pub requests: Match,
    /// Their limits.
    pub limits: Limits,
}

impl Levels {
    /// Checks them.
    ///
    /// # Errors
    /// A [`ConfigError`] for the first thing that is wrong.
    pub fn compile(defaults: Vec<LimitConfig>, routes: Vec<RouteConfig>) -> Result<Self, ConfigError> {
        let root = Path::root();
        let defaults = compile(defaults, &root.key("limits"))?;
        let path = root.key("routes");
        let route = |(index, route): (usize, RouteConfig)| {
            let path = path.index(index);
            needs_no_response(&route.requests, &path.key("match"))?;
            Ok(Route { requests: route.requests, limits: compile(route.limits, &path.key("limits"))? })
        };
        let routes: Result<Rc<[_]>, _> = routes.into_iter().enumerate().map(route).collect();
        Ok(Self { defaults: defaults.into(), routes: routes? })
    }
}

/// Checks the limits of one level.
///
/// # Errors
/// A [`ConfigError`] for the first thing that is wrong.
pub fn compile(configs: Vec<LimitConfig>, path: &Path) -> Result<Limits, ConfigError> {
    if configs.len() > MAX_LIMITS {
        let found = format!("{} limits", configs.len());
        return Err(ConfigError::at(path).found(found).expected(format!("at most {MAX_LIMITS}")));
    }
    let mut limits: Vec<Rc<Limit>> = Vec::with_capacity(configs.len());
    for (index, config) in configs.into_iter().enumerate() {
        let path = path.index(index);
        if let Some(first) = limits.iter().position(|limit| *limit.name == *config.name) {
            return Err(ConfigError::at(path.key("name"))
                .value(&config.name)
                .expected("a name of its own")
                .hint(format!("limits[{first}] has this one already")));
        }
        limits.push(Rc::new(Limit::compile(config, &path)?));
    }
    Ok(limits.into())
}

/// The limits of a level on top of those of the levels before it.
///
/// # Errors
/// A [`ConfigError`] if there are too many.
pub fn overlay(below: &[Rc<Limit>], above: &[Rc<Limit>], path: &Path) -> Result<Limits, ConfigError> {
    let limits = overlaid(below, above);
    if limits.len() > MAX_LIMITS {
        let found = format!("{} limits, with those of the other levels", limits.len());
        return Err(ConfigError::at(path).found(found).expected(format!("at most {MAX_LIMITS}")));
    }
    Ok(limits)
}

/// As [`overlay`], where it is known that they are not too many.
pub fn overlaid(below: &[Rc<Limit>], above: &[Rc<Limit>]) -> Limits {
    let of_name = |name: &str| above.iter().find(|limit| *limit.name == *name);
    let kept = below.iter().map(|limit| of_name(&limit.name).unwrap_or(limit));
    let is_new = |limit: &&Rc<Limit>| !below.iter().any(|other| other.name == limit.name);
    kept.chain(above.iter().filter(is_new)).map(Rc::clone).collect()
}
