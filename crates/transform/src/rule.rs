//! Rules, compiled: what each does, and what has to be known before it can.

use meshgate_json::Path as JsonPath;
use meshgate_policy::condition::Condition;
use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::expression;
use meshgate_policy::headers::{HeaderName, HeaderValue};
use meshgate_policy::host::Side;
use meshgate_policy::matching::Match;

use crate::place::Place;
use crate::text::{PathText, Text};
use crate::trouble::{OnError, Remedy, Trouble};

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// `None`: all requests.
    pub matches: Option<Match>,
    pub when: Option<Condition>,
    pub on_error: OnError,
    pub request: Plan,
    pub response: Plan,
}

/// What a rule does to the messages of one side.
#[derive(Debug, Default)]
pub struct Plan {
    pub ops: Vec<Op>,
    pub needs: Needs,
    /// Which of the operations in the document is the first that needs the body before the head goes on.
    pub holding: Option<usize>,
}

/// What has to be known of an exchange before a plan can be carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The head as it arrived: an operation depends on what is there.
    pub head: bool,
    /// The head of the request, for templates, or for what names in the path of `match` stood for.
    pub request: bool,
    /// The time.
    pub now: bool,
    /// Who was authenticated.
    pub consumer: bool,
    /// The body, if it is JSON.
    pub json: bool,
    /// The body, for templates and conditions.
    pub sees_body: bool,
    /// That there is a body, of whatever kind.
    pub body: bool,
    /// What is in it, of whatever kind.
    pub text: bool,
    /// The body, before the head goes on.
    pub holds: bool,
}

impl Needs {
    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            head: self.head || other.head,
            request: self.request || other.request,
            now: self.now || other.now,
            consumer: self.consumer || other.consumer,
            json: self.json || other.json,
            sees_body: self.sees_body || other.sees_body,
            body: self.body || other.body,
            text: self.text || other.text,
            holds: self.holds || other.holds,
        }
    }

    /// Whether a body is read or replaced.
    pub const fn works_on_body(self) -> bool {
        self.json || self.body
    }

    /// Whether a body is read.
    pub const fn reads_body(self) -> bool {
        self.json || self.text
    }

    /// What an expression asks for.
    pub const fn expression(needs: expression::Needs) -> Self {
        Self {
            head: needs.response,
            request: needs.request,
            now: needs.now,
            consumer: needs.consumer,
            json: needs.body,
            sees_body: needs.body,
            body: false,
            text: false,
            holds: false,
        }
    }

    /// What a value asks for.
    pub fn of(text: &Text) -> Self {
        text.template().map_or_else(Self::default, |template| Self::expression(template.needs()))
    }
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Over what is there.
    Set,
    /// Where there is nothing.
    Add,
    /// Behind what is there.
    Append,
}

/// An operation.
#[derive(Debug)]
pub enum Op {
    /// Writes a value.
    Write { how: How, to: Place, value: Text, attributes: Option<Box<str>> },
    /// Writes the path of the request.
    WritePath(PathText),
    /// Writes the whole body.
    WriteBody { value: Text, content_type: HeaderValue<'static>, is_json: bool },
    /// Removes a place.
    Remove(Place),
    /// Gives what one place has to another of its kind.
    Rename(Place, Place),
    /// Gives a member of an object another key.
    RenameJson(JsonPath, Box<str>),
    /// Writes to one place what another has; `take`: which is removed.
    Transfer { from: Place, to: Place, take: bool },
    /// Removes all header fields but these.
    KeepHeaders(Vec<HeaderName>),
    /// Removes all query parameters but these.
    KeepQuery(Vec<Box<[u8]>>),
    /// Removes all cookies but these.
    KeepCookies(Vec<Box<[u8]>>),
    /// Removes all of a JSON body, which is at `root`, but these.
    KeepJson { root: JsonPath, kept: Vec<JsonPath> },
}

impl Op {
    /// Whether it reads or writes the body.
    pub const fn is_in_body(&self) -> bool {
        match self {
            Self::Write { to, .. } => to.in_body(),
            Self::Remove(place) => place.in_body(),
            Self::Transfer { from, to, .. } => from.in_body() || to.in_body(),
            Self::WriteBody { .. } | Self::RenameJson(..) | Self::KeepJson { .. } => true,
            Self::WritePath(_) | Self::Rename(..) => false,
            Self::KeepHeaders(_) | Self::KeepQuery(_) | Self::KeepCookies(_) => false,
        }
    }

    /// Whether it changes the head, be it for what it does in the body.
    pub const fn touches_head(&self) -> bool {
        match self {
            Self::WriteBody { .. } => true,
            Self::Transfer { from, to, take } => !to.in_body() || (*take && !from.in_body()),
            other => !other.is_in_body(),
        }
    }

    /// Whether it writes a value that depends on the body.
    pub fn sees_body(&self) -> bool {
        match self {
            Self::Write { value, .. } | Self::WriteBody { value, .. } => {
                value.template().is_some_and(|template| template.needs().body)
            }
            Self::WritePath(path) => path.templates().any(|template| template.needs().body),
            _ => false,
        }
    }

    /// Whether it names a place in a JSON body.
    pub const fn needs_json(&self) -> bool {
        match self {
            Self::Write { to, .. } => matches!(to, Place::Json(_)),
            Self::Remove(place) => matches!(place, Place::Json(_)),
            Self::Transfer { from, to, .. } => matches!(from, Place::Json(_)) || matches!(to, Place::Json(_)),
            Self::RenameJson(..) | Self::KeepJson { .. } => true,
            _ => false,
        }
    }
}

impl Rule {
    /// What it does on a side.
    pub const fn plan(&self, side: Side) -> &Plan {
        match side {
            Side::Request => &self.request,
            Side::Response => &self.response,
        }
    }

    /// What has to be known before it can be carried out on a side, or before it is known whether it holds.
    pub const fn needs(&self, side: Side) -> Needs {
        self.plan(side).needs
    }

    /// Adds what the rule needs to what its operations need.
    pub(crate) fn complete(&mut self) {
        for side in [Side::Request, Side::Response] {
            let mut needs = self.plan(side).needs;
            if let Some(when) = &self.when {
                needs = needs.and(Needs::expression(when.needs()));
            }
            needs.head |= match side {
                Side::Request => self.matches.is_some() || needs.request,
                Side::Response => self.matches.as_ref().is_some_and(Match::looks_at_response),
            };
            // What is missing is known only by whoever looks.
            needs.head |= needs.works_on_body() || self.minds_missing();
            match side {
                Side::Request => self.request.needs = needs,
                Side::Response => self.response.needs = needs,
            }
        }
    }

    /// Whether it makes a difference that something is missing.
    pub fn minds_missing(&self) -> bool {
        self.on_error.remedy(Trouble::Missing) != Remedy::Skip
    }

    /// Why its head has to wait for the body on a side, whatever its operations say of themselves: the field that makes it
    /// wait, and what is wrong otherwise. A head that is gone can't be as it was where an operation turns out to be left out.
    fn waits(&self, side: Side) -> Option<(&'static str, &'static str)> {
        let ops = &self.plan(side).ops;
        if self.when.as_ref().is_some_and(|when| when.needs().body) && ops.iter().any(Op::touches_head) {
            Some(("when", "operations on the head depend on the body"))
        } else if self.on_error.leaves_out() && ops.iter().any(|op| op.is_in_body() && op.touches_head()) {
            Some(("on_error", "an operation that is left out would have changed the head already"))
        } else {
            None
        }
    }

    /// Whether what it does to the response depends on the request.
    pub fn needs_request(&self) -> bool {
        let needs = self.needs(Side::Response);
        self.matches.as_ref().is_some_and(Match::looks_at_request) || needs.request || needs.body
    }
}

/// What to do where a head has to wait for its body.
pub const HOLDING: &str = "this takes a head that waits for its body: write allow_on_headers_stop_iteration: true here, \
    and in the PluginConfig of Envoy as well";

/// Refuses rules for which a head would have to wait for its body.
///
/// # Errors
/// The first operation of that kind.
pub fn refuse_holding(rules: &[Rule], at: &Path) -> Result<(), ConfigError> {
    for (index, rule) in rules.iter().enumerate() {
        for (side, name) in [(Side::Request, "request"), (Side::Response, "response")] {
            let plan = rule.plan(side);
            let here = at.index(index);
            if let Some(at) = plan.holding {
                let error = ConfigError::at(here.key(name).index(at));
                return Err(error.problem("the head depends on the body").hint(HOLDING));
            }
            if let Some((field, problem)) = rule.waits(side) {
                return Err(ConfigError::at(here.key(field)).problem(problem).hint(HOLDING));
            }
        }
    }
    Ok(())
}
