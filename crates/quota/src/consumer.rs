//! Consumers: who sends requests, and what is known of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem;
use std::rc::Rc;

use meshgate_jwt::Claims;
use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::headers::{HeaderName, HeaderValue};
use meshgate_policy::host::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::answer::Refusal;
use crate::config::{AnonymousConfig, ConsumerConfig, KeyConfig};
use crate::keys::{self, Keys};
use crate::levels;
use crate::pepper::Pepper;
use crate::plan::{Limit, Plan};
use crate::presented::Presented;
use crate::state::MAX_ENTRIES;

/// The longest name of a consumer, a plan, a limit or a key.
pub const MAX_NAME: usize = 128;
/// Of how many groups of a token is taken note. Whoever signs it says how many there are, and all of them go into one header.
const MAX_TOKEN_GROUPS: usize = 64;
/// What such a name is made of.
pub const NAME_FORM: &str = "1 to 128 printable ASCII characters without spaces around them";
/// What the names of headers with metadata begin with.
pub const METADATA: &str = "x-consumer-meta-";

/// All consumers, and their keys.
#[derive(Debug)]
pub struct Consumers {
    consumers: Vec<Consumer>,
    keys: Keys,
    /// The consumer of those who send no credential.
    anonymous: Option<usize>,
}

/// A consumer.
#[derive(Debug)]
pub struct Consumer {
    /// Who it is.
    pub name: HeaderValue<'static>,
    /// What it has bought.
    pub plan: Rc<Plan>,
    /// What it belongs to.
    pub groups: Groups,
    /// What else the upstream is told of it.
    pub metadata: Metadata,
    /// Its keys are refused.
    pub disabled: bool,
    /// Where its usage is shared.
    pub usage_key: Box<str>,
    /// It has a key with a plan of its own.
    other_plans: bool,
}

/// Who sent a request, whatever says so.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// Who it is.
    pub name: &'a HeaderValue<'static>,
    /// What it has bought.
    pub plan: &'a Rc<Plan>,
    /// What it belongs to.
    pub groups: &'a Groups,
    /// What else the upstream is told of it.
    pub metadata: &'a Metadata,
    /// Why it is refused, whatever it asks for.
    pub refusal: Option<Refusal>,
    /// What says who it is.
    pub credential: Credential<'a>,
    /// Where its usage is.
    pub usage: UsageAt<'a>,
}

/// What says who sent a request.
#[derive(Clone, Copy, Debug)]
pub enum Credential<'a> {
    /// A key of the configuration.
    Key {
        /// What it is known by.
        id: &'a str,
    },
    /// A token.
    Token {
        /// What it claims.
        claims: &'a Claims,
        /// The id of the key of its issuer that has signed it, if it names one.
        signed_with: Option<&'a str>,
    },
    /// Nothing: the request carries no credential.
    Nothing,
}

/// Where the usage of somebody is.
#[derive(Clone, Copy, Debug)]
pub enum UsageAt<'a> {
    /// In a shared value of its own, made at configure time.
    Value(&'a str),
    /// In a table: one of unboundedly many, by the [`fingerprint`] of its name.
    Table([u8; 16]),
    /// In the same table, where the fingerprint is made only if something is counted.
    Named,
}

/// What a consumer that no configuration names is told by in a table.
pub fn fingerprint(name: &[u8]) -> [u8; 16] {
    Sha256::digest(name).first_chunk().copied().unwrap_or_default()
}

/// The groups that somebody is in, as the upstream is told: `one, two`.
#[derive(Clone, Debug, Default)]
pub struct Groups(Option<HeaderValue<'static>>);

/// What else the upstream is told of somebody: header fields, by name.
pub type Metadata = BTreeMap<HeaderName, HeaderValue<'static>>;

impl<'a> Identity<'a> {
    /// What the key is known by, if there is one.
    pub const fn key_id(&self) -> Option<&'a str> {
        match self.credential {
            Credential::Key { id } => Some(id),
            Credential::Token { .. } | Credential::Nothing => None,
        }
    }

    /// The key that the request can be traced to: its own, or that of the issuer which has signed its token.
    pub const fn traced_key_id(&self) -> Option<&'a str> {
        match self.credential {
            Credential::Key { id } => Some(id),
            Credential::Token { signed_with, .. } => signed_with,
            Credential::Nothing => None,
        }
    }

    /// What the token claims, if there is one.
    pub const fn claims(&self) -> Option<&'a Claims> {
        match self.credential {
            Credential::Token { claims, .. } => Some(claims),
            Credential::Key { .. } | Credential::Nothing => None,
        }
    }

    /// Whether the request carries no credential.
    pub const fn is_anonymous(&self) -> bool {
        matches!(self.credential, Credential::Nothing)
    }
}

impl Consumers {
    /// Checks the consumers. `prefix` is what their shared values' names begin with.
    ///
    /// # Errors
    /// A [`ConfigError`] for the first that is wrong.
    pub fn compile(
        configs: Vec<ConsumerConfig>,
        anonymous: Option<AnonymousConfig>,
        pepper: Option<Pepper>,
        plans: &BTreeMap<String, Rc<Plan>>,
        prefix: &str,
    ) -> Result<Self, ConfigError> {
        let list = Path::root().key("consumers");
        let mut consumers = Vec::with_capacity(configs.len());
        let mut keys = keys::Builder::new(configs.iter().map(|config| config.keys.len()).sum(), pepper);
        let mut names = HashMap::new();
        for (index, mut config) in configs.into_iter().enumerate() {
            let path = list.index(index);
            if let Some(first) = names.insert(config.name.clone(), index) {
                return Err(name_taken(&config.name, first, &path));
            }
            let limits = levels::compile(mem::take(&mut config.limits), &path.key("limits"))?;
            let mut consumer = Consumer::compile(&config, &limits, plans, prefix, &path)?;
            let mut counted: BTreeSet<Box<str>> = BTreeSet::new();
            for (place, key) in config.keys.iter_mut().enumerate() {
                let path = path.key("keys").index(place);
                let extra = consumer.extra(key, &limits, plans, &path)?;
                if let Some(plan) = extra.as_ref().and_then(|extra| extra.plan.as_ref()) {
                    consumer.other_plans = true;
                    counted.extend(plan.limit_names().map(Box::from));
                }
                keys.add(index, key, extra, &path)?;
            }
            counted.extend(consumer.plan.limit_names().filter(|_| consumer.other_plans).map(Box::from));
            if counted.len() > MAX_ENTRIES {
                return Err(ConfigError::at(path.key("keys"))
                    .found(format!("{} limits of different names in their plans", counted.len()))
                    .expected(format!("at most {MAX_ENTRIES}: the consumer has one usage of them all")));
            }
            consumers.push(consumer);
        }
        let mut table = Self { consumers, keys: keys.finish(), anonymous: None };
        if let Some(AnonymousConfig { name, plan, groups, metadata }) = anonymous {
            let path = Path::root().key("anonymous");
            if let Some(first) = names.get(&name) {
                return Err(name_taken(&name, *first, &path));
            }
            let config = ConsumerConfig {
                name,
                plan,
                groups,
                metadata,
                limits: Vec::new(),
                disabled: false,
                keys: Vec::new(),
            };
            table.anonymous = Some(table.consumers.len());
            table.consumers.push(Consumer::compile(&config, &[], plans, prefix, &path)?);
        }
        Ok(table)
    }

    /// Whose key it is.
    pub fn find(&self, key: &Presented<'_>, now: impl FnOnce() -> Timestamp) -> Option<Identity<'_>> {
        let found = self.keys.find(key)?;
        let consumer = self.consumers.get(found.consumer)?;
        let mut identity = consumer.identity(Credential::Key { id: found.id });
        if let Some(extra) = found.extra {
            identity.plan = extra.plan.as_ref().unwrap_or(identity.plan);
            identity.metadata = &extra.metadata;
        }
        identity.refusal = found.refusal(now).or(identity.refusal);
        Some(identity)
    }

    /// What digests of keys are made with that are not plain.
    pub const fn pepper(&self) -> Option<&Pepper> {
        self.keys.pepper()
    }

    /// One of them, in the order of the configuration.
    pub fn get(&self, index: usize) -> Option<&Consumer> {
        self.consumers.get(index)
    }

    /// Whether that one is the consumer of those who send no credential.
    pub fn is_anonymous(&self, index: usize) -> bool {
        self.anonymous == Some(index)
    }

    /// Who sends requests without a credential; `None`: nobody may.
    pub fn anonymous(&self) -> Option<Identity<'_>> {
        Some(self.consumers.get(self.anonymous?)?.identity(Credential::Nothing))
    }

    /// The plans that consumers and keys have, also more than once.
    pub fn plans(&self) -> impl Iterator<Item = &Rc<Plan>> {
        self.consumers.iter().map(|consumer| &consumer.plan).chain(self.keys.plans())
    }

    /// All consumers, in the order of the configuration.
    pub fn iter(&self) -> std::slice::Iter<'_, Consumer> {
        self.consumers.iter()
    }
}

impl Consumer {
    fn compile(
        config: &ConsumerConfig,
        limits: &[Rc<Limit>],
        plans: &BTreeMap<String, Rc<Plan>>,
        prefix: &str,
        path: &Path,
    ) -> Result<Self, ConfigError> {
        let name = check_name(&config.name, &path.key("name"))?;
        let plan = plans.get(&config.plan).ok_or_else(|| {
            ConfigError::unknown(path.key("plan"), &config.plan, plans.keys().map(String::as_str))
        })?;
        Ok(Self {
            name,
            plan: with_limits(plan, limits, path)?,
            groups: Groups::compile(&config.groups, &path.key("groups"))?,
            metadata: metadata(&config.metadata, &config.name, &path.key("metadata"))?,
            disabled: config.disabled,
            usage_key: usage_key(prefix, &config.name),
            other_plans: false,
        })
    }

    /// Whether something counts its requests.
    pub fn is_counted(&self) -> bool {
        self.other_plans || !self.plan.is_unlimited()
    }

    /// Why its requests are refused, whatever they ask for.
    pub fn refusal(&self) -> Option<Refusal> {
        self.disabled.then_some(Refusal::ConsumerDisabled)
    }

    fn identity<'a>(&'a self, credential: Credential<'a>) -> Identity<'a> {
        Identity {
            name: &self.name,
            plan: &self.plan,
            groups: &self.groups,
            metadata: &self.metadata,
            refusal: self.refusal(),
            credential,
            usage: UsageAt::Value(&self.usage_key),
        }
    }

    /// What one of its keys has that the others have not.
    fn extra(
        &self,
        key: &mut KeyConfig,
        limits: &[Rc<Limit>],
        plans: &BTreeMap<String, Rc<Plan>>,
        path: &Path,
    ) -> Result<Option<keys::Extra>, ConfigError> {
        if key.plan.is_none() && key.metadata.is_empty() && key.limits.is_empty() {
            return Ok(None);
        }
        let mut plan = match &key.plan {
            // Below `keys` no value is shown: what stands here by mistake may be the key.
            Some(name) => {
                let plan = plans.get(name).ok_or_else(|| {
                    let error = ConfigError::at(path.key("plan")).found("a plan that does not exist");
                    error.expected("the name of one of the plans")
                })?;
                Some(with_limits(plan, limits, path)?)
            }
            None => None,
        };
        if !key.limits.is_empty() {
            let limits = levels::compile(mem::take(&mut key.limits), &path.key("limits"))?;
            plan = Some(with_limits(plan.as_ref().unwrap_or(&self.plan), &limits, path)?);
        }
        let mut all = self.metadata.clone();
        all.extend(metadata(
            &key.metadata,
            &String::from_utf8_lossy(self.name.as_bytes()),
            &path.key("metadata"),
        )?);
        Ok(Some(keys::Extra { plan, metadata: all }))
    }
}

/// A plan with the limits of what stands at `path`.
fn with_limits(plan: &Rc<Plan>, limits: &[Rc<Limit>], path: &Path) -> Result<Rc<Plan>, ConfigError> {
    if limits.is_empty() {
        return Ok(Rc::clone(plan));
    }
    plan.with_limits(limits, &path.key("limits")).map(Rc::new)
}

impl Groups {
    /// Whether somebody is in this one.
    pub fn contains(&self, group: &str) -> bool {
        self.iter().any(|found| found == group.as_bytes())
    }

    /// Their names.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let all = self.0.iter().flat_map(|all| all.as_bytes().split(|byte| *byte == b','));
        all.map(<[u8]>::trim_ascii_start)
    }

    /// What the upstream is told: `one, two`; `None`: nothing.
    pub const fn header(&self) -> Option<&HeaderValue<'static>> {
        self.0.as_ref()
    }

    /// Adds groups that a token names, the first [`MAX_TOKEN_GROUPS`] of them. Those that no group can be called are left out:
    /// no rule can be about them.
    pub fn extend<N: AsRef<str>>(&mut self, names: impl Iterator<Item = N>) {
        for name in names.take(MAX_TOKEN_GROUPS) {
            let name = name.as_ref();
            if name.contains(',') || self.contains(name) {
                continue;
            }
            let Ok(added) = check_name(name, &Path::root()) else { continue };
            self.0 = match self.0.take() {
                None => Some(added),
                Some(all) => {
                    let longer = HeaderValue::new([all.as_bytes(), b", ", added.as_bytes()].concat());
                    longer.ok().or(Some(all))
                }
            };
        }
    }

    /// Checks names of groups.
    ///
    /// # Errors
    /// A [`ConfigError`] for one that can't be.
    pub fn compile(names: &[String], path: &Path) -> Result<Self, ConfigError> {
        for (index, name) in names.iter().enumerate() {
            let here = path.index(index);
            check_name(name, &here)?;
            if name.contains(',') {
                let error = ConfigError::at(here).value(name).expected("a name without a comma");
                return Err(error.hint("the upstream gets all groups in one header, with commas between"));
            }
        }
        let wrong = |_| ConfigError::at(path).problem("can't stand in a header");
        let all = (!names.is_empty()).then(|| HeaderValue::new(names.join(", ").into_bytes()));
        Ok(Self(all.transpose().map_err(wrong)?))
    }
}

/// Checks what else the upstream is to be told of a consumer, or of one of its keys.
fn metadata(
    entries: &BTreeMap<String, String>,
    consumer: &str,
    path: &Path,
) -> Result<Metadata, ConfigError> {
    // Which entry of a long list it is nobody counts.
    let of = |error: ConfigError| error.hint(format!("it is of the consumer {consumer:?}"));
    headers_of(entries, path).map_err(of)
}

/// The header fields for metadata.
///
/// # Errors
/// A [`ConfigError`] for a name or a value that can't be.
pub fn headers_of(entries: &BTreeMap<String, String>, path: &Path) -> Result<Metadata, ConfigError> {
    let entry = |(name, value): (&String, &String)| {
        let header = metadata_header(name, path)?;
        let value = check_name(value, &path.key(name)).map_err(|_| {
            // Below `keys` no value is shown.
            let found = format!("a string of {} characters", value.chars().count());
            ConfigError::at(path.key(name)).found(found).expected(NAME_FORM)
        })?;
        Ok((header, value))
    };
    entries.iter().map(entry).collect()
}

/// The header field for metadata of this name.
///
/// # Errors
/// A [`ConfigError`] for a name that it can't have.
pub fn metadata_header(name: &str, path: &Path) -> Result<HeaderName, ConfigError> {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let header = (1..=64).contains(&name.len()) && name.bytes().all(plain);
    let header = header.then(|| HeaderName::new(&format!("{METADATA}{name}")).ok()).flatten();
    header.ok_or_else(|| {
        ConfigError::at(path)
            .found(format!("a name of {} characters", name.chars().count()))
            .expected("names of 1 to 64 letters in lower case, digits and -")
    })
}

fn name_taken(name: &str, first: usize, path: &Path) -> ConfigError {
    ConfigError::at(path.key("name"))
        .value(name)
        .expected("a name of its own")
        .hint(format!("consumers[{first}] has this one already"))
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

/// The name of a consumer's shared value.
fn usage_key(prefix: &str, consumer: &str) -> Box<str> {
    format!("{prefix}{}", escaped(consumer)).into()
}

/// A name as a part of the name of a shared value, without a slash: no two lists of parts make one name.
pub fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2F")
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn names_of_shared_values_differ_if_those_of_consumers_do() {
        assert_eq!(&*usage_key("p/", "a/b%2F c"), "p/a%2Fb%252F c");
    }

    #[test]
    fn groups_are_told_apart() {
        let groups = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            Groups::compile(&names, &Path::root())
        };
        let two = groups(&["a b", "c"]).unwrap();
        assert_eq!(two.header().unwrap().as_bytes(), b"a b, c");
        assert_eq!(two.iter().collect::<Vec<_>>(), [b"a b".as_slice(), b"c"]);
        assert!(two.contains("a b") && two.contains("c") && !two.contains("a") && !two.contains(""));
        let none = groups(&[]).unwrap();
        assert!(none.header().is_none() && !none.contains("") && none.iter().next().is_none());
        for bad in ["", " a", "a,b", "\u{e9}"] {
            assert!(groups(&["ok", bad]).is_err(), "{bad:?}");
        }
    }
}
