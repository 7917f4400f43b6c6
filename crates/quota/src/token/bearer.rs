//! Who a token says sends a request.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::rc::Rc;

use meshgate_jwt::{ClaimPath, Claims};
use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::headers::{HeaderName, HeaderValue};

use super::TokenProblem;
use crate::config::TokenIdentityConfig;
use crate::consumer::{self, Consumers, Credential, Groups, Identity, Metadata, UsageAt};
use crate::names::Names;
use crate::plan::Plan;

/// Who sends requests with a token, and what else it says.
pub struct Bearer {
    name: HeaderValue<'static>,
    /// Of the consumers in the configuration, which.
    configured: Option<usize>,
    plan: Rc<Plan>,
    groups: Groups,
    metadata: Metadata,
    claims: Claims,
    fingerprint: [u8; 16],
    /// What the key that has signed the token is known by.
    signed_with: Option<Box<str>>,
    /// Whether the upstream gets the token.
    pub forward: bool,
}

/// How claims become a consumer.
#[derive(Debug)]
pub struct Mapping {
    consumer: ClaimPath,
    names: Names,
    configured_consumers: bool,
    plan: Option<Rc<Plan>>,
    plan_claim: Option<ClaimPath>,
    groups: Option<ClaimPath>,
    metadata: Vec<(HeaderName, ClaimPath)>,
    forward: bool,
}

/// All that claims may name.
#[derive(Debug)]
pub struct Directory {
    /// The plans, by name.
    pub plans: BTreeMap<String, Rc<Plan>>,
    consumers: HashMap<Box<str>, usize>,
}

impl Directory {
    /// Of a configuration.
    pub fn new(plans: &BTreeMap<String, Rc<Plan>>, consumers: &Consumers) -> Self {
        let name = |name: &HeaderValue<'_>| String::from_utf8_lossy(name.as_bytes()).into();
        let consumers = consumers.iter().enumerate().map(|(index, consumer)| (name(&consumer.name), index));
        Self { plans: plans.clone(), consumers: consumers.collect() }
    }

    /// Which of the consumers that the configuration names this one is.
    pub fn consumer(&self, name: &str) -> Option<usize> {
        self.consumers.get(name).copied()
    }
}

impl Mapping {
    /// Checks what is configured.
    ///
    /// # Errors
    /// A [`ConfigError`] for a plan that there is not, or a name that can't be, or if nobody could be named.
    pub fn compile(
        config: TokenIdentityConfig,
        forward: bool,
        directory: &Directory,
        path: &Path,
    ) -> Result<Self, ConfigError> {
        if config.plan.is_none() && config.plan_claim.is_none() && !config.configured_consumers {
            return Err(ConfigError::at(path)
                .found("neither plan nor plan_claim nor configured_consumers")
                .expected("at least one of them, such as plan: free")
                .hint("without a plan a token can name nobody; configured_consumers: true lets it name one of consumers"));
        }
        let plan = config.plan.map(|name| {
            let known = directory.plans.keys().map(String::as_str);
            let unknown = || ConfigError::unknown(path.key("plan"), &name, known);
            directory.plans.get(&name).map(Rc::clone).ok_or_else(unknown)
        });
        let claim_at = |path: Path, claim: &str| {
            let error = || ConfigError::at(path).found("an empty name").expected("the name of a claim");
            if claim.is_empty() { Err(error()) } else { Ok(ClaimPath::new(claim)) }
        };
        let claim = |field: &str, claim: &str| claim_at(path.key(field), claim);
        let prefix = path.key("consumer_prefix");
        let names = Names::compile(config.consumer_prefix, config.shared_names, &prefix)?;
        let metadata = config.metadata.iter().map(|(name, from)| {
            let here = path.key("metadata");
            Ok((consumer::metadata_header(name, &here)?, claim_at(here.key(name), from)?))
        });
        Ok(Self {
            consumer: claim("consumer_claim", &config.consumer_claim)?,
            names,
            configured_consumers: config.configured_consumers,
            plan: plan.transpose()?,
            plan_claim: config.plan_claim.as_deref().map(|name| claim("plan_claim", name)).transpose()?,
            groups: config.groups_claim.as_deref().map(|name| claim("groups_claim", name)).transpose()?,
            metadata: metadata.collect::<Result<_, _>>()?,
            forward,
        })
    }

    /// Who these claims say it is.
    ///
    /// # Errors
    /// [`TokenProblem::Consumer`] if they name nobody that can be.
    pub fn bearer(
        &self,
        claims: Claims,
        directory: &Directory,
        consumers: &Consumers,
    ) -> Result<Bearer, TokenProblem> {
        let name =
            self.consumer.text(&claims).filter(|name| !name.is_empty()).map(|name| self.names.full(&name));
        let name = name.ok_or(TokenProblem::Consumer)?;
        let checked = consumer::check_name(&name, &Path::root()).map_err(|_| TokenProblem::Consumer)?;
        let configured = directory.consumer(&name);
        let consumer = configured.and_then(|index| consumers.get(index));
        // Those who send no credential have a name as well, which is not for tokens to take.
        if configured.is_some_and(|index| !self.configured_consumers || consumers.is_anonymous(index)) {
            return Err(TokenProblem::Consumer);
        }
        let plan = match consumer {
            Some(consumer) => &consumer.plan,
            None => self.plan_of(&claims, directory).ok_or(TokenProblem::Consumer)?,
        };

        let texts = self.groups.iter().flat_map(|groups| groups.texts(&claims));
        let mut groups = consumer.map(|consumer| consumer.groups.clone()).unwrap_or_default();
        groups.extend(texts);
        let mut metadata = consumer.map(|consumer| consumer.metadata.clone()).unwrap_or_default();
        for (header, claim) in &self.metadata {
            // As metadata that is configured has to be: nobody makes headers that are too large for the upstream.
            let value = claim.text(&claims).and_then(|text| consumer::check_name(&text, &Path::root()).ok());
            // What a token says of itself stands before what the configuration says of its consumer, or nothing does.
            metadata.extend(value.map(|value| (header.clone(), value)));
        }
        Ok(Bearer {
            name: checked,
            configured: consumer.and(configured),
            plan: Rc::clone(plan),
            groups,
            metadata,
            fingerprint: consumer::fingerprint(name.as_bytes()),
            claims,
            signed_with: None,
            forward: self.forward,
        })
    }

    /// The names that it gives.
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// Whether consumers may have it that are in no configuration.
    pub const fn names_others(&self) -> bool {
        self.plan.is_some() || self.plan_claim.is_some()
    }

    fn plan_of<'a>(&'a self, claims: &Claims, directory: &'a Directory) -> Option<&'a Rc<Plan>> {
        let named = self.plan_claim.as_ref().and_then(|claim| claim.text(claims));
        named.and_then(|name| directory.plans.get(&*name)).or(self.plan.as_ref())
    }
}

impl Bearer {
    /// Of a token that the key of this id has signed. An id that would not do for a key of the configuration is not told.
    pub fn signed_with(self, key_id: Option<String>) -> Self {
        let plain = |key_id: &String| consumer::check_name(key_id, &Path::root()).is_ok();
        Self { signed_with: key_id.filter(plain).map(String::into_boxed_str), ..self }
    }

    /// Who sends the request.
    pub fn identity<'a>(&'a self, consumers: &'a Consumers) -> Identity<'a> {
        let consumer = self.configured.and_then(|index| consumers.get(index));
        Identity {
            name: &self.name,
            plan: &self.plan,
            groups: &self.groups,
            metadata: &self.metadata,
            refusal: consumer.and_then(|consumer| consumer.refusal()),
            credential: Credential::Token { claims: &self.claims, signed_with: self.signed_with.as_deref() },
            usage: match consumer {
                Some(consumer) => UsageAt::Value(&consumer.usage_key),
                None => UsageAt::Table(self.fingerprint),
            },
        }
    }
}

/// Without what the token says.
impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer").field("plan", &self.plan.name).finish_non_exhaustive()
    }
}
