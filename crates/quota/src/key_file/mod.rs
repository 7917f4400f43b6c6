//! Keys that stand in no document: files of them, fetched and kept up to date by each worker.
//!
//! A file is JSON Lines, a key a line (`line`). It comes in parts (`load`), asked for when it is time to (`source`), each with
//! an answer of the server to be understood (`reply`). Its keys lie in a table of their own (`table`, `record`), in bytes that
//! know nothing of the configuration (`content`): that says whose they are (`identity`).
//!
//! The keys of the document come first, then the files in their order. While a file has not been loaded, a key that is nowhere
//! else may be one of its: nobody knows, so it is neither let through nor called invalid.

mod content;
mod identity;
mod line;
mod load;
mod record;
mod reply;
mod source;
mod table;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::host::{Host, Setup};

pub use self::identity::Fetched;
use self::identity::Whose;
use self::line::Rules;
use self::source::{Source, Unfit};
use crate::answer::Refusal;
use crate::config::{KeyFileConfig, KeyFileIdentityConfig};
use crate::consumer::Consumers;
use crate::keys::Checks;
use crate::metrics::Metrics;
use crate::names::Names;
use crate::plan::Plan;
use crate::presented::Presented;
use crate::token::Directory;

/// The most files: a key that is nobody's is looked for in all of them.
const MAX_SOURCES: usize = 8;

/// All files of keys.
#[derive(Debug)]
pub struct KeyFiles(Vec<Rc<Source>>);

impl KeyFiles {
    /// Checks what is configured; `None`: there are none.
    ///
    /// # Errors
    /// A [`ConfigError`] for the first thing that is wrong.
    pub fn compile(
        configs: Vec<KeyFileConfig>,
        plans: &BTreeMap<String, Rc<Plan>>,
        consumers: &Consumers,
        prefix: &str,
        metrics: &Rc<Metrics>,
        setup: &mut dyn Setup,
    ) -> Result<Option<Self>, ConfigError> {
        if configs.is_empty() {
            return Ok(None);
        }
        let directory = &Rc::new(Directory::new(plans, consumers));
        let list = Path::root().key("key_files");
        if configs.len() > MAX_SOURCES {
            let found = format!("{} files", configs.len());
            return Err(ConfigError::at(list).found(found).expected(format!("at most {MAX_SOURCES}")));
        }
        let mut sources: Vec<Rc<Source>> = Vec::with_capacity(configs.len());
        for (index, config) in configs.into_iter().enumerate() {
            let path = list.index(index);
            check_name(&config.name, &path)?;
            let taken = |field: &str, value: &str, first: usize| {
                let error = ConfigError::at(path.key(field)).value(value).expected("one of its own");
                error.hint(format!("key_files[{first}] has this one already"))
            };
            if let Some(first) = sources.iter().position(|other| *other.name == *config.name) {
                return Err(taken("name", &config.name, first));
            }
            let (target, identity) = (config.path.clone(), config.identity);
            let config = KeyFileConfig { identity: KeyFileIdentityConfig::default(), ..config };
            let whose = Whose::compile(identity, directory, consumers, &path.key("identity"))?;
            let rules = Rules { checks: Checks::new(consumers.pepper()), whose };
            let source = Source::compile(config, rules, prefix, metrics, setup, &path)?;
            // Two that are one would take each other's keys away.
            if let Some(first) = sources.iter().position(|other| other.shared == source.shared) {
                return Err(taken("path", &target, first));
            }
            sources.push(source);
        }
        Ok(Some(Self(sources)))
    }

    /// Where names of consumers come from that are in no configuration.
    pub fn names(&self) -> Vec<(Path, &Names)> {
        let list = Path::root().key("key_files");
        let place = |(index, source)| (list.index(index).key("identity"), Source::names(source));
        self.0.iter().map(|source| &**source).enumerate().map(place).collect()
    }

    /// Whose key it is; `None`: nobody's.
    ///
    /// # Errors
    /// [`Refusal::KeyUnchecked`] where that can't be known.
    pub fn find(
        &self,
        host: &mut dyn Host,
        key: &Presented<'_>,
        consumers: &Consumers,
    ) -> Result<Option<Fetched>, Refusal> {
        let mut missing = None;
        for (index, source) in self.0.iter().enumerate() {
            match source.find(key, consumers, || host.now()) {
                Ok(Some(fetched)) => {
                    host.detail(format_args!("the key is of key_files[{index}], {}", source.name));
                    return Ok(Some(fetched));
                }
                Ok(None) => {}
                Err(Unfit) => {
                    host.detail(format_args!(
                        "the key is of key_files[{index}], {}, whose file names a plan or a consumer that this \
                         configuration does not let it name",
                        source.name
                    ));
                    return Err(Refusal::KeyUnchecked { retry_after: 1 });
                }
            }
            if missing.is_none() {
                missing = source.is_missing(host).map(|retry_after| (index, source, retry_after));
            }
        }
        let Some((index, source, retry_after)) = missing else { return Ok(None) };
        host.detail(format_args!(
            "the key may be of key_files[{index}], {}, whose file has not been fetched yet",
            source.name
        ));
        Err(Refusal::KeyUnchecked { retry_after })
    }

    /// Does what is to be done without a request; in how long there is more. `None`: never again.
    pub fn wake(&self, host: &mut dyn Host) -> Option<Duration> {
        self.0.iter().filter_map(|source| source.wake(host)).min()
    }
}

/// The configuration is over: what is under way is of no use to anybody.
impl Drop for KeyFiles {
    fn drop(&mut self) {
        self.0.iter().for_each(|source| source.retire());
    }
}

fn check_name(name: &str, path: &Path) -> Result<(), ConfigError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if (1..=64).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(());
    }
    Err(ConfigError::at(path.key("name")).value(name).expected("1 to 64 letters, digits, - and _"))
}
