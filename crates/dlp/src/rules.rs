//! The rules, compiled.

use std::fmt::{self, Display};
use std::rc::Rc;

use meshgate_detect::{DEFAULT_CONFIDENCE, DictionaryOptions, Kind, Scanner, ScannerBuilder};
use meshgate_json::Path as JsonPath;
use meshgate_policy::condition::Condition;
use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::headers::HeaderValue;
use meshgate_policy::host::Side;
use meshgate_policy::matching::Match;

use crate::action::Action;
use crate::allow::Allow;
use crate::config::{ActionConfig, Config, CustomFind, FindConfig, RuleConfig};
use crate::mask::Mask;
use crate::place::{Place, Places};
use crate::target::Target;
use crate::token::Tokens;

/// How many rules there may be: sets of them are bits of a number.
const MAX_RULES: usize = 64;
/// The longest name, and the longest text that a finding is replaced by, in bytes.
const MAX_NAME: usize = 128;
const MAX_TEXT: usize = 1_024;

/// The rules, and what they look for.
#[derive(Debug)]
pub struct Rules {
    /// In the order of the configuration.
    pub rules: Vec<Rule>,
    /// What they look for: findings name these by their place in this list.
    pub targets: Vec<Target>,
    /// What is no finding for any of them.
    pub allow: Allow,
    /// What looks into a place; by [`Place`].
    scanners: [Option<Rc<Scanner>>; Place::ALL.len()],
}

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// What logs call it.
    pub name: Box<str>,
    /// Where it looks.
    pub places: Places,
    /// What it does.
    pub action: Action,
    /// It is for these requests and responses.
    pub matches: Option<Match>,
    /// It is for those of which this is true.
    pub when: Option<Condition>,
    /// How sure a finding has to be.
    pub min_confidence: u8,
    /// It changes nothing.
    pub shadow: bool,
    /// The names of fields that it is for, in lower case.
    only: Option<Vec<Box<[u8]>>>,
    /// The names of fields that it is not for, in lower case; `None`: the usual ones.
    except: Option<Vec<Box<[u8]>>>,
    /// The values of JSON bodies that it is for.
    pub json: Option<Vec<JsonPath>>,
    /// What is no finding for it.
    pub allow: Allow,
}

/// Header fields of a request that are there to carry a credential.
const CREDENTIALS: [&[u8]; 7] = [
    b"authorization",
    b"proxy-authorization",
    b"x-api-key",
    b"api-key",
    b"x-goog-api-key",
    b"x-amz-security-token",
    b"x-auth-token",
];

impl Rules {
    /// Compiles what the configuration says of rules.
    ///
    /// # Errors
    /// What is wrong with a rule.
    pub fn compile(config: Config) -> Result<Self, ConfigError> {
        let path = Path::root().key("rules");
        if config.rules.is_empty() || config.rules.len() > MAX_RULES {
            let found = format!("{} rules", config.rules.len());
            return Err(ConfigError::at(path).found(found).expected("1 to 64"));
        }
        let tokens = config.hmac_key.as_ref().and_then(|key| Tokens::new(key.as_bytes()));
        let mut targets = Targets::default();
        let mut rules = Vec::new();
        for (index, rule) in config.rules.into_iter().enumerate() {
            let path = path.index(index);
            let name = rule.name.clone().unwrap_or_else(|| format!("rules[{index}]"));
            if !is_name(&name) {
                let expected = "1 to 128 printable ASCII characters";
                return Err(ConfigError::at(path.key("name")).value(&name).expected(expected));
            }
            for (number, find) in rule.find.iter().enumerate() {
                let path = rule.find.place(&path.key("find"), number);
                targets.add(find, 1 << index, &path)?;
            }
            let rule = Rule::compile(rule, name, tokens.as_ref(), &path)?;
            if !config.allow_on_headers_stop_iteration && rule.holds_response_head() {
                return Err(ConfigError::at(path.key("do")).found("block for response.body").expected(
                    "allow_on_headers_stop_iteration: true, here and in the filter's Envoy configuration: the head of a \
                     response has to wait for its body, or its status can't change any more",
                ));
            }
            rules.push(rule);
        }
        let scanners = targets.scanners(&rules)?;
        Ok(Self { rules, targets: targets.targets, allow: Allow::compile(config.allow), scanners })
    }

    /// What looks into a place; `None`: nothing does.
    pub fn scanner(&self, place: Place) -> Option<&Scanner> {
        self.scanners.get(place as usize)?.as_deref()
    }

    /// Whether any rule is for this place.
    pub fn look_at(&self, place: Place) -> bool {
        self.scanner(place).is_some()
    }

    /// Whether any rule is for a part of this message.
    pub fn look_at_side(&self, side: Side) -> bool {
        Place::ALL.into_iter().any(|place| place.side() == side && self.look_at(place))
    }

    /// Whether any rule does more than report.
    pub fn enforce(&self) -> bool {
        self.rules.iter().any(Rule::enforces)
    }

    /// The rules of a set, in order, with their places in the list.
    pub fn of(&self, set: u64) -> impl Iterator<Item = (usize, &Rule)> {
        self.rules.iter().enumerate().filter(move |(index, _)| set >> index & 1 == 1)
    }
}

impl Rule {
    fn compile(
        config: RuleConfig,
        name: String,
        tokens: Option<&Tokens>,
        path: &Path,
    ) -> Result<Self, ConfigError> {
        let mut places = Places::default();
        config.places.iter().for_each(|place| places.add(*place));
        let needs_response = config.matches.as_ref().is_some_and(Match::needs_response)
            || config.when.as_ref().is_some_and(|when| when.needs().response);
        if needs_response
            && let Some(place) = config.places.iter().find(|place| place.side() == Side::Request)
        {
            let expected =
                "conditions on the request only: requests are decided on before there is a response";
            return Err(ConfigError::at(path)
                .found(format!("a condition on the response for {}", place.name()))
                .expected(expected));
        }
        if config.when.as_ref().is_some_and(|when| when.needs().body) {
            return Err(ConfigError::at(path.key("when"))
                .found("a condition on the body")
                .expected("conditions on heads only: bodies are looked into as they pass"));
        }
        if config.min_confidence > 100 {
            let found = config.min_confidence.to_string();
            return Err(ConfigError::at(path.key("min_confidence")).found(found).expected("0 to 100"));
        }
        if config.json.is_some() && !config.places.iter().all(|place| place.is_body()) {
            return Err(ConfigError::at(path.key("json"))
                .found("JSON paths for a place that is no body")
                .expected("only request.body and response.body in this rule"));
        }
        let action = compile_action(&config.action, tokens, path)?;
        if matches!(action, Action::Drop) && places.has(Place::RequestPath) {
            return Err(ConfigError::at(path.key("do"))
                .value("drop")
                .expected("mask, replace, hash, block or report: of a path nothing can be dropped"));
        }
        let names = |names: &[String]| {
            names.iter().map(|name| name.to_ascii_lowercase().into_bytes().into()).collect::<Vec<Box<[u8]>>>()
        };
        Ok(Self {
            name: name.into(),
            places,
            action,
            matches: config.matches,
            when: config.when,
            min_confidence: config.min_confidence,
            shadow: config.shadow,
            only: config.only.as_deref().map(names),
            except: config.except.as_deref().map(names),
            json: config.json.map(|paths| paths.into_vec()),
            allow: Allow::compile(config.allow),
        })
    }

    /// What people know it by: its place in the list, and its name if it has one.
    pub fn shown(&self, index: usize) -> impl Display {
        let name = Some(&self.name).filter(|name| !name.starts_with("rules["));
        fmt::from_fn(move |f| match name {
            Some(name) => write!(f, "rules[{index}] ({name})"),
            None => write!(f, "rules[{index}]"),
        })
    }

    /// Whether it is for a field of this name.
    pub fn covers(&self, place: Place, name: &[u8]) -> bool {
        let is_in = |names: &[Box<[u8]>]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
        let excluded = match &self.except {
            Some(except) => is_in(except),
            None => {
                // Who names a field means it.
                self.only.is_none()
                    && place == Place::RequestHeaders
                    && CREDENTIALS.iter().any(|known| name.eq_ignore_ascii_case(known))
            }
        };
        !excluded && self.only.as_deref().is_none_or(is_in)
    }

    /// Whether it does more than report.
    pub const fn enforces(&self) -> bool {
        !self.shadow && !matches!(self.action, Action::Report)
    }

    /// Whether it has to see all of a body.
    pub const fn needs_whole(&self) -> bool {
        self.json.is_some() || (self.enforces() && self.action.needs_whole())
    }

    /// Whether it lets messages not pass.
    pub const fn blocks(&self) -> bool {
        self.enforces() && matches!(self.action, Action::Block(_))
    }

    /// Whether the head of a response has to wait for its body.
    const fn holds_response_head(&self) -> bool {
        self.blocks() && self.places.has(Place::ResponseBody)
    }
}

fn compile_action(
    config: &ActionConfig,
    tokens: Option<&Tokens>,
    path: &Path,
) -> Result<Action, ConfigError> {
    let path = path.key("do");
    Ok(match config {
        ActionConfig::Mask(mask) => Action::Mask(Mask {
            keep_first: mask.keep_first.into(),
            keep_last: mask.keep_last.into(),
            character: mask.character.0,
        }),
        ActionConfig::Replace(text) => {
            if let Some(text) = text
                && (text.len() > MAX_TEXT || HeaderValue::new(text.as_bytes()).is_err())
            {
                return Err(ConfigError::at(path.key("replace"))
                    .value(text)
                    .expected("at most 1024 bytes without control characters"));
            }
            Action::Replace(text.as_deref().map(Rc::from))
        }
        ActionConfig::Hash => match tokens {
            Some(tokens) => Action::Hash(tokens.clone()),
            None => {
                return Err(ConfigError::at(path)
                    .value("hash")
                    .expected("hmac_key beside rules: without a key the values could be tried out"));
            }
        },
        ActionConfig::Drop => Action::Drop,
        ActionConfig::Block(block) => match block.status {
            Some(status) if !(400..600).contains(&status) => {
                return Err(ConfigError::at(path.key("block").key("status"))
                    .found(status.to_string())
                    .expected("400 to 599"));
            }
            status => Action::Block(status),
        },
        ActionConfig::Report => Action::Report,
    })
}

/// What is looked for, as it is collected from the rules.
#[derive(Default)]
struct Targets {
    targets: Vec<Target>,
    /// Of those that are the user's own: what they are, and where they stand.
    custom: Vec<(usize, CustomFind, Path)>,
}

impl Targets {
    fn add(&mut self, find: &FindConfig, rule: u64, path: &Path) -> Result<(), ConfigError> {
        match find {
            FindConfig::Named(name) => {
                let names: Vec<_> = Kind::packs().chain(Kind::all().map(Kind::name)).collect();
                let kinds =
                    Kind::select(name).map_err(|_| ConfigError::unknown(path.clone(), name, names))?;
                for kind in kinds {
                    match self.targets.iter_mut().find(|target| target.kind == kind) {
                        Some(target) => target.rules |= rule,
                        None => self.targets.push(Target { rules: rule, ..Target::known(kind) }),
                    }
                }
            }
            FindConfig::Custom(custom) => {
                let kind = match (&custom.regex, &custom.words) {
                    (Some(_), None) => Kind::REGEX,
                    (None, Some(_)) => Kind::DICTIONARY,
                    _ => {
                        return Err(ConfigError::at(path)
                            .found("neither or both")
                            .expected("either regex or words"));
                    }
                };
                let name = custom.name.as_deref().unwrap_or("custom");
                let plain =
                    |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | ' ' | '.');
                if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
                    return Err(ConfigError::at(path.key("name"))
                        .value(name)
                        .expected("1 to 64 letters, digits, spaces, _, - and ."));
                }
                self.custom.push((self.targets.len(), custom.clone(), path.clone()));
                self.targets.push(Target { rules: rule, ..Target::custom(kind, name) });
            }
        }
        Ok(())
    }

    /// A scanner for each place. Places that look for the same share one.
    fn scanners(&self, rules: &[Rule]) -> Result<[Option<Rc<Scanner>>; Place::ALL.len()], ConfigError> {
        let mut known: Vec<(Vec<usize>, Rc<Scanner>)> = Vec::new();
        let mut scanners = [const { None }; Place::ALL.len()];
        for (place, scanner) in Place::ALL.into_iter().zip(&mut scanners) {
            let looking = rules.iter().enumerate().filter(|(_, rule)| rule.places.has(place));
            let looking = looking.fold(0_u64, |set, (index, _)| set | 1 << index);
            let wanted: Vec<usize> = self
                .targets
                .iter()
                .enumerate()
                .filter(|(_, target)| target.rules & looking != 0)
                .map(|(index, _)| index)
                .collect();
            if wanted.is_empty() {
                continue;
            }
            let same = known.iter().find(|(targets, _)| *targets == wanted).map(|(_, scanner)| scanner);
            *scanner = Some(match same {
                Some(scanner) => Rc::clone(scanner),
                None => {
                    let scanner = Rc::new(self.build(&wanted)?);
                    known.push((wanted, Rc::clone(&scanner)));
                    scanner
                }
            });
        }
        Ok(scanners)
    }

    fn build(&self, wanted: &[usize]) -> Result<Scanner, ConfigError> {
        let mut builder = ScannerBuilder::new();
        for index in wanted {
            let id = u32::try_from(*index).unwrap_or(u32::MAX);
            match self.custom.iter().find(|(known, ..)| known == index) {
                Some((_, custom, path)) => custom.add_to(&mut builder, id, path)?,
                None => self.targets.get(*index).into_iter().for_each(|target| {
                    builder.kind(id, target.kind);
                }),
            }
        }
        Ok(builder.build())
    }
}

impl CustomFind {
    /// Makes a scanner look for this.
    fn add_to(&self, builder: &mut ScannerBuilder, id: u32, path: &Path) -> Result<(), ConfigError> {
        if let Some(regex) = &self.regex {
            builder.regex(id, regex).map_err(|error| {
                ConfigError::at(path.key("regex")).value(regex).problem(error.to_string())
            })?;
        }
        if let Some(words) = &self.words {
            let options = DictionaryOptions { ignore_case: !self.case_sensitive, whole_words: true };
            let path = path.key("words");
            if let Some(index) = words.iter().position(|word| word.trim().is_empty()) {
                let error = ConfigError::at(words.place(&path, index)).found("an empty word");
                return Err(error.expected("a word of one letter or more"));
            }
            builder
                .dictionary(id, words, options)
                .map_err(|error| ConfigError::at(path).problem(error.to_string()))?;
        }
        Ok(())
    }
}

/// What logs can show.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// How sure a detector must be where a rule does not say.
pub const fn default_confidence() -> u8 {
    DEFAULT_CONFIDENCE
}
