//! Consumers and their keys.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::digest::{Digest, DigestMap};
use meshgate_policy::headers::HeaderValue;

use crate::config::{ConsumerConfig, KeyConfig};
use crate::plan::Plan;

/// The longest name of a consumer, a plan, a limit or a key.
pub const MAX_NAME: usize = 128;
const NAME_FORM: &str = "1 to 128 printable ASCII characters without spaces around them";

/// All consumers, by the digests of their keys.
#[derive(Debug, Default)]
pub struct Consumers {
    consumers: Vec<Consumer>,
    keys: DigestMap<Key>,
    /// The ids of all keys, one behind the other: with a million keys, an allocation for each would double their size.
    ids: String,
}

/// A consumer.
#[derive(Debug)]
pub struct Consumer {
    /// Who it is.
    pub name: HeaderValue<'static>,
    /// What it has bought.
    pub plan: Rc<Plan>,
    /// Its keys are refused.
    pub disabled: bool,
    /// Where its usage is shared.
    pub usage_key: Box<str>,
}

/// Who sent a request.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The consumer.
    pub consumer: &'a Consumer,
    /// What its key is known by.
    pub key_id: &'a str,
}

/// What a digest stands for: 12 bytes next to its 32.
#[derive(Clone, Copy, Debug)]
struct Key {
    consumer: u32,
    id_start: u32,
    id_length: u8,
}

impl Consumers {
    /// Checks the consumers. `prefix` is what their shared values' names begin with.
    ///
    /// # Errors
    /// A [`ConfigError`] for the first that is wrong.
    pub fn compile(
        configs: Vec<ConsumerConfig>,
        plans: &BTreeMap<String, Rc<Plan>>,
        prefix: &str,
    ) -> Result<Self, ConfigError> {
        let list = Path::root().key("consumers");
        let mut table = Self::default();
        let mut names = HashMap::new();
        let mut ids = HashSet::new();
        for (index, config) in configs.into_iter().enumerate() {
            let path = list.index(index);
            let name = check_name(&config.name, &path.key("name"))?;
            if let Some(first) = names.insert(config.name.clone(), index) {
                return Err(ConfigError::at(path.key("name"))
                    .value(&config.name)
                    .expected("a name of its own")
                    .hint(format!("consumers[{first}] has this one already")));
            }
            let plan = plans.get(&config.plan).ok_or_else(|| {
                ConfigError::unknown(path.key("plan"), &config.plan, plans.keys().map(String::as_str))
            })?;
            for (index, key) in config.keys.into_iter().enumerate() {
                let path = path.key("keys").index(index);
                if !ids.insert(key.id.clone()) {
                    return Err(ConfigError::at(path.key("id"))
                        .found("the id of another key")
                        .expected("an id of its own"));
                }
                table.add_key(key, &path)?;
            }
            table.consumers.push(Consumer {
                name,
                plan: Rc::clone(plan),
                disabled: config.disabled,
                usage_key: usage_key(prefix, &config.name),
            });
        }
        table.ids.shrink_to_fit();
        Ok(table)
    }

    /// Whose key it is.
    pub fn find(&self, digest: &Digest) -> Option<Identity<'_>> {
        let key = self.keys.get(digest)?;
        let consumer = self.consumers.get(usize::try_from(key.consumer).ok()?)?;
        let key_id = self.ids.get(key.id_range()?)?;
        Some(Identity { consumer, key_id })
    }

    /// All consumers, in the order of the configuration.
    pub fn iter(&self) -> std::slice::Iter<'_, Consumer> {
        self.consumers.iter()
    }

    /// Adds a key of the consumer that comes next.
    fn add_key(&mut self, config: KeyConfig, path: &Path) -> Result<(), ConfigError> {
        let here = path.key("id");
        // What stands here by mistake may be the key itself: it is not shown.
        check_name(&config.id, &here).map_err(|_| {
            let found = format!("a string of {} characters", config.id.chars().count());
            ConfigError::at(&here).found(found).expected(NAME_FORM)
        })?;
        let too_many = || ConfigError::at(&here).problem("the ids of all keys are longer than 4 GiB");
        let key = Key {
            consumer: u32::try_from(self.consumers.len()).map_err(|_| too_many())?,
            id_start: u32::try_from(self.ids.len()).map_err(|_| too_many())?,
            id_length: u8::try_from(config.id.len()).map_err(|_| too_many())?,
        };
        self.ids.push_str(&config.id);
        if self.keys.insert(config.sha256, key).is_some() {
            return Err(ConfigError::at(path.key("sha256"))
                .found("the digest of another key")
                .expected("a digest of its own")
                .hint("each key belongs to one consumer, once"));
        }
        Ok(())
    }
}

impl Key {
    fn id_range(self) -> Option<Range<usize>> {
        let start = usize::try_from(self.id_start).ok()?;
        Some(start..start.checked_add(self.id_length.into())?)
    }
}

/// Checks a name that the upstream, clients and logs see.
///
/// # Errors
/// A [`ConfigError`] if it is empty, too long, or could not stand in a header.
pub fn check_name(name: &str, path: &Path) -> Result<HeaderValue<'static>, ConfigError> {
    let printable = name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let trimmed = !name.is_empty() && name.trim_matches(' ') == name;
    let checked = (printable && trimmed && name.len() <= MAX_NAME)
        .then(|| HeaderValue::new(name.as_bytes().to_vec()).ok());
    checked.flatten().ok_or_else(|| {
        let error = ConfigError::at(path).expected(NAME_FORM);
        if name.len() > MAX_NAME { error.found(format!("{} bytes", name.len())) } else { error.value(name) }
    })
}

/// The name of a consumer's shared value. Names are free to hold a slash, so those of consumers are escaped: no two
/// instances meet in one value.
fn usage_key(prefix: &str, consumer: &str) -> Box<str> {
    let consumer = consumer.replace('%', "%25").replace('/', "%2F");
    format!("{prefix}{consumer}").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn consumers(count: usize) -> Consumers {
        let plan: crate::PlanConfig = serde_json::from_str("{}").unwrap();
        let plan = Rc::new(Plan::compile("p", plan, &Path::root()).unwrap());
        let keys = (0..count).map(|number| KeyConfig {
            id: format!("key-{number:07}"),
            sha256: Digest::of(&number.to_le_bytes()),
        });
        let one = ConsumerConfig {
            name: "one".to_owned(),
            plan: "p".to_owned(),
            disabled: false,
            keys: keys.collect(),
        };
        Consumers::compile(vec![one], &BTreeMap::from([("p".to_owned(), plan)]), "x/").unwrap()
    }

    #[test]
    fn keys_are_found_with_their_ids() {
        let consumers = consumers(1_000);
        for number in [0_usize, 1, 999] {
            let found = consumers.find(&Digest::of(&number.to_le_bytes())).unwrap();
            assert_eq!((found.key_id, &*found.consumer.usage_key), (&*format!("key-{number:07}"), "x/one"));
        }
        assert!(consumers.find(&Digest::of(b"other")).is_none());
    }

    /// A million keys take at most 120 bytes each: a table is at most 16/7 as large as its entries and one byte for each,
    /// and the ids have 11 bytes here.
    #[test]
    fn a_key_is_small() {
        assert_eq!(size_of::<(Digest, Key)>(), 44);
        let consumers = consumers(1_000);
        assert_eq!(consumers.ids.capacity(), 11_000);
    }

    #[test]
    fn names_of_shared_values_differ_if_those_of_consumers_do() {
        assert_eq!(&*usage_key("p/", "a/b%2F c"), "p/a%2Fb%252F c");
    }
}
