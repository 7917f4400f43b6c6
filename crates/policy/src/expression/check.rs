//! What is refused of an expression although it is well-formed.
//!
//! The engine finds an unknown filter when it gets there, and two of its operations can panic on a client's data: slices
//! with a step (`x[::-1]` of nothing), and `divisibleby`, which is not among [`super::TESTS`]. So an expression is looked
//! through once, token by token, after it has compiled.

use std::iter::Peekable;
use std::str::CharIndices;

use super::{ExpressionError, FILTERS, FUNCTIONS, Part, TESTS};

/// Checks the tokens of an expression that has compiled.
pub(super) fn check(part: Part<'_>) -> Result<(), ExpressionError> {
    let mut tokens = tokens(part.text).peekable();
    let mut brackets = Vec::new();
    let mut before = Token::Other(' ');
    while let Some((at, token)) = tokens.next() {
        match (before, token) {
            (Token::Other('|'), Token::Name(filter)) if !FILTERS.contains(&filter) => {
                return Err(part.unknown(at, "filter", filter, FILTERS));
            }
            (Token::Other('.'), Token::Name(name))
                if matches!(tokens.peek(), Some((_, Token::Other('(')))) =>
            {
                let why = format!("there are no methods: instead of .{name}() use a filter, such as |lower");
                return Err(part.error(at, why));
            }
            // An attribute may be called `is`.
            (before, Token::Name("is")) if before != Token::Other('.') => {
                tokens.next_if(|(_, token)| *token == Token::Name("not"));
                if let Some((at, Token::Name(test))) = tokens.peek().copied()
                    && !TESTS.contains(&test)
                {
                    return Err(part.unknown(at, "test", test, TESTS));
                }
            }
            // An attribute may be called `uuid`, too.
            (before, Token::Name(name))
                if before != Token::Other('.')
                    && FUNCTIONS.contains(&name)
                    && !matches!(tokens.peek(), Some((_, Token::Other('(')))) =>
            {
                return Err(part.error(at, format!("{name} is a function: write {name}()")));
            }
            (Token::Text, Token::Other('*')) | (Token::Other('*'), Token::Text) => {
                return Err(part.error(at, "text can't be multiplied: a client could choose how often"));
            }
            (_, Token::Other(open @ ('[' | '(' | '{'))) => brackets.push((open, 0_u32)),
            (_, Token::Other(']' | ')' | '}')) => drop(brackets.pop()),
            (_, Token::Other(':')) => {
                if let Some(('[', colons)) = brackets.last_mut() {
                    *colons = colons.saturating_add(1);
                    if *colons > 1 {
                        return Err(part.error(at, "a slice has no step: write [start:end]"));
                    }
                }
            }
            _ => {}
        }
        before = token;
    }
    Ok(())
}

/// Refuses `request.headers.x-foo`, which the engine reads as `request.headers.x - foo`. Nobody means that: of two texts there is
/// no difference.
pub(super) fn refuse_hyphens(part: Part<'_>) -> Result<(), ExpressionError> {
    const NAMED: [&str; 6] = ["cookies", "cookies_all", "headers", "headers_all", "query", "query_all"];
    let tokens: Vec<(usize, Token<'_>)> = tokens(part.text).collect();
    for window in tokens.windows(6) {
        let [
            (_, Token::Name(root @ ("request" | "response"))),
            (_, Token::Other('.')),
            (_, Token::Name(field)),
            (_, Token::Other('.')),
            (at, Token::Name(first)),
            (hyphen, Token::Other('-')),
        ] = window
        else {
            continue;
        };
        let in_name = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
        let rest = part.text.get(*at..).unwrap_or_default();
        let name = rest.split(|char| !in_name(char)).next().unwrap_or_default().trim_end_matches('-');
        if NAMED.contains(field) && *hyphen == at.saturating_add(first.len()) && name.len() > first.len() {
            let name = if field.starts_with("headers") { name.to_ascii_lowercase() } else { name.to_owned() };
            let why = format!("a name with - in it stands in brackets: write {root}.{field}[\"{name}\"]");
            return Err(part.error(*at, why));
        }
    }
    Ok(())
}

/// The names that an expression asks `path` for: `path.id`, `path["id"]`.
pub(super) fn captures(source: &str) -> Vec<&str> {
    let tokens: Vec<(usize, Token<'_>)> = tokens(source).collect();
    // Something in front, so that there is always a token before.
    let before = std::iter::once(Token::Other(' ')).chain(tokens.iter().map(|(_, token)| *token));
    let uses = before.zip(0_usize..).filter_map(|(before, at)| {
        let [(_, Token::Name("path")), below @ ..] = tokens.get(at..)? else { return None };
        match below {
            _ if before == Token::Other('.') => None,
            [(_, Token::Other('.')), (_, Token::Name(name)), ..] => Some(*name),
            [(_, Token::Other('[')), (start, Token::Text), (end, Token::Other(']')), ..] => {
                let text = source.get(*start..*end)?.trim_end();
                text.get(1..text.len().checked_sub(1)?)
            }
            _ => None,
        }
    });
    uses.collect()
}

/// Whether an expression compares or computes, or builds something that could be compared later: then the numbers of the
/// body have to be numbers. Otherwise they may be their texts, so that 1.10 is printed as 1.10.
pub(super) fn computes(source: &str) -> bool {
    const CONVERTING: [&str; 4] = ["abs", "bool", "float", "int"];
    let mut before = Token::Other(' ');
    tokens(source).any(|(_, token)| {
        let computes = match token {
            Token::Name("in" | "is") => before != Token::Other('.'),
            Token::Name(name) => before == Token::Other('|') && CONVERTING.contains(&name),
            Token::Other('<' | '>' | '=' | '!' | '+' | '-' | '*' | '/' | '%' | '{') => true,
            // A list, not a subscript.
            Token::Other('[') => !matches!(before, Token::Name(_) | Token::Text | Token::Other(')' | ']')),
            Token::Other(_) | Token::Text => false,
        };
        before = token;
        computes
    })
}

/// The tokens of an expression, each with the byte that it begins at.
pub(super) fn tokens(source: &str) -> impl Iterator<Item = (usize, Token<'_>)> {
    Tokens { source, chars: source.char_indices().peekable() }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Name(&'a str),
    /// A string; what it says is nobody's business here.
    Text,
    /// Any other character that is not white space.
    Other(char),
}

struct Tokens<'a> {
    source: &'a str,
    chars: Peekable<CharIndices<'a>>,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = (usize, Token<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (at, first) = self.chars.find(|(_, char)| !char.is_whitespace())?;
        let token = match first {
            'A'..='Z' | 'a'..='z' | '_' => {
                while self.chars.next_if(|(_, char)| char.is_ascii_alphanumeric() || *char == '_').is_some() {
                }
                let end = self.chars.peek().map_or(self.source.len(), |(end, _)| *end);
                Token::Name(self.source.get(at..end).unwrap_or_default())
            }
            // So that the letters of `0x1f` and `1e5` are no names.
            '0'..='9' => {
                while self.chars.next_if(|(_, char)| char.is_ascii_alphanumeric() || *char == '_').is_some() {
                }
                Token::Other(first)
            }
            '"' | '\'' => {
                let mut escaped = false;
                for (_, char) in self.chars.by_ref() {
                    match char {
                        _ if escaped => escaped = false,
                        '\\' => escaped = true,
                        char if char == first => break,
                        _ => {}
                    }
                }
                Token::Text
            }
            other => Token::Other(other),
        };
        Some((at, token))
    }
}
