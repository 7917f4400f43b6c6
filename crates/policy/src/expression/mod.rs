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
//! | `consumer.name`, `.plan`, ... | what authentication found; nothing in it before |
//!
//! What is not there is undefined: false, equal to no text, and `|default("x")` replaces it. A parameter or cookie that is
//! there twice has no single value, so `request.query.x` fails; ask `request.query_all.x`.
//!
//! Values that are not UTF-8 are never made equal to others: see [`text`]. Numbers in requests are text until `|int` or
//! `|float` makes them numbers, and fails where they are none. Comparing text with a number by `<` compares their kinds.
//!
//! # Limits
//! Only what is listed in [`FILTERS`] and [`TESTS`] is there: of the engine's own, those that cannot panic and whose
//! results are not much larger than their arguments. An expression has at most [`MAX_LENGTH`] bytes, which bounds how deep
//! it nests, and an evaluation at most [`FUEL`] steps. Text times a number (`"-" * n`) ends at 100 MB: not to be done with a
//! client's number.

mod check;
mod scope;
pub mod text;

use std::fmt;
use std::sync::OnceLock;

use minijinja::{Environment, Error, ErrorKind, Expression, filters, tests as jinja};

pub use self::scope::Scope;
use crate::config::{nearest, quoted};

/// The longest expression, in bytes. The engine recurses into what was nested; in a VM's stack of 1 MiB it reaches 2,000
/// levels, at one byte each, with room to spare.
pub const MAX_LENGTH: usize = 2_000;

/// How many steps of the engine an evaluation may take.
pub const FUEL: u64 = 10_000;

/// The longest text that `join` and `replace` make, in bytes: their results grow with the product of their arguments.
const MAX_TEXT: usize = 1 << 20;

/// The filters that there are.
pub const FILTERS: &[&str] = &[
    "abs", "bool", "count", "d", "default", "first", "float", "int", "join", "last", "length", "lower",
    "replace", "split", "string", "trim", "upper",
];

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
        environment.add_filter("abs", filters::abs);
        environment.add_filter("bool", filters::bool);
        environment.add_filter("count", filters::length);
        environment.add_filter("d", filters::default);
        environment.add_filter("default", filters::default);
        environment.add_filter("first", filters::first);
        environment.add_filter("float", filters::float);
        environment.add_filter("int", filters::int);
        environment.add_filter("join", join);
        environment.add_filter("last", filters::last);
        environment.add_filter("length", filters::length);
        environment.add_filter("lower", filters::lower);
        environment.add_filter("replace", replace);
        environment.add_filter("split", filters::split);
        environment.add_filter("string", filters::string);
        environment.add_filter("trim", filters::trim);
        environment.add_filter("upper", filters::upper);
        environment.add_test("boolean", jinja::is_boolean);
        environment.add_test("defined", jinja::is_defined);
        environment.add_test("endingwith", jinja::is_endingwith);
        environment.add_test("false", jinja::is_false);
        environment.add_test("float", jinja::is_float);
        environment.add_test("in", jinja::is_in);
        environment.add_test("integer", jinja::is_integer);
        environment.add_test("iterable", jinja::is_iterable);
        environment.add_test("mapping", jinja::is_mapping);
        environment.add_test("none", jinja::is_none);
        environment.add_test("number", jinja::is_number);
        environment.add_test("sequence", jinja::is_sequence);
        environment.add_test("startingwith", jinja::is_startingwith);
        environment.add_test("string", jinja::is_string);
        environment.add_test("true", jinja::is_true);
        environment.add_test("undefined", jinja::is_undefined);
        environment
    })
}

/// Compiles an expression and checks all names in it.
///
/// # Errors
/// [`ExpressionError`] if it is too long or malformed, or names a variable, filter or test that does not exist.
pub fn compile(source: &str) -> Result<Expression<'static, 'static>, ExpressionError> {
    if source.len() > MAX_LENGTH {
        let why = format!("{} bytes, where an expression has at most {MAX_LENGTH}", source.len());
        return Err(ExpressionError { message: why });
    }
    let expression = environment().compile_expression_owned(source.to_owned()).map_err(|error| {
        let why = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        ExpressionError::at(source, error.range().map_or(source.len(), |range| range.start), why)
    })?;
    refuse_swallowed(source)?;
    check::check(source)?;
    // In order, so that of several mistakes always the same one is told.
    let mut variables: Vec<String> = expression.undeclared_variables(true).into_iter().collect();
    variables.sort_unstable();
    variables.iter().try_for_each(|variable| check_variable(source, variable))?;
    Ok(expression)
}

/// MiniJinja 3.0 drops what it cannot read right after a literal text, with all that follows: `a == "x" && b` would be
/// `a == "x"`. In parentheses that shows, because the closing one goes the same way.
fn refuse_swallowed(source: &str) -> Result<(), ExpressionError> {
    let Err(error) = environment().compile_expression(&format!("({source}\n)")) else { return Ok(()) };
    let end = error.range().map_or(source.len(), |range| range.end.saturating_sub("(".len()));
    let rest = source.get(end..).unwrap_or_default();
    let at = source.len().saturating_sub(rest.trim_start().len());
    Err(ExpressionError::at(source, at, "this cannot be read; && is written and, || is or, ! is not"))
}

/// Checks a variable with its fields as far as they are known: `request.query.debug`.
fn check_variable(source: &str, variable: &str) -> Result<(), ExpressionError> {
    let at = source.find(variable).unwrap_or(0);
    let mut parts = variable.split('.');
    let root = parts.next().unwrap_or_default();
    let known: &[&str] = match root {
        "request" => &scope::REQUEST,
        "response" => &scope::RESPONSE,
        "path" | "consumer" => return Ok(()),
        _ => return Err(ExpressionError::unknown(source, at, "variable", root, &scope::ROOT)),
    };
    let Some(field) = parts.next() else { return Ok(()) };
    if !known.contains(&field) {
        return Err(ExpressionError::unknown(source, at, &format!("field of {root}"), field, known));
    }
    let has_names = ["headers", "query", "cookies"].contains(&field.strip_suffix("_all").unwrap_or(field));
    match parts.next() {
        Some(below) if !has_names => Err(ExpressionError::at(
            source,
            at,
            format!("{root}.{field} has no fields, so no {}", quoted(below)),
        )),
        _ => Ok(()),
    }
}

/// An expression that cannot be used: one line that says where and why. It quotes the expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionError {
    message: String,
}

impl ExpressionError {
    /// At a byte of the source: the column counts characters, from 1.
    fn at(source: &str, byte: usize, why: impl fmt::Display) -> Self {
        let (before, rest) = source.split_at_checked(byte).unwrap_or((source, ""));
        let line = before.matches('\n').count().saturating_add(1);
        let column = before.chars().rev().take_while(|char| *char != '\n').count().saturating_add(1);
        let place =
            if line == 1 { format!("column {column}") } else { format!("line {line}, column {column}") };
        let near = if rest.is_empty() { "the end".to_owned() } else { quoted(rest) };
        Self { message: format!("{why} ({place}, at {near})") }
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

/// `list|join(", ")`: the texts of a list as one.
fn join(list: &minijinja::Value, separator: Option<&str>) -> Result<String, Error> {
    let mut joined = String::new();
    for (index, item) in list.try_iter()?.checked().enumerate() {
        let item = item?;
        if index > 0 {
            joined.push_str(separator.unwrap_or_default());
        }
        match item.as_str() {
            Some(text) => joined.push_str(text),
            None => joined.push_str(&item.to_string()),
        }
        if joined.len() > MAX_TEXT {
            return Err(too_long());
        }
    }
    Ok(joined)
}

/// `text|replace("a", "b")`: every occurrence.
fn replace(text: &str, from: &str, to: &str) -> Result<String, Error> {
    let count = text.matches(from).count();
    if count.saturating_mul(to.len()).saturating_add(text.len()) > MAX_TEXT {
        return Err(too_long());
    }
    Ok(text.replace(from, to))
}

fn too_long() -> Error {
    Error::new(ErrorKind::InvalidOperation, "the result is too long")
}

#[cfg(test)]
mod tests;
