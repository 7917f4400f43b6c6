//! What a run has gathered for the body, carried out.

use std::borrow::Cow;

use meshgate_json::{Edit, Limits, Node, Outcome, Raw, edit};

use crate::edits;
use crate::place::Place;
use crate::rule::Op;
use crate::run::{Body, Run, Step, Stop};
use crate::trouble::Trouble;

impl<'a> Run<'a> {
    /// Carries out what was gathered.
    pub(crate) fn flush(&mut self) -> Result<(), Stop> {
        self.reads = false;
        if self.body == Body::Never {
            self.steps.clear();
        }
        while !self.steps.is_empty() {
            let steps = std::mem::take(&mut self.steps);
            let mut left = steps.as_slice();
            while let Some(first) = left.first() {
                let together = left.iter().take_while(|step| self.is_edit(step)).count();
                let (now, later) = left.split_at_checked(together.max(1)).unwrap_or((left, &[]));
                left = later;
                if together > 0 {
                    self.edit(now)?;
                } else if let Err(trouble) = self.replace(first) {
                    self.trouble(first.rule, trouble)?;
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
        let values: Vec<Result<Option<Raw<'_>>, Trouble>> = steps.iter().map(|step| self.raw(step)).collect();
        let prepared: Vec<Result<Edit<'_>, Trouble>> = steps
            .iter()
            .zip(&values)
            .map(|(step, value)| {
                let value = value.as_ref().map_err(|trouble| *trouble)?.as_ref();
                let operation = self.operation_of(step).ok_or(Trouble::Missing)?;
                edits::edit_of(operation, step.take, value).ok_or(Trouble::Template)
            })
            .collect();
        let edits: Vec<Edit<'_>> = prepared.iter().flatten().cloned().collect();
        let limits = Limits { output: self.limit, ..Limits::default() };
        let (new, outcomes) = match edit(&text, &edits, &limits) {
            Ok(edited) => {
                let outcomes: Vec<_> = edited.outcomes.into_iter().map(found).collect();
                let changed = match edited.text {
                    Cow::Owned(changed) => Some(changed),
                    Cow::Borrowed(_) => None,
                };
                (changed, outcomes)
            }
            Err(error) => (None, vec![Err(edits::trouble_of(&error)); edits.len()]),
        };
        let mut outcomes = outcomes.into_iter();
        let results: Vec<Result<Option<Vec<Vec<u8>>>, Trouble>> = prepared
            .iter()
            .map(|prepared| match prepared {
                Ok(_) => outcomes.next().unwrap_or(Ok(None)),
                Err(trouble) => Err(*trouble),
            })
            .collect();
        self.changed |= new.is_some();
        self.body = Body::Here(new.map_or(text, Cow::Owned));
        for (step, result) in steps.iter().zip(results) {
            let result = result.and_then(|values| match values {
                Some(values) => self.take_out(step, values),
                None => self.operation_of(step).map_or(Ok(()), |operation| self.done(operation)),
            });
            if let Err(trouble) = result {
                self.trouble(step.rule, trouble)?;
            }
        }
        Ok(())
    }

    /// What was found in the body is written to its place in the head, and removed where it was if it is to be.
    fn take_out(&mut self, step: &Step, values: Vec<Vec<u8>>) -> Result<(), Trouble> {
        let Some(Op::Transfer { to, take, .. }) = self.operation_of(step) else { return Ok(()) };
        self.draft.set(to, values.into_iter().map(Cow::Owned).collect(), None)?;
        if *take {
            self.steps.push(Step { take: true, ..step.clone() });
        }
        Ok(())
    }

    /// An operation on the whole body.
    fn replace(&mut self, step: &Step) -> Result<(), Trouble> {
        let Some(operation) = self.operation_of(step) else { return Ok(()) };
        let text = match operation {
            Op::WriteBody { .. } => self.value(step)?.map(Cow::into_owned).ok_or(Trouble::Missing)?,
            Op::Transfer { from: Place::Json(path), to: Place::Body, .. } => {
                let limits = Limits::default();
                let wrong = |error| edits::trouble_of(&error);
                let root = Node::parse(self.text()?, &limits).map_err(wrong)?;
                match root.at(path, &limits).map_err(wrong)?.as_slice() {
                    [] => return Err(Trouble::Missing),
                    [one] => one.text().to_vec(),
                    _ => return Err(Trouble::WrongType),
                }
            }
            Op::Transfer { to: Place::Body, .. } => step.value.clone().ok_or(Trouble::Missing)?,
            Op::Transfer { to, .. } => {
                let text = self.text()?.to_vec();
                return self.draft.set(to, vec![Cow::Owned(text)], None);
            }
            _ => return Ok(()),
        };
        if matches!(&self.body, Body::Here(empty) if empty.is_empty()) {
            return Err(Trouble::Missing);
        }
        // What was known before was checked then.
        if step.value.is_none() {
            self.check_text(operation, &text)?;
        }
        self.changed |= !matches!(&self.body, Body::Here(old) if **old == text);
        self.body = Body::Here(Cow::Owned(text));
        self.done(operation)
    }

    /// What replaces the body, where none of the steps reads it.
    pub fn replacement(&self, steps: &[Step]) -> Option<Vec<u8>> {
        let step = steps.last()?;
        self.value(step).ok().flatten().map(Cow::into_owned)
    }

    /// The body as text.
    fn text(&self) -> Result<&[u8], Trouble> {
        match &self.body {
            Body::Here(text) if !text.is_empty() => Ok(text),
            Body::Unusable(trouble) => Err(*trouble),
            _ => Err(Trouble::Missing),
        }
    }

    /// What a step writes, as a JSON value; `None` for those that write nothing of their own.
    fn raw<'s>(&self, step: &'s Step) -> Result<Option<Raw<'s>>, Trouble>
    where
        'a: 's,
    {
        let value = self.value(step)?;
        value.map(Raw::new).transpose().map_err(|_| Trouble::Template)
    }

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
}

/// What an edit found for the head, or what is wrong with it.
fn found(outcome: Outcome<'_>) -> Result<Option<Vec<Vec<u8>>>, Trouble> {
    match outcome {
        Outcome::Done(_) => Ok(None),
        Outcome::Missing => Err(Trouble::Missing),
        Outcome::WrongType | Outcome::Ambiguous(_) => Err(Trouble::WrongType),
        Outcome::Got(values) => {
            values.iter().map(edits::plain).collect::<Option<_>>().map(Some).ok_or(Trouble::Missing)
        }
    }
}
