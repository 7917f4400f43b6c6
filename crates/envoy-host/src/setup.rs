//! Envoy while a policy is compiled.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use meshgate_policy::config::ConfigError;
use meshgate_policy::host::{HostError, Metric, MetricKind, Setup, Shared, Timestamp};
use meshgate_policy::policy::{self, Policy};

use crate::{abi, host};

thread_local! {
    /// What configurations of this VM leave for those that follow.
    static LEFT: RefCell<HashMap<String, Weak<dyn Any>>> = RefCell::default();
}

struct EnvoySetup {
    /// The name of the plugin in Envoy's configuration; in Istio `<namespace>.<name>`.
    instance: String,
    wakes: bool,
}

/// Compiles a configuration document: JSON text, or an encoded `google.protobuf.Struct`.
/// Also whether the policy is to be woken.
pub(crate) fn compile<P: Policy>(document: &[u8]) -> Result<(P, bool), ConfigError> {
    let instance = abi::property(b"plugin_name").ok().flatten().unwrap_or_default();
    let mut setup = EnvoySetup { instance: String::from_utf8_lossy(&instance).into_owned(), wakes: false };
    let policy = policy::compile(document, &mut setup)?;
    Ok((policy, setup.wakes && P::PHASES.callout))
}

impl Setup for EnvoySetup {
    fn instance(&self) -> &str {
        &self.instance
    }

    fn now(&mut self) -> Timestamp {
        Timestamp::from_nanos(abi::now())
    }

    /// Envoy hands `vm_config.environment_variables` to WASI.
    fn environment(&self, name: &str) -> Option<Vec<u8>> {
        std::env::var_os(name).map(std::ffi::OsString::into_encoded_bytes)
    }

    fn metric(&mut self, kind: MetricKind, name: &str) -> Result<Metric, HostError> {
        abi::define_metric(kind, name).map(Metric)
    }

    fn add(&mut self, metric: Metric, by: i64) {
        host::add(metric, by);
    }

    fn random(&mut self, out: &mut [u8]) -> Result<(), HostError> {
        host::random(out)
    }

    fn shared(&mut self, key: &str) -> Result<Option<Shared>, HostError> {
        host::shared(key)
    }

    fn set_shared(&mut self, key: &str, value: &[u8]) -> Result<(), HostError> {
        abi::set_shared_data(key, value, 0)
    }

    fn wake(&mut self) {
        self.wakes = true;
    }

    fn left(&self, name: &str) -> Option<Rc<dyn Any>> {
        LEFT.with_borrow(|left| left.get(name).and_then(Weak::upgrade))
    }

    fn leave(&mut self, name: &str, what: &Rc<dyn Any>) {
        LEFT.with_borrow_mut(|left| {
            left.retain(|_, what| what.strong_count() > 0);
            left.insert(name.to_owned(), Rc::downgrade(what));
        });
    }
}
