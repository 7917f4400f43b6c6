//! Values that operations write: literal, or from a template.

use std::borrow::Cow;

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::expression::Scope;
use meshgate_policy::expression::template::{Sink, Template};

use crate::target;
use crate::trouble::Trouble;

/// The longest path that is written, in bytes; what Envoy takes of a whole head by default.
const MAX_PATH: usize = 60 * 1024;

/// A value to write.
#[derive(Debug)]
pub enum Text {
    /// The same for every message.
    Literal(Box<[u8]>),
    /// From what is known of the exchange.
    Template(Template),
}

impl Text {
    /// Compiles a template.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(source: &str, sink: Sink, at: &Path) -> Result<Self, ConfigError> {
        let template =
            Template::new(source, sink).map_err(|error| ConfigError::at(at).problem(error.to_string()))?;
        Ok(match template.literal() {
            Some(text) => Self::Literal(text.as_bytes().into()),
            None => Self::Template(template),
        })
    }

    /// The value, where it is always the same.
    pub const fn literal(&self) -> Option<&[u8]> {
        match self {
            Self::Literal(text) => Some(text),
            Self::Template(_) => None,
        }
    }

    /// The template, if it is one.
    pub const fn template(&self) -> Option<&Template> {
        match self {
            Self::Literal(_) => None,
            Self::Template(template) => Some(template),
        }
    }

    /// The value for one exchange, of at most `limit` bytes. `scope` is asked only for templates.
    ///
    /// # Errors
    /// [`Trouble::Template`] if there is none.
    pub fn render<'a>(&'a self, scope: &dyn Fn() -> Scope, limit: usize) -> Result<Cow<'a, [u8]>, Trouble> {
        match self {
            Self::Literal(text) => Ok(Cow::Borrowed(text)),
            Self::Template(template) => match template.render_within(&scope(), limit) {
                Ok(text) => Ok(Cow::Owned(text)),
                Err(error) => {
                    log::debug!("{error}");
                    Err(Trouble::Template)
                }
            },
        }
    }
}

/// A path to write: templates, with captures of several segments between them.
#[derive(Debug)]
pub struct PathText(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Text(Text),
    /// `{rest...}`: what a name in the path of `match` stood for, which is encoded already.
    Rest(Box<str>),
}

impl PathText {
    /// Compiles a path such as `/v2/{rest...}` or `/users/{{ path.id }}`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(source: &str, at: &Path) -> Result<Self, ConfigError> {
        let wrong = |hint: &str| {
            let expected = "an absolute path without a query, such as /v2/{rest...} or /users/{{ path.id }}";
            ConfigError::at(at).value(source).expected(expected).hint(hint)
        };
        if !source.starts_with('/') && !source.starts_with("{{") && !source.starts_with("{%") {
            return Err(wrong("a path starts with /"));
        }
        let (mut pieces, mut begun, mut rest) = (Vec::new(), String::new(), source);
        let mut blocks = false;
        while !rest.is_empty() {
            let (text, tag, after) = crate::literal::next_tag(rest).unwrap_or((rest, "", ""));
            blocks |= tag.starts_with("{%");
            let mut text = text;
            while let Some((before, name)) = text.split_once('{') {
                let (name, behind) = name.split_once('}').ok_or_else(|| wrong("a { is not closed"))?;
                let Some(name) = name.strip_suffix("...").filter(|name| is_name(name)) else {
                    let hint =
                        format!("write {{{{ path.{name} }}}} for one segment, or {{{name}...}} for several");
                    return Err(wrong(&hint));
                };
                begun.push_str(literal(before, &wrong)?);
                pieces.push(Piece::Text(Text::compile(&std::mem::take(&mut begun), Sink::Url, at)?));
                pieces.push(Piece::Rest(name.into()));
                text = behind;
            }
            begun.push_str(literal(text, &wrong)?);
            begun.push_str(tag);
            rest = after;
        }
        if blocks && !pieces.is_empty() {
            return Err(wrong("{name...} can't stand beside {% ... %}: write two rules"));
        }
        pieces.push(Piece::Text(Text::compile(&begun, Sink::Url, at)?));
        Ok(Self(pieces))
    }

    /// The templates in it.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(text) => text.template(),
            Piece::Rest(_) => None,
        })
    }

    /// The names in the path of `match` that it asks for.
    pub fn captures(&self) -> impl Iterator<Item = &str> {
        let rests = self.0.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Rest(name) => Some(name.as_ref()),
        });
        rests.chain(self.templates().flat_map(Template::captures))
    }

    /// The path for one exchange.
    ///
    /// # Errors
    /// [`Trouble::Template`] if a template has no value, [`Trouble::Missing`] for a name that `match` does not have,
    /// [`Trouble::WrongType`] if the result is not one path for everybody: see [`target::path`].
    pub fn render(
        &self,
        scope: &dyn Fn() -> Scope,
        capture: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<Vec<u8>, Trouble> {
        let mut path = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => path.extend_from_slice(&text.render(scope, MAX_PATH)?),
                Piece::Rest(name) => path.extend(capture(name).ok_or(Trouble::Missing)?),
            }
        }
        target::path(&path)
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A literal part of a path, which stands there as it is.
fn literal<'a>(text: &'a str, wrong: &dyn Fn(&str) -> ConfigError) -> Result<&'a str, ConfigError> {
    if text.contains('?') {
        Err(wrong("set parameters of the query with query"))
    } else if target::is_path_text(text) {
        Ok(text)
    } else {
        Err(wrong("percent-encode what can't stand in a path"))
    }
}
