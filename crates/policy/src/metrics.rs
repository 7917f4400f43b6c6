//! Counters: what a policy counts, defined once while its configuration is compiled.
//!
//! A policy names what it counts in an enum that is [`Counted`]; [`Counters`] of it are then defined by their names and
//! counted by its variants.

use std::fmt;
use std::marker::PhantomData;

use crate::config::{ConfigError, Path};
use crate::host::{Host, Metric, MetricKind, Setup};

/// Things that are counted, each by its own counter.
pub trait Counted: Copy + 'static {
    /// The names of the counters. They come from the code: a proxy never forgets one.
    const NAMES: &'static [&'static str];

    /// Where this one's name stands in [`NAMES`](Self::NAMES).
    fn index(self) -> usize;
}

/// The counters of all of [`Counted::NAMES`], as the proxy knows them.
pub struct Counters<C> {
    metrics: Vec<Metric>,
    counted: PhantomData<C>,
}

impl<C: Counted> Counters<C> {
    /// Defines them.
    ///
    /// # Errors
    /// A [`ConfigError`] if the proxy refuses one.
    pub fn define(setup: &mut dyn Setup) -> Result<Self, ConfigError> {
        let metrics = C::NAMES.iter().map(|name| counter(setup, name)).collect::<Result<_, _>>()?;
        Ok(Self { metrics, counted: PhantomData })
    }

    /// Counts one.
    pub fn count(&self, host: &mut dyn Host, counted: C) {
        if let Some(metric) = self.metrics.get(counted.index()) {
            host.add(*metric, 1);
        }
    }
}

impl<C> fmt::Debug for Counters<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counters").field(&self.metrics).finish()
    }
}

/// Defines one counter.
///
/// # Errors
/// A [`ConfigError`] that names the counter, if the proxy refuses it.
pub fn counter(setup: &mut dyn Setup, name: &str) -> Result<Metric, ConfigError> {
    setup.metric(MetricKind::Counter, name).map_err(|error| {
        ConfigError::at(Path::root()).problem(format!("the metric {name} can't be defined: {error}"))
    })
}
