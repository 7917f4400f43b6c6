//! What a finding becomes.

use std::rc::Rc;

use meshgate_detect::Finding;

use crate::digest::Tokens;
use crate::mask::{self, Mask};
use crate::number;
use crate::sink::Sink;
use crate::target::Target;
use crate::value::Value;

/// What a rule does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Hide it behind a character.
    Mask(Mask),
    /// Put a text in its place; `None`: the kind.
    Replace(Option<Rc<str>>),
    /// Put a token in its place.
    Hash(Tokens),
    /// Take out the field that it is in.
    Drop,
    /// Let nothing of the message pass; with this status, if it was configured.
    Block(Option<u16>),
    /// Nothing else than report it.
    Report,
}

impl Action {
    /// What metrics and logs call it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Mask(_) => "mask",
            Self::Replace(_) => "replace",
            Self::Hash(_) => "hash",
            Self::Drop => "drop",
            Self::Block(_) => "block",
            Self::Report => "report",
        }
    }

    /// Whether it may change a body.
    pub const fn changes(&self) -> bool {
        !matches!(self, Self::Report | Self::Block(_))
    }

    /// Whether a body that it changes keeps its length.
    pub const fn keeps_length(&self) -> bool {
        matches!(self, Self::Mask(_) | Self::Report | Self::Block(_))
    }

    /// Whether a body has to be whole before anything of it passes.
    pub const fn needs_whole(&self) -> bool {
        matches!(self, Self::Drop | Self::Block(_))
    }

    /// Whether the bytes near a value don't tell enough to put this in its place in a JSON document: it takes to know whether
    /// the value is in a string.
    pub const fn needs_quotes(&self) -> bool {
        matches!(self, Self::Replace(_) | Self::Hash(_) | Self::Drop)
    }

    /// What stands in the place of a finding; nothing, where a field is dropped or a message blocked. `in_string`: whether it
    /// begins in a string of a JSON document, where that is known.
    ///
    /// JSON stays valid: what is not in one string becomes a number or a string of its own.
    pub fn rewrite(
        &self,
        window: &[u8],
        finding: &Finding,
        target: &Target,
        sink: Sink,
        in_string: Option<bool>,
    ) -> Vec<u8> {
        if sink == Sink::Json {
            let raw = window.get(finding.range.clone()).unwrap_or_default();
            let start = finding.range.start;
            let in_string = in_string.unwrap_or_else(|| !number::may_be_number(window, start));
            if !in_string && number::is_number(raw) {
                return self.rewrite_number(window, finding, target);
            }
            if !in_string || number::has_quote(raw) {
                let character = if let Self::Mask(mask) = self { mask.character } else { b'*' };
                return mask::tokens(raw, in_string, character);
            }
        }
        let syntax = sink.syntax();
        match self {
            Self::Mask(mask) => mask.apply(window, syntax, finding, target.keeps_punctuation),
            Self::Replace(text) => sink.escape(text.as_deref().unwrap_or(&target.tag)).into_owned(),
            Self::Hash(tokens) => tokens.token(Value::new(window, syntax, finding).plain()).into_bytes(),
            Self::Drop | Self::Block(_) | Self::Report => Vec::new(),
        }
    }

    /// A text can stand in the place of a whole number, in quotes. What is only a part of one stays a number.
    fn rewrite_number(&self, window: &[u8], finding: &Finding, target: &Target) -> Vec<u8> {
        let raw = window.get(finding.range.clone()).unwrap_or_default();
        let whole = |instead| match number::is_whole_number(window, &finding.range) {
            true => instead,
            false => mask::digits(raw, None),
        };
        let text = match self {
            Self::Mask(mask) => return mask::digits(raw, Some(mask)),
            Self::Replace(text) => Sink::Json.escape(text.as_deref().unwrap_or(&target.tag)).into_owned(),
            Self::Hash(tokens) => {
                tokens.token(Value::new(window, Sink::Json.syntax(), finding).plain()).into_bytes()
            }
            Self::Drop | Self::Block(_) | Self::Report => return whole(b"null".to_vec()),
        };
        whole([b"\"", text.as_slice(), b"\""].concat())
    }
}
