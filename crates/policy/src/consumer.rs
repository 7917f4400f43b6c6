//! Who was authenticated, as an earlier filter of the same request says.
//!
//! `api-key-quota` with `filter_state: true` puts the consumer, the id of the key and the plan into Envoy's filter state.
//! Only filters write there: unlike a header, nothing that a client sends can look like it. In the filter `gateway` policies
//! are in one VM: there it is handed on, and says more ([`Host::hand_on`]).

use std::fmt;

use minijinja::Value;

use crate::expression::text;
use crate::host::{Host, HostError};

/// The authenticated client.
#[derive(Clone, PartialEq, Eq)]
pub struct Consumer {
    /// The consumer's name in the configuration.
    pub name: Vec<u8>,
    /// The id of the key that it used, not the key.
    pub key_id: Vec<u8>,
    /// The name of its plan.
    pub plan: Vec<u8>,
    /// What else is known, as expressions see it: `groups`, `claims`.
    pub more: Vec<(&'static str, Value)>,
}

impl Consumer {
    /// The value of `consumer` in expressions: a map of `name`, `key_id`, `plan` and what else is known.
    pub fn to_value(&self) -> Value {
        let Self { name, key_id, plan, more } = self;
        let named = [("name", name), ("key_id", key_id), ("plan", plan)];
        let named = named.into_iter().map(|(field, bytes)| (field, Value::from(&*text::from_bytes(bytes))));
        Value::from_pairs(named.chain(more.iter().map(|(field, value)| (*field, value.clone()))))
    }
}

/// Names of clients are for logs that the user sets up, not for ours.
impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").finish_non_exhaustive()
    }
}

/// Reads who was authenticated; `None` if nobody was, or if the filter that did so does not say it. Costs one property for
/// an unknown client and three for a known one, about a microsecond each.
///
/// # Errors
/// What the host refused.
pub fn read(host: &mut dyn Host) -> Result<Option<Consumer>, HostError> {
    if let Some(consumer) = host.handed_on() {
        return Ok(Some(consumer));
    }
    let Some(name) = host.property(&[NAME])? else { return Ok(None) };
    let key_id = host.property(&[KEY_ID])?.unwrap_or_default();
    let plan = host.property(&[PLAN])?.unwrap_or_default();
    Ok(Some(Consumer { name, key_id, plan, more: Vec::new() }))
}

/// The keys as a filter wrote them: Envoy finds them among the attributes by that name alone, and prefixes them with `wasm.`
/// in the filter state and in access logs.
const NAME: &str = "meshgate.consumer";
const KEY_ID: &str = "meshgate.key_id";
const PLAN: &str = "meshgate.plan";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::Condition;
    use crate::expression::Scope;
    use crate::head::RequestHead;
    use crate::headers::Headers;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn conditions_see_the_consumer_and_logs_do_not() {
        let more = vec![("groups", Value::from(vec!["ops"]))];
        let consumer =
            Consumer { name: b"acme".into(), key_id: b"acme-1".into(), plan: b"g\xffld".into(), more };
        let mut scope = Scope::new(&RequestHead::new(&Headers::default()));
        scope.set_consumer(consumer.to_value());
        for condition in [
            "consumer.name == 'acme'",
            "consumer.key_id == 'acme-1'",
            "consumer.plan is endingwith 'ld'",
            "'ops' in consumer.groups",
        ] {
            assert_eq!(Condition::new(condition).unwrap().holds(&scope), Ok(true), "{condition}");
        }
        assert!(!format!("{consumer:?}").contains("acme"));
    }
}
