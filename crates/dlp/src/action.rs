//! What a finding becomes.

use std::rc::Rc;

use meshgate_detect::Finding;

use crate::mask::{self, Mask};
use crate::number;
use crate::sink::Sink;
use crate::target::Target;
use crate::token::Tokens;
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

    /// What stands in the place of a finding; nothing, where a field is dropped or a message blocked. `in_string`: whether it
    /// begins in a string of the JSON document, if it is in one.
    ///
    /// JSON stays valid: what is not in one string becomes a number or a string of its own. What no JSON has outside of strings is
    /// text.
    pub fn rewrite(
        &self,
        window: &[u8],
        finding: &Finding,
        target: &Target,
        sink: Sink,
        in_string: bool,
    ) -> Vec<u8> {
        if sink == Sink::Json {
            let raw = window.get(finding.range.clone()).unwrap_or_default();
            if !in_string && number::is_number(raw) && number::may_be_number(window, finding.range.start) {
                return self.rewrite_number(window, finding, target);
            }
            let is_tokens = || !number::is_number(raw) && number::may_be_tokens(raw);
            if number::has_quote(raw) || (!in_string && is_tokens()) {
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
