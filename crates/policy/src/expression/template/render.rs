//! Renders a template.

use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Object, ValueKind};

use super::super::body::with_numbers;
use super::super::scope::Locals;
use super::super::{Scope, print, text};
use super::sink::{Sink, emit, problem_of};
use super::{Compiled, Loop, MAX_STEPS, Piece, Problem, TemplateError};

/// A template's text in its sink.
pub(super) fn render(
    pieces: &[Piece],
    sink: Sink,
    scope: &Scope,
    limit: usize,
) -> Result<Vec<u8>, TemplateError> {
    let mut render = Render::new(sink, scope, limit);
    render.pieces(pieces)?;
    Ok(render.out)
}

/// A template's result as a JSON value.
pub(super) fn value(pieces: &[Piece], scope: &Scope, limit: usize) -> Result<Vec<u8>, TemplateError> {
    let mut json = Vec::new();
    if let [Piece::Emit { value, .. }] = pieces {
        let mut render = Render::new(Sink::Json, scope, limit);
        let result = render.eval(value)?;
        print::json(&result, &mut json, limit).map_err(|error| value.failed(problem_of(error)))?;
    } else {
        let rendered = render(pieces, Sink::Text, scope, limit)?;
        json.push(b'"');
        print::json_string(&text::from_bytes(&rendered), &mut json);
        json.push(b'"');
        if json.len() > limit {
            return Err(TemplateError { problem: Problem::TooLong, place: None });
        }
    }
    Ok(json)
}

struct Render<'a> {
    sink: Sink,
    scope: &'a Scope,
    limit: usize,
    out: Vec<u8>,
    steps: usize,
    locals: Locals,
    /// What expressions see, with numbers as their texts and as numbers, until a variable changes.
    exact: Option<Value>,
    numbers: Option<Value>,
}

impl<'a> Render<'a> {
    fn new(sink: Sink, scope: &'a Scope, limit: usize) -> Self {
        Self {
            sink,
            scope,
            limit,
            out: Vec::new(),
            steps: 0,
            locals: Locals::new(),
            exact: None,
            numbers: None,
        }
    }

    fn pieces(&mut self, pieces: &[Piece]) -> Result<(), TemplateError> {
        pieces.iter().try_for_each(|piece| self.piece(piece))
    }

    fn piece(&mut self, piece: &Piece) -> Result<(), TemplateError> {
        self.steps = self.steps.saturating_add(1);
        if self.steps > MAX_STEPS {
            return Err(TemplateError { problem: Problem::TooManySteps, place: None });
        }
        match piece {
            Piece::Text(text) => {
                self.out.extend_from_slice(text.as_bytes());
                if self.out.len() > self.limit {
                    return Err(TemplateError { problem: Problem::TooLong, place: None });
                }
                Ok(())
            }
            Piece::Emit { value, in_string } => {
                let result = self.eval(value)?;
                emit(self.sink, *in_string, &result, &mut self.out, self.limit)
                    .map_err(|problem| value.failed(problem))
            }
            Piece::If { branches, otherwise } => {
                for (condition, pieces) in branches {
                    if self.eval(condition)?.is_true() {
                        return self.pieces(pieces);
                    }
                }
                self.pieces(otherwise)
            }
            Piece::For(looped) => self.looped(looped),
            Piece::Set { name, value } => {
                let result = self.eval(value)?;
                if result.as_str().is_some_and(|text| text.len() > self.limit) {
                    return Err(value.failed(Problem::TooLong));
                }
                self.set(name, result);
                Ok(())
            }
        }
    }

    fn looped(&mut self, looped: &Loop) -> Result<(), TemplateError> {
        let outside = self.locals.len();
        let items = self.items(looped)?;
        if items.is_empty() {
            return self.pieces(&looped.otherwise);
        }
        let length = items.len();
        for (index, item) in items.into_iter().enumerate() {
            self.name_parts(looped, item)?;
            if let Some(name) = &looped.round {
                self.set(name, Value::from_object(Round { index, length }));
            }
            self.pieces(&looped.body)?;
            self.forget(outside);
        }
        Ok(())
    }

    /// What a loop goes through.
    fn items(&mut self, looped: &Loop) -> Result<Vec<Value>, TemplateError> {
        let outside = self.locals.len();
        let list = self.eval(&looped.list)?;
        let failed = |problem| looped.list.failed(problem);
        // Nothing is an empty list: what is not there has no items.
        if matches!(list.kind(), ValueKind::Undefined | ValueKind::None) {
            return Ok(Vec::new());
        }
        let mut items = Vec::new();
        for item in list.try_iter().map_err(|error| failed(problem_of(error)))?.checked() {
            let item = item.map_err(|error| failed(problem_of(error)))?;
            self.steps = self.steps.saturating_add(1);
            if self.steps > MAX_STEPS {
                return Err(failed(Problem::TooManySteps));
            }
            if let Some(filter) = &looped.filter {
                self.name_parts(looped, item.clone())?;
                let wanted = self.eval(filter)?.is_true();
                self.forget(outside);
                if !wanted {
                    continue;
                }
            }
            items.push(item);
        }
        Ok(items)
    }

    /// Gives an item its name, or its parts theirs.
    fn name_parts(&mut self, looped: &Loop, item: Value) -> Result<(), TemplateError> {
        if let [name] = looped.names.as_slice() {
            self.set(name, item);
            return Ok(());
        }
        let failed = |problem| looped.list.failed(problem);
        let parts: Result<Vec<_>, _> = item.try_iter().and_then(|parts| parts.checked().take(9).collect());
        let parts = parts.map_err(|error| failed(problem_of(error)))?;
        if parts.len() != looped.names.len() {
            return Err(failed(Problem::NoAnswer(minijinja::ErrorKind::CannotUnpack)));
        }
        for (name, part) in looped.names.iter().zip(parts) {
            self.set(name, part);
        }
        Ok(())
    }

    fn eval(&mut self, compiled: &Compiled) -> Result<Value, TemplateError> {
        let cached = if compiled.exact { &mut self.exact } else { &mut self.numbers };
        let (scope, locals) = (self.scope, &self.locals);
        let root = cached.get_or_insert_with(|| scope.with_locals(locals.clone(), compiled.exact)).clone();
        let value = compiled.expression.eval(root).map_err(|error| compiled.failed(problem_of(error)))?;
        Ok(value)
    }

    fn set(&mut self, name: &Arc<str>, value: Value) {
        self.locals.push((Arc::clone(name), with_numbers(value, true)));
        (self.exact, self.numbers) = (None, None);
    }

    fn forget(&mut self, outside: usize) {
        if self.locals.len() > outside {
            self.locals.truncate(outside);
            (self.exact, self.numbers) = (None, None);
        }
    }
}

impl Compiled {
    fn failed(&self, problem: Problem) -> TemplateError {
        TemplateError { problem, place: Some(self.place) }
    }
}

/// `loop`
#[derive(Debug)]
struct Round {
    index: usize,
    length: usize,
}

impl Object for Round {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let next = self.index.saturating_add(1);
        match key.as_str()? {
            "index" => Some(Value::from(next)),
            "index0" => Some(Value::from(self.index)),
            "first" => Some(Value::from(self.index == 0)),
            "last" => Some(Value::from(next == self.length)),
            "length" => Some(Value::from(self.length)),
            _ => None,
        }
    }
}
