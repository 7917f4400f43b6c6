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

use meshgate_json::{Action, Edit, JsonError, Limits, Node, Outcome, Raw, edit};
use meshgate_policy::expression::Scope;
use meshgate_policy::headers::HeaderName;

use crate::head::Draft;
use crate::known::Known;
use crate::place::Place;
use crate::rule::{How, Op, Rule};
use crate::text::Text;
use crate::trouble::{Remedy, Trouble};

static CONTENT_TYPE: HeaderName = HeaderName::constant("content-type");

/// What is at hand of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// There is none: operations miss it.
    Absent,
    /// It is nothing that rules look into: operations leave it alone.
    Foreign,
    /// It can't be read.
    Unusable(Trouble),
    /// It is still to come.
    Later,
    /// Here it is, decoded.
    Here(Cow<'a, [u8]>),
}

/// An operation on a body, with what it takes from the head.
#[derive(Clone, Debug)]
pub struct Step {
    rule: usize,
    op: usize,
    value: Option<Vec<u8>>,
    /// The second half of a move out of the body.
    take: bool,
}

/// Why a run ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It has to begin again, without this rule.
    Without(usize),
    /// The client is answered.
    Refuse(Trouble, Option<u16>),
}

/// What happened on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// An operation was left out.
    Skipped(Trouble),
    /// A rule was left out.
    Passed(Trouble),
}

/// A way through the rules.
#[derive(Debug)]
pub struct Run<'a> {
    rules: &'a [Rule],
    known: &'a Known<'a>,
    /// The head.
    pub draft: Draft<'a>,
    /// The body.
    pub body: Body<'a>,
    /// Whether the body is JSON, so that its places can be found.
    pub is_json: bool,
    /// Whether the body is another than the one that arrived.
    pub changed: bool,
    /// The largest body that is made.
    limit: usize,
    steps: Vec<Step>,
    /// Whether a step writes to the head.
    reads: bool,
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
        let mut asked: Vec<(usize, bool)> = Vec::new();
        for step in steps.iter().filter(|step| !without.contains(&step.rule)) {
            let Some(rule) = self.rules.get(step.rule) else { continue };
            let holds = match asked.iter().find(|(index, _)| *index == step.rule) {
                Some((_, holds)) => *holds,
                None => {
                    let holds = self.rule_holds(step.rule, rule)?;
                    asked.push((step.rule, holds));
                    holds
                }
            };
            if holds {
                self.steps.push(step.clone());
            }
        }
        self.flush()
    }

    /// Whether the condition of a rule holds that asks for the body; all others are answered already.
    fn rule_holds(&mut self, index: usize, rule: &Rule) -> Result<bool, Stop> {
        if !rule.when.as_ref().is_some_and(|when| when.needs_body()) {
            return Ok(true);
        }
        let answer = match &self.body {
            // It is asked again when the body is there.
            Body::Later => return Ok(true),
            Body::Absent | Body::Foreign => return Ok(false),
            Body::Here(_) if !self.is_json => return Ok(false),
            Body::Here(_) => self.known.holds(rule),
            Body::Unusable(trouble) => Err(*trouble),
        };
        match answer {
            Ok(holds) => Ok(holds),
            // A rule of which nobody knows whether it holds is left out, or the client is answered.
            Err(trouble) => match rule.on_error.remedy(trouble) {
                Remedy::Error(status) => Err(Stop::Refuse(trouble, status)),
                Remedy::Skip | Remedy::Pass => {
                    let _ = index;
                    self.notes.push(Note::Passed(trouble));
                    Ok(false)
                }
            },
        }
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
                let with_body = path.templates().any(|template| template.needs_body());
                self.check_body(with_body)?;
                let known = self.known;
                let path = path
                    .render(&|| known.scope(rule, with_body), &|name| known.capture(rule, name))?;
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
        if self.body == Body::Foreign || (operation.needs_json() && !self.is_json && self.body != Body::Absent) {
            return Ok(Ok(()));
        }
        if self.body == Body::Absent {
            return Ok(Err(Trouble::Missing));
        }
        let mut take_from = None;
        let value = match operation {
            Op::Write { value: Text::Literal(_), .. } | Op::WriteBody { value: Text::Literal(_), .. } => None,
            Op::Write { value, .. } | Op::WriteBody { value, .. } => {
                let needs_body = value.template().is_some_and(|template| template.needs_body());
                if needs_body && self.body == Body::Later {
                    None
                } else {
                    match self.render(rule, value) {
                        Ok(value) => Some(value.into_owned()),
                        Err(trouble) => return Ok(Err(trouble)),
                    }
                }
            }
            Op::Transfer { from, to, take } if !from.in_body() => {
                if self.reads {
                    self.flush()?;
                }
                let values = self.head_values(rule, from);
                let value = match (to, values.as_slice()) {
                    (_, []) => return Ok(Err(Trouble::Missing)),
                    (Place::Json(_), [one]) => Raw::string(one).into_bytes().into_owned(),
                    (Place::Json(_), several) => array(several),
                    (_, [one]) => one.clone(),
                    (_, _) => return Ok(Err(Trouble::WrongType)),
                };
                take_from = take.then_some(from);
                Some(value)
            }
            _ => None,
        };
        if let Op::WriteBody { content_type, is_json, .. } = operation {
            self.draft.set_field(&CONTENT_TYPE, content_type.clone());
            self.is_json = *is_json;
        }
        self.steps.push(Step { rule: index, op, value, take: false });
        if let Op::Transfer { from, to, take } = operation
            && from.in_body()
            && !to.in_body()
        {
            self.reads = true;
            if *take {
                self.flush()?;
            }
        }
        Ok(take_from.map_or(Ok(()), |from| self.draft.remove(from)))
    }

    /// Carries out what was gathered.
    fn flush(&mut self) -> Result<(), Stop> {
        self.reads = false;
        while !self.steps.is_empty() {
            let steps = std::mem::take(&mut self.steps);
            let mut left = steps.as_slice();
            while let Some(first) = left.first() {
                let together = left.iter().take_while(|step| self.is_edit(step)).count();
                let (now, later) = left.split_at_checked(together.max(1)).unwrap_or((left, &[]));
                left = later;
                if together == 0 {
                    if let Err(trouble) = self.replace(first) {
                        self.trouble(first.rule, trouble)?;
                    }
                } else {
                    self.edit(now)?;
                }
            }
        }
        Ok(())
    }

    /// Several operations on a JSON body, in one scan of it.
    fn edit(&mut self, steps: &[Step]) -> Result<(), Stop> {
        let text = match std::mem::replace(&mut self.body, Body::Absent) {
            Body::Here(text) if !text.is_empty() => text,
            other => {
                let trouble = match other {
                    Body::Unusable(trouble) => trouble,
                    _ => Trouble::Missing,
                };
                self.body = other;
                return steps.iter().try_for_each(|step| self.trouble(step.rule, trouble));
            }
        };
        let values: Vec<Result<Option<Raw<'_>>, Trouble>> = steps
            .iter()
            .map(|step| match self.value(step)? {
                Some(value) => Raw::new(value).map(Some).map_err(|_| Trouble::Template),
                None => Ok(None),
            })
            .collect();
        let mut edits = Vec::with_capacity(steps.len());
        let mut places = Vec::with_capacity(steps.len());
        for (place, (step, value)) in steps.iter().zip(&values).enumerate() {
            let edit = match value {
                Ok(value) => self.operation_of(step).and_then(|operation| edit_of(operation, step, value.as_ref())),
                Err(_) => None,
            };
            if let Some(edit) = edit {
                edits.push(edit);
                places.push(place);
            }
        }
        let limits = Limits { output: self.limit, ..Limits::default() };
        // The outcomes, in the order of the steps.
        let mut troubles: Vec<Option<Trouble>> =
            values.iter().map(|value| value.as_ref().err().copied()).collect();
        let mut found: Vec<(usize, Vec<Vec<u8>>)> = Vec::new();
        let edited = match edit(&text, &edits, &limits) {
            Ok(edited) => {
                for (outcome, &place) in edited.outcomes.iter().zip(&places) {
                    let trouble = match outcome {
                        Outcome::Done(_) => None,
                        Outcome::Missing => Some(Trouble::Missing),
                        Outcome::WrongType | Outcome::Ambiguous(_) => Some(Trouble::WrongType),
                        Outcome::Got(values) => match values.iter().map(plain).collect::<Option<Vec<_>>>() {
                            Some(values) => {
                                found.push((place, values));
                                None
                            }
                            None => Some(Trouble::Missing),
                        },
                    };
                    if let Some(slot) = troubles.get_mut(place) {
                        *slot = trouble;
                    }
                }
                match edited.text {
                    // Values may have been replaced by themselves.
                    Cow::Owned(new) if new != *text => Some(new),
                    Cow::Owned(_) | Cow::Borrowed(_) => None,
                }
            }
            Err(error) => {
                let trouble = trouble_of(&error);
                for place in places {
                    if let Some(slot) = troubles.get_mut(place) {
                        *slot = Some(trouble);
                    }
                }
                None
            }
        };
        self.changed |= edited.is_some();
        self.body = Body::Here(edited.map_or(text, Cow::Owned));
        for (place, step) in steps.iter().enumerate() {
            let got = found.iter().find(|(at, _)| *at == place).map(|(_, values)| values);
            let trouble = match (troubles.get(place).copied().flatten(), got) {
                (Some(trouble), _) => Some(trouble),
                (None, Some(values)) => self.take_out(step, values).err(),
                (None, None) => None,
            };
            if let Some(trouble) = trouble {
                self.trouble(step.rule, trouble)?;
            }
        }
        Ok(())
    }

    /// What was found in the body is written to its place, and removed where it was if it is to be.
    fn take_out(&mut self, step: &Step, values: &[Vec<u8>]) -> Result<(), Trouble> {
        match self.operation_of(step) {
            Some(Op::Transfer { to: Place::Body, .. }) => {
                // The text of the one value, as JSON.
                Err(Trouble::WrongType)
            }
            Some(Op::Transfer { to, take, .. }) => {
                if values.is_empty() {
                    return Err(Trouble::Missing);
                }
                self.draft.set(to, values.iter().cloned().map(Cow::Owned).collect(), None)?;
                if *take {
                    self.steps.push(Step { take: true, ..step.clone() });
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// An operation on the whole body.
    fn replace(&mut self, step: &Step) -> Result<(), Trouble> {
        let Some(operation) = self.operation_of(step) else { return Ok(()) };
        let text = match operation {
            Op::WriteBody { .. } | Op::Transfer { to: Place::Body, .. } => {
                if let Op::Transfer { from: Place::Json(path), .. } = operation {
                    let limits = Limits::default();
                    let root = Node::parse(self.text()?, &limits).map_err(|error| trouble_of(&error))?;
                    match root.at(path, &limits).map_err(|error| trouble_of(&error))?.as_slice() {
                        [] => return Err(Trouble::Missing),
                        [one] => one.text().to_vec(),
                        _ => return Err(Trouble::WrongType),
                    }
                } else {
                    self.value(step)?.map(Cow::into_owned).ok_or(Trouble::Missing)?
                }
            }
            Op::Transfer { to, .. } => {
                let text = self.text()?.to_vec();
                return self.draft.set(to, vec![Cow::Owned(text)], None);
            }
            _ => return Ok(()),
        };
        if matches!(&self.body, Body::Here(empty) if empty.is_empty()) {
            return Err(Trouble::Missing);
        }
        if text.len() > self.limit {
            return Err(Trouble::OverLimit);
        }
        self.changed |= !matches!(&self.body, Body::Here(old) if **old == text);
        self.body = Body::Here(Cow::Owned(text));
        Ok(())
    }

    /// The body as text.
    fn text(&self) -> Result<&[u8], Trouble> {
        match &self.body {
            Body::Here(text) if !text.is_empty() => Ok(text),
            Body::Unusable(trouble) => Err(*trouble),
            _ => Err(Trouble::Missing),
        }
    }

    /// What a step writes; `None` for those that write nothing of their own.
    fn value<'s>(&self, step: &'s Step) -> Result<Option<Cow<'s, [u8]>>, Trouble>
    where
        'a: 's,
    {
        if let Some(value) = &step.value {
            return Ok(Some(Cow::Borrowed(value)));
        }
        let Some(rule) = self.rules.get(step.rule) else { return Ok(None) };
        match self.operation_of(step) {
            Some(Op::Write { value, .. } | Op::WriteBody { value, .. }) => self.render(rule, value).map(Some),
            _ => Ok(None),
        }
    }

    fn operation_of(&self, step: &Step) -> Option<&'a Op> {
        self.rules.get(step.rule).and_then(|rule| rule.plan(self.known.side).ops.get(step.op))
    }

    /// Whether a step is one of those that are carried out together.
    fn is_edit(&self, step: &Step) -> bool {
        self.operation_of(step).is_some_and(|operation| match operation {
            Op::Write { to: Place::Json(_), .. }
            | Op::Remove(Place::Json(_))
            | Op::RenameJson(..)
            | Op::KeepJson { .. }
            | Op::Transfer { to: Place::Json(_), .. } => true,
            Op::Transfer { from: Place::Json(_), to, .. } => !matches!(to, Place::Body),
            _ => false,
        })
    }

    fn render(&self, rule: &'a Rule, value: &'a Text) -> Result<Cow<'a, [u8]>, Trouble> {
        let with_body = value.template().is_some_and(|template| template.needs_body());
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
    fn trouble(&mut self, rule: usize, trouble: Trouble) -> Result<(), Stop> {
        let remedy = self.rules.get(rule).map_or(Remedy::Error(None), |rule| rule.on_error.remedy(trouble));
        match remedy {
            Remedy::Skip => {
                if trouble != Trouble::Missing {
                    self.notes.push(Note::Skipped(trouble));
                }
                Ok(())
            }
            Remedy::Pass => {
                self.notes.push(Note::Passed(trouble));
                Err(Stop::Without(rule))
            }
            Remedy::Error(status) => Err(Stop::Refuse(trouble, status)),
        }
    }
}

/// The edit that an operation is.
fn edit_of<'s>(operation: &'s Op, step: &Step, value: Option<&'s Raw<'s>>) -> Option<Edit<'s>> {
    let raw = || value.map(Raw::by_ref);
    Some(match operation {
        Op::Write { how, to: Place::Json(path), .. } => {
            let value = raw()?;
            let action = match how {
                How::Set => Action::Set(value),
                How::Add => Action::Add(value),
                How::Append => Action::Append(value),
            };
            Edit { path, action }
        }
        Op::Remove(Place::Json(path)) => Edit { path, action: Action::Remove },
        Op::RenameJson(path, name) => Edit { path, action: Action::Rename(name) },
        Op::KeepJson { root, kept } => Edit { path: root, action: Action::Keep(kept) },
        Op::Transfer { from: Place::Json(path), .. } if step.take => Edit { path, action: Action::Remove },
        Op::Transfer { from: Place::Json(from), to: Place::Json(path), take } => {
            Edit { path, action: if *take { Action::Move { from } } else { Action::Copy { from } } }
        }
        Op::Transfer { from: Place::Json(path), .. } => Edit { path, action: Action::Get },
        Op::Transfer { to: Place::Json(path), .. } => Edit { path, action: Action::Set(raw()?) },
        _ => return None,
    })
}

/// What a JSON value is in a header or a parameter: of a string its text, of all else its JSON. `null` is nothing.
fn plain(value: &Raw<'_>) -> Option<Vec<u8>> {
    match value.as_bytes() {
        b"null" => None,
        text if text.starts_with(b"\"") => {
            let node = Node::parse(text, &Limits::default()).ok()?;
            node.string().map(Cow::into_owned)
        }
        text => Some(text.to_vec()),
    }
}

/// An array of strings.
fn array(values: &[Vec<u8>]) -> Vec<u8> {
    let items: Vec<Vec<u8>> =
        values.iter().map(|value| Raw::string(value).into_bytes().into_owned()).collect();
    [b"[".as_slice(), &items.join(&b','), b"]"].concat()
}

fn trouble_of(error: &JsonError) -> Trouble {
    log::debug!("{error}");
    match error.kind {
        meshgate_json::ErrorKind::TooLarge | meshgate_json::ErrorKind::TooManyMatches => Trouble::OverLimit,
        _ => Trouble::InvalidJson,
    }
}
