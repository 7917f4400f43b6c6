//! The expression language of conditions and templates: expressions of Jinja, run by MiniJinja.
//!
//! # Variables
//! | variable | value |
//! | --- | --- |
//! | `request.method`, `.scheme` | as sent |
//! | `request.host` | in lower case, without port and without a dot at the end |
//! | `request.path` | without its query, in the normal form of [`matching`](crate::matching::normalize) |
//! | `request.query_string` | what follows `?`, encoded as sent; undefined without `?` |
//! | `request.headers["x-env"]` | the field; repeated lines joined by `, ` (RFC 9110 section 5.3). Any case. |
//! | `request.query.debug` | the parameter, decoded |
//! | `request.cookies.session` | the cookie, raw |
//! | `request.headers_all[...]`, `.query_all`, `.cookies_all` | the list of all values, in order; empty if there are none |
//! | `path.id` | what the name in the path template of `match` stood for |
//! | `response.status`, `.headers`, `.headers_all` | of the response: a number, and fields as above |
//! | `body.user.id`, `body["user"].tags[0]` | the body: a JSON value; a text where it is no JSON |
//! | `consumer.name`, `.plan`, ... | what authentication found; nothing in it before |
//! | `now` | the time, `2026-01-31T12:00:00.000Z` (RFC 3339) |
//! | `now.unix`, `.unix_ms` | seconds and milliseconds since 1970, numbers |
//! | `now.date`, `.time`, `.http` | `2026-01-31`, `12:00:00`, `Sat, 31 Jan 2026 12:00:00 GMT` (RFC 9110 section 5.6.7) |
//! | `uuid()` | a new random UUID (RFC 9562 version 4) at each call |
//!
//! What is not there is undefined: false, equal to no text, and `|default("x")` replaces it. To ask what is undefined for
//! something fails (`body.user.id` where there is no `user`). A parameter or cookie that is there twice has no single
//! value, so `request.query.x` fails; ask `request.query_all.x`.
//!
//! Values that are not UTF-8 are never made equal to others: see [`text`]. Numbers in requests are text until `|int` or
//! `|float` makes them numbers, and fails where they are none. Comparing text with a number by `<` compares their kinds.
//! Numbers of the body are numbers.
//!
//! # Filters
//! | filter | result |
//! | --- | --- |
//! | `default("x")`, `d("x")` | `x` where the value is undefined; with `default("x", true)` also where it is false or empty |
//! | `lower`, `upper`, `trim` | the text in lower or upper case, without the spaces around it |
//! | `replace("a", "b")` | the text with every `a` made `b` |
//! | `split(",")`, `join(",")` | a text as list, a list as text |
//! | `first`, `last`, `length`, `count` | of a list or text |
//! | `items` | a map as list of pairs, for `for key, value in map\|items` |
//! | `int`, `float`, `abs`, `bool`, `string` | the value as that; `int(0)` gives 0 where it is no number, or too large for 127 bits, which fails otherwise |
//! | `tojson` | the value as JSON text, which a JSON template takes as it is |
//! | `fromjson` | the value of a JSON text |
//! | `base64`, `base64url`, `base64_decode` | RFC 4648 sections 4 (padded) and 5 (not padded); both are decoded, padded or not |
//! | `hex`, `sha256` | the bytes, or their SHA-256, in hexadecimal digits |
//! | `urlencode`, `urldecode` | percent-encoded but for letters, digits and `-._~`; decoded (`+` stays) |
//!
//! # Limits
//! Only what is listed in [`FILTERS`] and [`TESTS`] is there: of the engine's own, those that cannot panic and whose
//! results are not much larger than their arguments. An expression has at most [`MAX_LENGTH`] bytes, which bounds how deep
//! it nests, and an evaluation at most [`FUEL`] steps. Text times a number (`"-" * n`) is refused; the engine has it, and it
//! would end at 100 MB. `~` writes booleans as the engine does (`True`).

mod body;
mod check;
pub mod clock;
mod filters;
mod print;
mod scope;
pub mod template;
pub mod text;

use std::fmt;
use std::sync::OnceLock;

use minijinja::{Environment, Expression, filters as jinja, tests as jinja_tests};

pub use self::scope::Scope;
use crate::config::{nearest, quoted};

/// The longest expression, in bytes. The engine recurses into what was nested; in a VM's stack of 1 MiB it reaches 2,000
/// levels, at one byte each, with room to spare.
pub const MAX_LENGTH: usize = 2_000;

/// How many steps of the engine an evaluation may take.
pub const FUEL: u64 = 10_000;

/// The longest text that a filter makes, in bytes: the result of `join` and `replace` grows with the product of their
/// arguments, and `|tojson|tojson` with each other backslash.
pub const MAX_TEXT: usize = 1 << 20;

/// The filters that there are.
pub const FILTERS: &[&str] = &[
    "abs",
    "base64",
    "base64_decode",
    "base64url",
    "bool",
    "count",
    "d",
    "default",
    "first",
    "float",
    "fromjson",
    "hex",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lower",
    "replace",
    "sha256",
    "split",
    "string",
    "tojson",
    "trim",
    "upper",
    "urldecode",
    "urlencode",
];

/// The functions that there are.
pub const FUNCTIONS: &[&str] = &["uuid"];

/// The tests that there are, for `x is ...`.
pub const TESTS: &[&str] = &[
    "boolean",
    "defined",
    "endingwith",
    "false",
    "float",
    "in",
    "integer",
    "iterable",
    "mapping",
    "none",
    "number",
    "sequence",
    "startingwith",
    "string",
    "true",
    "undefined",
];

/// The engine, set up once for all expressions.
pub fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = Environment::empty();
        // Off, or errors would hold the values of variables.
        environment.set_debug(false);
        environment.set_fuel(Some(FUEL));
        environment.add_filter("abs", jinja::abs);
        environment.add_filter("base64", filters::base64);
        environment.add_filter("base64_decode", filters::base64_decode);
        environment.add_filter("base64url", filters::base64url);
        environment.add_filter("bool", jinja::bool);
        environment.add_filter("count", jinja::length);
        environment.add_filter("d", jinja::default);
        environment.add_filter("default", jinja::default);
        environment.add_filter("first", jinja::first);
        environment.add_filter("float", jinja::float);
        environment.add_filter("fromjson", filters::from_json);
        environment.add_filter("hex", filters::hex);
        environment.add_filter("int", filters::int);
        environment.add_filter("items", jinja::items);
        environment.add_filter("join", filters::join);
        environment.add_filter("last", jinja::last);
        environment.add_filter("length", jinja::length);
        environment.add_filter("lower", jinja::lower);
        environment.add_filter("replace", filters::replace);
        environment.add_filter("sha256", filters::sha256);
        environment.add_filter("split", jinja::split);
        environment.add_filter("string", filters::string);
        environment.add_filter("tojson", filters::to_json);
        environment.add_filter("trim", jinja::trim);
        environment.add_filter("upper", jinja::upper);
        environment.add_filter("urldecode", filters::url_decode);
        environment.add_filter("urlencode", filters::url_encode);
        environment.add_test("boolean", jinja_tests::is_boolean);
        environment.add_test("defined", jinja_tests::is_defined);
        environment.add_test("endingwith", jinja_tests::is_endingwith);
        environment.add_test("false", jinja_tests::is_false);
        environment.add_test("float", jinja_tests::is_float);
        environment.add_test("in", jinja_tests::is_in);
        environment.add_test("integer", jinja_tests::is_integer);
        environment.add_test("iterable", jinja_tests::is_iterable);
        environment.add_test("mapping", jinja_tests::is_mapping);
        environment.add_test("none", jinja_tests::is_none);
        environment.add_test("number", jinja_tests::is_number);
        environment.add_test("sequence", jinja_tests::is_sequence);
        environment.add_test("startingwith", jinja_tests::is_startingwith);
        environment.add_test("string", jinja_tests::is_string);
        environment.add_test("true", jinja_tests::is_true);
        environment.add_test("undefined", jinja_tests::is_undefined);
        environment.add_function("uuid", filters::uuid);
        environment
    })
}

/// What of an exchange an expression asks for, so that a policy need not fetch the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// `request`, or `path`, which is a part of it.
    pub request: bool,
    /// `response`: there is no answer before there is one.
    pub response: bool,
    /// `body`
    pub body: bool,
    /// `consumer`
    pub consumer: bool,
    /// `now`
    pub now: bool,
    /// `path`: there is something in it only beside a path template.
    pub path: bool,
}

impl Needs {
    /// What an expression asks for.
    pub fn of(expression: &Expression<'_, '_>) -> Self {
        let variables = expression.undeclared_variables(false);
        let needs = |name| variables.contains(name);
        Self {
            request: needs("request") || needs("path"),
            response: needs("response"),
            body: needs("body"),
            consumer: needs("consumer"),
            now: needs("now"),
            path: needs("path"),
        }
    }

    /// What either asks for.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            request: self.request || other.request,
            response: self.response || other.response,
            body: self.body || other.body,
            consumer: self.consumer || other.consumer,
            now: self.now || other.now,
            path: self.path || other.path,
        }
    }
}

/// Compiles an expression and checks all names in it.
///
/// # Errors
/// [`ExpressionError`] if it is too long or malformed, or names a variable, filter or test that does not exist.
pub fn compile(source: &str) -> Result<Expression<'static, 'static>, ExpressionError> {
    compile_part(Part { within: source, start: 0, text: source }, &[])
}

/// [`compile`] for an expression that is part of a text, which errors tell the place in. `locals` are variables besides
/// those that there always are.
fn compile_part(part: Part<'_>, locals: &[&str]) -> Result<Expression<'static, 'static>, ExpressionError> {
    let source = part.text;
    if source.len() > MAX_LENGTH {
        let why = format!("{} bytes, where an expression has at most {MAX_LENGTH}", source.len());
        return Err(if part.is_all() { ExpressionError { message: why } } else { part.error(0, why) });
    }
    check::refuse_hyphens(part)?;
    let expression = environment().compile_expression_owned(source.to_owned()).map_err(|error| {
        let why = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        part.error(error.range().map_or(source.len(), |range| range.start), why)
    })?;
    refuse_swallowed(part)?;
    check::check(part)?;
    // In order, so that of several mistakes always the same one is told.
    let mut variables: Vec<String> = expression.undeclared_variables(true).into_iter().collect();
    variables.sort_unstable();
    variables.iter().try_for_each(|variable| check_variable(part, variable, locals))?;
    Ok(expression)
}

/// MiniJinja 3.0 drops what it cannot read right after a literal text, with all that follows: `a == "x" && b` would be
/// `a == "x"`. In parentheses that shows, because the closing one goes the same way.
fn refuse_swallowed(part: Part<'_>) -> Result<(), ExpressionError> {
    let source = part.text;
    let Err(error) = environment().compile_expression(&format!("({source}\n)")) else { return Ok(()) };
    let end = error.range().map_or(source.len(), |range| range.end.saturating_sub("(".len()));
    let rest = source.get(end..).unwrap_or_default();
    let at = source.len().saturating_sub(rest.trim_start().len());
    Err(part.error(at, "this cannot be read; && is written and, || is or, ! is not"))
}

/// Checks a variable with its fields as far as they are known: `request.query.debug`.
fn check_variable(part: Part<'_>, variable: &str, locals: &[&str]) -> Result<(), ExpressionError> {
    let at = part.text.find(variable).unwrap_or(0);
    let mut names = variable.split('.');
    let root = names.next().unwrap_or_default();
    let known: &[&str] = match root {
        "request" => &scope::REQUEST,
        "response" => &scope::RESPONSE,
        "now" => &clock::FIELDS,
        "path" | "consumer" | "body" => return Ok(()),
        _ if locals.contains(&root) || FUNCTIONS.contains(&root) => return Ok(()),
        _ => {
            let known: Vec<&str> = scope::ROOT.iter().chain(locals).copied().collect();
            return Err(part.unknown(at, "variable", root, &known));
        }
    };
    let Some(field) = names.next() else { return Ok(()) };
    if !known.contains(&field) {
        return Err(part.unknown(at, &format!("field of {root}"), field, known));
    }
    let has_names = ["headers", "query", "cookies"].contains(&field.strip_suffix("_all").unwrap_or(field));
    match names.next() {
        Some(below) if !has_names => {
            Err(part.error(at, format!("{root}.{field} has no fields, so no {}", quoted(below))))
        }
        _ => Ok(()),
    }
}

/// The names that an expression asks `path` for, as often as it does.
pub(crate) fn captures(source: &str) -> impl Iterator<Item = &str> {
    check::captures(source).into_iter()
}

/// An expression and where in a configuration's text it stands.
#[derive(Clone, Copy)]
struct Part<'a> {
    within: &'a str,
    start: usize,
    text: &'a str,
}

impl Part<'_> {
    fn is_all(&self) -> bool {
        self.text.len() == self.within.len()
    }

    /// At a byte of the part.
    fn error(&self, byte: usize, why: impl fmt::Display) -> ExpressionError {
        ExpressionError::at(self.within, self.start.saturating_add(byte), why)
    }

    fn unknown(&self, byte: usize, what: &str, name: &str, known: &[&str]) -> ExpressionError {
        ExpressionError::unknown(self.within, self.start.saturating_add(byte), what, name, known)
    }
}

/// An expression that cannot be used: one line that says where and why. It quotes the expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionError {
    message: String,
}

impl ExpressionError {
    /// At a byte of the source.
    fn at(source: &str, byte: usize, why: impl fmt::Display) -> Self {
        let rest = source.get(byte..).unwrap_or_default();
        let near = if rest.is_empty() { "the end".to_owned() } else { quoted(rest) };
        Self { message: format!("{why} ({}, at {near})", Place::of(source, byte)) }
    }

    fn unknown(source: &str, byte: usize, what: &str, name: &str, known: &[&str]) -> Self {
        let known_names = known.join(", ");
        let hint = match nearest(name, known.iter().copied()) {
            Some(meant) => format!(": did you mean {meant}?"),
            None => String::new(),
        };
        let why = format!("found the unknown {what} {}, expected one of {known_names}{hint}", quoted(name));
        Self::at(source, byte, why)
    }
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ExpressionError {}

/// A place in a text, as people count: both from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
}

impl Place {
    fn of(source: &str, byte: usize) -> Self {
        let (before, _) = source.split_at_checked(byte).unwrap_or((source, ""));
        let line = before.matches('\n').count().saturating_add(1);
        let column = before.chars().rev().take_while(|char| *char != '\n').count().saturating_add(1);
        Self { line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            1 => write!(f, "column {}", self.column),
            line => write!(f, "line {line}, column {}", self.column),
        }
    }
}

#[cfg(test)]
mod tests;
