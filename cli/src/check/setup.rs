//! The world in which configurations are compiled here: memory for what workers share, and the environment of this process
//! where a proxy has its own.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use meshgate_policy::host::{HostError, Metric, MetricKind, Setup, Shared, Timestamp, Version};

use super::carrier::Variable;

/// What a variable is taken for that is not set here: long enough for a secret.
const PLACEHOLDER: &[u8] = &[b'0'; 64];

pub struct Checking<'a> {
    /// The variables of the VM; `None` where nothing says which there will be.
    environment: Option<&'a [Variable]>,
    shared: HashMap<String, Vec<u8>>,
    metrics: u32,
    /// Variables that are not set here.
    unset: RefCell<Vec<String>>,
    /// All that were asked for.
    asked: RefCell<Vec<String>>,
}

impl<'a> Checking<'a> {
    pub fn new(environment: Option<&'a [Variable]>) -> Self {
        Self {
            environment,
            shared: HashMap::new(),
            metrics: 0,
            unset: RefCell::default(),
            asked: RefCell::default(),
        }
    }

    /// The names of all variables that were asked for, each once.
    pub fn asked(self) -> Vec<String> {
        let mut asked = self.asked.into_inner();
        asked.sort();
        asked.dedup();
        asked
    }

    /// The names of variables that were asked for and are not set here.
    pub fn unset(self) -> Vec<String> {
        self.unset.into_inner()
    }
}

impl Setup for Checking<'_> {
    fn instance(&self) -> &str {
        "check"
    }

    fn now(&mut self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::default().after(since)
    }

    fn environment(&self, name: &str) -> Option<Vec<u8>> {
        self.asked.borrow_mut().push(name.to_owned());
        if let Some(variables) = self.environment {
            let variable = variables.iter().find(|variable| variable.name == name)?;
            if let Some(value) = &variable.value {
                return Some(value.clone().into_bytes());
            }
        }
        // A name with `=` or NUL in it is asked of the system by nobody.
        if name.is_empty() || name.contains(['=', '\0']) {
            return None;
        }
        match std::env::var_os(name) {
            Some(value) => Some(value.into_encoded_bytes()),
            None => {
                self.unset.borrow_mut().push(name.to_owned());
                Some(PLACEHOLDER.to_vec())
            }
        }
    }

    fn metric(&mut self, _: MetricKind, _: &str) -> Result<Metric, HostError> {
        self.metrics = self.metrics.saturating_add(1);
        Ok(Metric(self.metrics))
    }

    /// Nobody reads the metrics.
    fn add(&mut self, _: Metric, _: i64) {}

    /// Nothing is decided by chance while a configuration is checked.
    fn random(&mut self, out: &mut [u8]) -> Result<(), HostError> {
        out.fill(7);
        Ok(())
    }

    fn shared(&mut self, key: &str) -> Result<Option<Shared>, HostError> {
        Ok(self.shared.get(key).map(|value| Shared { value: value.clone(), version: Version(1) }))
    }

    fn set_shared(&mut self, key: &str, value: &[u8]) -> Result<(), HostError> {
        self.shared.insert(key.to_owned(), value.to_vec());
        Ok(())
    }
}
