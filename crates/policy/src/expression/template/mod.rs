//! Templates: `/v2/users/{{ path.id }}`, for values and for whole bodies.
//!
//! Text with tags of Jinja. What a tag writes is escaped for the place that the text goes to, its [`Sink`], always: there is
//! no way to switch that off, and none is needed, because what a value may hold a client may choose.
//!
//! | tag | |
//! | --- | --- |
//! | `{{ expression }}` | writes a value |
//! | `{% if a %}...{% elif b %}...{% else %}...{% endif %}` | one of several |
//! | `{% for x in list %}...{% else %}...{% endfor %}` | once for each item, or, where there are none, the other |
//! | `{% for key, value in map\|items if value %}...{% endfor %}` | with two names, and for some items only |
//! | `{% set x = expression %}` | a variable, to the end of the loop that it is in |
//! | `{% raw %}{{ not a tag }}{% endraw %}` | text as it is |
//! | `{# comment #}` | nothing |
//!
//! A `-` inside a tag's bracket removes the white space on that side: `{{- x -}}`. In a loop there are `loop.index` (from 1),
//! `loop.index0`, `loop.first`, `loop.last` and `loop.length`. One line break at the end of a template is not part of it.
//! What expressions can do is said in [`expression`](super).
//!
//! # Numbers
//! Numbers of a JSON body are written as they stand there: `1.10` stays `1.10`, and integers keep all their digits. Where an
//! expression compares or computes, they are numbers.
//!
//! # Limits
//! A template has at most [`MAX_SOURCE`] bytes and nests at most [`MAX_NESTING`] blocks. Rendering ends with an error at
//! [`MAX_STEPS`] tags and texts, and where the result would be longer than a limit that the caller sets. Nothing here panics.

mod parse;
mod render;
mod sink;

use std::fmt;
use std::sync::Arc;

use minijinja::{ErrorKind, Expression};

use self::parse::Parsed;
use super::{ExpressionError, Needs, Place, Scope};

pub use self::sink::Sink;

/// The longest template, in bytes.
pub const MAX_SOURCE: usize = 64 * 1024;

/// How many blocks may stand within each other.
pub const MAX_NESTING: usize = 16;

/// How many tags and texts a rendering may go through.
pub const MAX_STEPS: usize = 100_000;

/// The longest result, in bytes, where the caller sets no limit.
pub const MAX_OUTPUT: usize = 1 << 20;

/// A compiled template.
pub struct Template {
    pieces: Vec<Piece>,
    sink: Sink,
    needs: Needs,
    captures: Vec<Box<str>>,
    source: Box<str>,
}

impl Template {
    /// Compiles a template for a place.
    ///
    /// # Errors
    /// [`ExpressionError`] if it is malformed, or names something that does not exist; for [`Sink::Header`] also if its text
    /// holds control characters, and for [`Sink::Json`] if it can't be told whether a tag stands in a string.
    pub fn new(source: &str, sink: Sink) -> Result<Self, ExpressionError> {
        let Parsed { pieces, needs, captures } = parse::parse(source, sink)?;
        let captures = captures.into_iter().map(Into::into).collect();
        Ok(Self { pieces, sink, needs, captures, source: source.into() })
    }

    /// The text of a template without tags, which needs no rendering.
    pub fn literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The result, of at most [`MAX_OUTPUT`] bytes.
    ///
    /// # Errors
    /// [`TemplateError`]. A client can bring that about.
    pub fn render(&self, scope: &Scope) -> Result<Vec<u8>, TemplateError> {
        self.render_within(scope, MAX_OUTPUT)
    }

    /// The result, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`TemplateError`]
    pub fn render_within(&self, scope: &Scope, limit: usize) -> Result<Vec<u8>, TemplateError> {
        render::render(&self.pieces, self.sink, scope, limit)
    }

    /// The result as a JSON value (RFC 8259), whatever the sink: of a template that is one `{{ expression }}` and nothing
    /// else the value with its type, of any other one the text, as a JSON string.
    ///
    /// # Errors
    /// [`TemplateError`]
    pub fn value(&self, scope: &Scope) -> Result<Vec<u8>, TemplateError> {
        self.value_within(scope, MAX_OUTPUT)
    }

    /// [`value`](Self::value), of at most `limit` bytes.
    ///
    /// # Errors
    /// [`TemplateError`]
    pub fn value_within(&self, scope: &Scope, limit: usize) -> Result<Vec<u8>, TemplateError> {
        render::value(&self.pieces, scope, limit)
    }

    /// All that it asks for.
    pub fn needs(&self) -> Needs {
        self.needs
    }

    /// The names that it asks `path` for: what is not in the path of `match` is never there.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        self.captures.iter().map(AsRef::as_ref)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template")
            .field("source", &self.source)
            .field("sink", &self.sink)
            .finish_non_exhaustive()
    }
}

/// A part of a template.
enum Piece {
    Text(Box<str>),
    Emit {
        value: Compiled,
        /// Whether it stands between the quotes of a JSON string.
        in_string: bool,
    },
    If {
        branches: Vec<(Compiled, Vec<Self>)>,
        otherwise: Vec<Self>,
    },
    For(Box<Loop>),
    Set {
        name: Arc<str>,
        value: Compiled,
    },
}

struct Loop {
    /// One name, or several for the parts of each item.
    names: Vec<Arc<str>>,
    /// The name `loop`, where the body or the filter has it.
    round: Option<Arc<str>>,
    list: Compiled,
    filter: Option<Compiled>,
    body: Vec<Piece>,
    otherwise: Vec<Piece>,
}

struct Compiled {
    expression: Expression<'static, 'static>,
    /// Whether it sees numbers of the body as their texts.
    exact: bool,
    place: Place,
}

/// A template that has no result for this exchange. Says where and what kind of thing went wrong and shows no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// What went wrong.
    pub problem: Problem,
    /// In which tag; `None` where it was none.
    place: Option<Place>,
}

/// What can go wrong when a template is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// An expression has no answer: something undefined was asked for something, a text that should be a number is none, a
    /// parameter is there twice.
    NoAnswer(ErrorKind),
    /// The result, or a variable, would be too long.
    TooLong,
    /// [`MAX_STEPS`]
    TooManySteps,
    /// A value for a header holds a control character.
    ControlCharacter,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the template has no result: ")?;
        match self.problem {
            Problem::NoAnswer(kind) => write!(f, "{kind}")?,
            Problem::TooLong => f.write_str("it is too long")?,
            Problem::TooManySteps => write!(f, "it takes more than {MAX_STEPS} steps")?,
            Problem::ControlCharacter => f.write_str("a header value holds a control character")?,
        }
        self.place.map_or(Ok(()), |place| write!(f, " ({place})"))
    }
}

impl std::error::Error for TemplateError {}

#[cfg(test)]
mod tests;
