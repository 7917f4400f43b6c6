//! The operations, carried out.
//!
//! A [`Run`] goes through the rules that hold, in order, over a [`Draft`] of the head and over the body. Operations on a JSON
//! body are gathered and carried out together, in one scan of it, for as long as nothing else depends on what they find.
//!
//! Where the body comes later than the head has to go on, its operations become [`Step`]s, with the values that they take from
//! the head as it is at that point, and [`Run::finish`] carries them out.
//!
//! Trouble for which a rule says `pass` leaves out the whole rule: everything is done again without it, from what arrived.

use std::borrow::Cow;
use std::fmt;

use meshgate_json::{Limits, Raw};
use meshgate_policy::expression::Scope;
use meshgate_policy::headers::HeaderName;

use crate::edits;
use crate::head::Draft;
use crate::known::Known;
use crate::place::Place;
use crate::rule::{How, Op, Rule};
use crate::text::Text;
use crate::trouble::{Remedy, Trouble};

pub(crate) static CONTENT_TYPE: HeaderName = HeaderName::constant("content-type");

/// What is at hand of a body.
#[derive(Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// There is none: operations miss it.
    Absent,
    /// There never is one, as in the response to HEAD: operations that need it are left out.
    Never,
    /// It is nothing that rules look into: operations leave it alone.
    Foreign,
    /// It can't be read.
    Unusable(Trouble),
    /// It is still to come.
    Later,
    /// Here it is, decoded.
    Here(Cow<'a, [u8]>),
}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("Absent"),
            Self::Never => f.write_str("Never"),
            Self::Foreign => f.write_str("Foreign"),
            Self::Unusable(trouble) => write!(f, "Unusable({trouble:?})"),
            Self::Later => f.write_str("Later"),
            Self::Here(text) => write!(f, "Here({} bytes)", text.len()),
        }
    }
}

/// An operation on a body, with what it takes from the head.
#[derive(Clone)]
pub struct Step {
    /// Of which rule.
    pub(crate) rule: usize,
    /// Which of its operations.
    pub(crate) op: usize,
    /// What it writes, if that is known already and not always the same.
    pub(crate) value: Option<Vec<u8>>,
    /// The second half of a move out of the body.
    pub(crate) take: bool,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("rule", &self.rule)
            .field("op", &self.op)
            .field("value_bytes", &self.value.as_ref().map(Vec::len))
            .field("take", &self.take)
            .finish()
    }
}

/// Why a run ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It has to begin again, without this rule.
    Without(usize),
    /// The client is answered, for this rule.
    Refuse(usize, Trouble, Option<u16>),
}

/// What happened on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// An operation of a rule was left out.
    Skipped(usize, Trouble),
    /// A rule was left out.
    Passed(usize, Trouble),
    /// The condition of a rule does not hold for the body. Noted where somebody asks.
    Unmet(usize),
}

/// A way through the rules.
#[derive(Debug)]
pub struct Run<'a> {
    pub(crate) rules: &'a [Rule],
    pub(crate) known: &'a Known<'a>,
    /// The head.
    pub draft: Draft<'a>,
    /// The body.
    pub body: Body<'a>,
    /// Whether the body is JSON, so that its places can be found.
    pub is_json: bool,
    /// Whether it was when it arrived, so that conditions can see it.
    sees_json: bool,
    /// Whether the body is another than the one that arrived.
    pub changed: bool,
    /// The largest body that is made.
    pub(crate) limit: usize,
    /// What is gathered, to be carried out together.
    pub(crate) steps: Vec<Step>,
    /// Whether one of them writes to the head.
    pub(crate) reads: bool,
    /// What happened on the way.
    pub notes: Vec<Note>,
}

impl<'a> Run<'a> {
    /// Begins with a message as it arrived.
    pub fn new(rules: &'a [Rule], known: &'a Known<'a>, body: Body<'a>, is_json: bool, limit: usize) -> Self {
        Self {
            rules,
            known,
            draft: Draft::new(known.side, known.head()),
            body,
            is_json,
            sees_json: is_json,
            changed: false,
            limit,
            steps: Vec::new(),
            reads: false,
            notes: Vec::new(),
        }
    }

    /// Goes through these rules. What is left to do once the body is there is returned.
    ///
    /// # Errors
    /// [`Stop`]
    pub fn rules(&mut self, active: &[usize]) -> Result<Vec<Step>, Stop> {
        for &index in active {
            let Some(rule) = self.rules.get(index) else { continue };
            if !self.rule_holds(index, rule)? {
                continue;
            }
            for (op, operation) in rule.plan(self.known.side).ops.iter().enumerate() {
                if let Err(trouble) = self.operation(index, rule, op, operation)? {
                    self.trouble(index, trouble)?;
                }
            }
        }
        if self.body != Body::Later {
            self.flush()?;
        }
        Ok(std::mem::take(&mut self.steps))
    }

    /// Carries out what was left to do until the body came.
    ///
    /// # Errors
    /// [`Stop`]
    pub fn finish(&mut self, steps: &[Step], without: &[usize]) -> Result<(), Stop> {
        let mut rules: Vec<usize> = steps.iter().map(|step| step.rule).collect();
        rules.dedup();
        let mut holding = Vec::new();
        for index in rules.into_iter().filter(|index| !without.contains(index)) {
            if let Some(rule) = self.rules.get(index)
                && self.rule_holds(index, rule)?
            {
                holding.push(index);
            }
        }
        self.steps = steps.iter().filter(|step| holding.contains(&step.rule)).cloned().collect();
        self.flush()
    }

    /// Whether the condition of a rule holds that asks for the body; all others are answered already.
    fn rule_holds(&mut self, index: usize, rule: &Rule) -> Result<bool, Stop> {
        if !rule.when.as_ref().is_some_and(|when| when.needs().body) {
            return Ok(true);
        }
        let answer = match &self.body {
            // It is asked again when the body is there.
            Body::Later => Ok(true),
            Body::Unusable(trouble) => Err(*trouble),
            Body::Here(text) if self.sees_json && !text.is_empty() => self.known.holds(rule),
            Body::Here(_) | Body::Absent | Body::Never | Body::Foreign => Ok(false),
        };
        if self.known.in_detail && answer == Ok(false) {
            self.notes.push(Note::Unmet(index));
        }
        // A rule of which nobody knows whether it holds is left out, or the client is answered.
        answer.or_else(|trouble| match rule.on_error.remedy(trouble) {
            Remedy::Error(status) => Err(Stop::Refuse(index, trouble, status)),
            Remedy::Skip | Remedy::Pass => {
                self.notes.push(Note::Passed(index, trouble));
                Ok(false)
            }
        })
    }

    /// Carries out an operation, or leaves it for the body. What is wrong with it is the inner result.
    fn operation(
        &mut self,
        index: usize,
        rule: &'a Rule,
        op: usize,
        operation: &'a Op,
    ) -> Result<Result<(), Trouble>, Stop> {
        if operation.is_in_body() {
            return self.gather(index, rule, op, operation);
        }
        if self.body == Body::Never && operation.sees_body() {
            return Ok(Ok(()));
        }
        if self.reads {
            self.flush()?;
        }
        Ok(self.on_head(rule, operation))
    }

    /// An operation on the head alone.
    fn on_head(&mut self, rule: &'a Rule, operation: &'a Op) -> Result<(), Trouble> {
        match operation {
            Op::Write { how, to, value, attributes } => {
                if *how == How::Add && self.draft.has(to) {
                    return Ok(());
                }
                let value = self.render(rule, value)?;
                match how {
                    How::Append => self.draft.append(to, value),
                    How::Set | How::Add => self.draft.set(to, vec![value], attributes.as_deref()),
                }
            }
            Op::WritePath(path) => {
                let with_body = path.templates().any(|template| template.needs().body);
                self.check_body(with_body)?;
                let known = self.known;
                let path =
                    path.render(&|| known.scope(rule, with_body), &|name| known.capture(rule, name))?;
                self.draft.set_path(&path)
            }
            Op::Remove(place) => {
                // Whether it was there is known only where somebody wants to know.
                let missing = self.known.head().is_some() && !self.draft.has(place);
                if missing { Err(Trouble::Missing) } else { self.draft.remove(place) }
            }
            Op::Rename(from, to) => self.draft.rename(from, to),
            Op::KeepHeaders(names) => self.draft.keep_headers(names),
            Op::KeepQuery(names) => self.draft.keep_query(names),
            Op::KeepCookies(names) => self.draft.keep_cookies(names),
            Op::Transfer { from, to, take } => {
                let values = self.head_values(rule, from);
                if values.is_empty() {
                    return Err(Trouble::Missing);
                }
                self.draft.set(to, values.into_iter().map(Cow::Owned).collect(), None)?;
                if *take { self.draft.remove(from) } else { Ok(()) }
            }
            Op::WriteBody { .. } | Op::RenameJson(..) | Op::KeepJson { .. } => Ok(()),
        }
    }

    /// An operation on the body: takes what it needs from the head, and is gathered with others.
    fn gather(
        &mut self,
        index: usize,
        rule: &'a Rule,
        op: usize,
        operation: &'a Op,
    ) -> Result<Result<(), Trouble>, Stop> {
        if matches!(self.body, Body::Foreign | Body::Never)
            || (operation.needs_json() && !self.is_json && self.body != Body::Absent)
        {
            return Ok(Ok(()));
        }
        match self.body {
            Body::Absent => return Ok(Err(Trouble::Missing)),
            Body::Unusable(trouble) => return Ok(Err(trouble)),
            _ => {}
        }
        if self.reads && matches!(operation, Op::Transfer { from, .. } if !from.in_body()) {
            self.flush()?;
        }
        let value = match self.value_of(rule, operation) {
            Ok(value) => value,
            Err(trouble) => return Ok(Err(trouble)),
        };
        self.steps.push(Step { rule: index, op, value, take: false });
        if self.body == Body::Later {
            // The head can't wait for what becomes of it.
            return Ok(self.done(operation));
        }
        self.reads |= operation.touches_head();
        let is_move_out = matches!(operation, Op::Transfer { to, take: true, .. } if !to.in_body());
        if is_move_out || matches!(operation, Op::WriteBody { .. }) {
            self.flush()?;
        }
        Ok(Ok(()))
    }

    /// What an operation writes into the body, if that is known already and not always the same.
    fn value_of(&self, rule: &'a Rule, operation: &'a Op) -> Result<Option<Vec<u8>>, Trouble> {
        match operation {
            Op::Write { value: Text::Literal(_), .. } => Ok(None),
            Op::WriteBody { value: Text::Literal(text), .. } => {
                self.check_text(operation, text).map(|()| None)
            }
            Op::Write { .. } | Op::WriteBody { .. } if operation.sees_body() && self.body == Body::Later => {
                Ok(None)
            }
            Op::Write { value, .. } => self.render(rule, value).map(|value| Some(value.into_owned())),
            Op::WriteBody { value, .. } => {
                let text = self.render(rule, value)?;
                self.check_text(operation, &text)?;
                Ok(Some(text.into_owned()))
            }
            Op::Transfer { from, to, .. } if !from.in_body() => {
                let values = self.head_values(rule, from);
                match (to, values.as_slice()) {
                    (_, []) => Err(Trouble::Missing),
                    (Place::Json(_), [one]) => Ok(Some(Raw::string(one).into_bytes().into_owned())),
                    (Place::Json(_), several) => Ok(Some(edits::array(several))),
                    (_, [one]) => self.check_text(operation, one).map(|()| Some(one.clone())),
                    (_, _) => Err(Trouble::WrongType),
                }
            }
            _ => Ok(None),
        }
    }

    /// Checks what an operation makes of a whole body.
    pub(crate) fn check_text(&self, operation: &Op, text: &[u8]) -> Result<(), Trouble> {
        match operation {
            _ if text.len() > self.limit => Err(Trouble::OverLimit),
            Op::WriteBody { value: Text::Template(_), is_json: true, .. }
                if meshgate_json::validate(text, &Limits::default()).is_err() =>
            {
                Err(Trouble::Template)
            }
            _ => Ok(()),
        }
    }

    /// What an operation on the body does to the head once it is done: what was moved is gone, what was written has a type.
    pub(crate) fn done(&mut self, operation: &'a Op) -> Result<(), Trouble> {
        match operation {
            Op::WriteBody { content_type, is_json, .. } => {
                self.draft.set_field(&CONTENT_TYPE, content_type.clone());
                self.is_json = *is_json;
                Ok(())
            }
            Op::Transfer { from, take: true, .. } if !from.in_body() => self.draft.remove(from),
            _ => Ok(()),
        }
    }

    pub(crate) fn render(&self, rule: &'a Rule, value: &'a Text) -> Result<Cow<'a, [u8]>, Trouble> {
        let with_body = value.template().is_some_and(|template| template.needs().body);
        self.check_body(with_body)?;
        let scope = || -> Scope { self.known.scope(rule, with_body) };
        value.render(&scope, self.limit)
    }

    /// Checks that templates can see a body that they ask for.
    fn check_body(&self, needed: bool) -> Result<(), Trouble> {
        match (&self.known.body, &self.body) {
            _ if !needed => Ok(()),
            (Some(_), _) => Ok(()),
            (None, Body::Unusable(trouble)) => Err(*trouble),
            (None, _) => Err(Trouble::Missing),
        }
    }

    fn head_values(&self, rule: &Rule, place: &Place) -> Vec<Vec<u8>> {
        match place {
            Place::Capture(name) => self.known.capture(rule, name).into_iter().collect(),
            place => self.draft.values(place),
        }
    }

    /// What a rule does about trouble.
    pub(crate) fn trouble(&mut self, rule: usize, trouble: Trouble) -> Result<(), Stop> {
        let remedy = self.rules.get(rule).map_or(Remedy::Error(None), |rule| rule.on_error.remedy(trouble));
        match remedy {
            Remedy::Skip => {
                if trouble != Trouble::Missing || self.known.in_detail {
                    self.notes.push(Note::Skipped(rule, trouble));
                }
                Ok(())
            }
            Remedy::Pass => {
                self.notes.push(Note::Passed(rule, trouble));
                Err(Stop::Without(rule))
            }
            Remedy::Error(status) => Err(Stop::Refuse(rule, trouble, status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn debug_shows_no_content() {
        let body = Body::Here(Cow::Borrowed(b"secret"));
        let step = Step { rule: 0, op: 1, value: Some(b"secret".to_vec()), take: false };
        let mut known = Known::new(meshgate_policy::host::Side::Request, None, None);
        known.body = Some(b"secret");
        let run = Run { steps: vec![step], ..Run::new(&[], &known, body, true, 10) };
        let shown = format!("{run:?}");
        assert!(!shown.contains("secret") && !shown.contains("115"), "{shown}");
        assert!(shown.contains("Here(6 bytes)"), "{shown}");
    }
}
