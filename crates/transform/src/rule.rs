//! Rules, compiled.

use meshgate_json::Path as JsonPath;
use meshgate_policy::condition::Condition;
use meshgate_policy::config::{ConfigError, OneOrMany, Path};
use meshgate_policy::expression::template::{Sink, Template};
use meshgate_policy::headers::{HeaderName, HeaderValue};
use meshgate_policy::host::Side;
use meshgate_policy::matching::Match;
use meshgate_policy::media_type::MediaTypePattern;

use crate::config::{From, NamesConfig, Operation, RenameConfig, RuleConfig, To, TransferConfig, WriteConfig};
use crate::literal::Literal;
use crate::place::{self, Access, Place};
use crate::text::{PathText, Text};
use crate::trouble::{OnError, Remedy, Trouble};
use crate::{cookies, target};

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// `None`: all requests.
    pub matches: Option<Match>,
    pub when: Option<Condition>,
    pub on_error: OnError,
    pub request: Plan,
    pub response: Plan,
}

/// What a rule does to the messages of one side.
#[derive(Debug, Default)]
pub struct Plan {
    pub ops: Vec<Op>,
    pub needs: Needs,
    /// Which of the operations in the document is the first that needs the body before the head goes on.
    pub holding: Option<usize>,
}

/// What has to be known of an exchange before a plan can be carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The head as it arrived: an operation depends on what is there.
    pub head: bool,
    /// What templates ask for; on the side of the response that includes the request.
    pub scope: bool,
    /// Who was authenticated.
    pub consumer: bool,
    /// What names in the path of `match` stood for, other than by templates.
    pub captures: bool,
    /// The body, if it is JSON.
    pub json: bool,
    /// That there is a body, of whatever kind.
    pub body: bool,
    /// The body, before the head goes on.
    pub holds: bool,
}

impl Needs {
    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            head: self.head || other.head,
            scope: self.scope || other.scope,
            consumer: self.consumer || other.consumer,
            captures: self.captures || other.captures,
            json: self.json || other.json,
            body: self.body || other.body,
            holds: self.holds || other.holds,
        }
    }

    /// Whether a body is read.
    pub const fn reads_body(self) -> bool {
        self.json || self.body
    }

    fn template(template: &Template) -> Self {
        Self {
            scope: true,
            head: true,
            consumer: template.needs_consumer(),
            json: template.needs_body(),
            ..Self::default()
        }
    }

    fn text(text: &Text) -> Self {
        text.template().map_or_else(Self::default, Self::template)
    }
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Over what is there.
    Set,
    /// Where there is nothing.
    Add,
    /// Behind what is there.
    Append,
}

/// An operation.
#[derive(Debug)]
pub enum Op {
    /// Writes a value.
    Write { how: How, to: Place, value: Text, attributes: Option<Box<str>> },
    /// Writes the path of the request.
    WritePath(PathText),
    /// Writes the whole body.
    WriteBody { value: Text, content_type: HeaderValue<'static>, is_json: bool },
    /// Removes a place.
    Remove(Place),
    /// Gives what one place has to another of its kind.
    Rename(Place, Place),
    /// Gives a member of an object another key.
    RenameJson(JsonPath, Box<str>),
    /// Writes to one place what another has; `take`: which is removed.
    Transfer { from: Place, to: Place, take: bool },
    /// Removes all header fields but these.
    KeepHeaders(Vec<HeaderName>),
    /// Removes all query parameters but these.
    KeepQuery(Vec<Box<[u8]>>),
    /// Removes all cookies but these.
    KeepCookies(Vec<Box<[u8]>>),
    /// Removes all of a JSON body, which is at `root`, but these.
    KeepJson { root: JsonPath, kept: Vec<JsonPath> },
}

impl Op {
    /// Whether it reads or writes the body.
    pub const fn is_in_body(&self) -> bool {
        match self {
            Self::Write { to, .. } => to.in_body(),
            Self::Remove(place) => place.in_body(),
            Self::Transfer { from, to, .. } => from.in_body() || to.in_body(),
            Self::WriteBody { .. } | Self::RenameJson(..) | Self::KeepJson { .. } => true,
            Self::WritePath(_) | Self::Rename(..) => false,
            Self::KeepHeaders(_) | Self::KeepQuery(_) | Self::KeepCookies(_) => false,
        }
    }

    /// Whether it names a place in a JSON body.
    pub const fn needs_json(&self) -> bool {
        match self {
            Self::Write { to, .. } => matches!(to, Place::Json(_)),
            Self::Remove(place) => matches!(place, Place::Json(_)),
            Self::Transfer { from, to, .. } => matches!(from, Place::Json(_)) || matches!(to, Place::Json(_)),
            Self::RenameJson(..) | Self::KeepJson { .. } => true,
            _ => false,
        }
    }
}

impl Rule {
    /// Compiles a rule.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(config: RuleConfig, at: &Path) -> Result<Self, ConfigError> {
        let RuleConfig { matches, when, request, response, on_error } = config;
        if request.is_empty() && response.is_empty() {
            let expected = "operations, such as request: [{set: {header: x-user-id, to: \"{{ path.id }}\"}}]";
            return Err(ConfigError::at(at).found("neither request nor response").expected(expected));
        }
        if !request.is_empty() {
            let only = "operations on the response only, where a rule is for some responses";
            if matches.as_ref().is_some_and(Match::needs_response) {
                let here = ConfigError::at(at.key("match").key("status"));
                return Err(here.found("a status beside operations on the request").expected(only));
            }
            if when.as_ref().is_some_and(Condition::needs_response) {
                let here = ConfigError::at(at.key("when"));
                return Err(here.found("a condition on the response beside operations on the request").expected(only));
            }
        }
        let request = Plan::compile(request, Side::Request, &at.key("request"))?;
        let response = Plan::compile(response, Side::Response, &at.key("response"))?;
        Ok(Self { matches, when, on_error, request, response })
    }

    /// What it does on a side.
    pub const fn plan(&self, side: Side) -> &Plan {
        match side {
            Side::Request => &self.request,
            Side::Response => &self.response,
        }
    }

    /// What has to be known before it can be carried out on a side, or before it is known whether it holds.
    pub fn needs(&self, side: Side) -> Needs {
        let plan = self.plan(side);
        let mut needs = plan.needs;
        needs.head |= self.matches.is_some() || self.when.is_some() || needs.reads_body();
        // What is missing is known only by whoever looks.
        needs.head |= self.on_error.remedy(Trouble::Missing) != Remedy::Skip;
        if let Some(when) = &self.when {
            needs.scope = true;
            needs.consumer |= when.needs_consumer();
            needs.json |= when.needs_body();
            needs.holds |= when.needs_body() && !plan.ops.iter().all(Op::is_in_body);
        }
        needs
    }

    /// Whether what it does to the response depends on the request.
    pub fn needs_request(&self) -> bool {
        let needs = self.needs(Side::Response);
        self.matches.is_some() || needs.scope || needs.captures || needs.body
    }
}

/// What to do where a head has to wait for its body.
pub const HOLDING: &str = "this takes a head that waits for its body: write allow_on_headers_stop_iteration: true here, \
    and in the PluginConfig of Envoy as well";

/// Refuses rules for which a head would have to wait for its body.
///
/// # Errors
/// The first operation of that kind.
pub fn refuse_holding(rules: &[Rule], at: &Path) -> Result<(), ConfigError> {
    for (index, rule) in rules.iter().enumerate() {
        for (side, name) in [(Side::Request, "request"), (Side::Response, "response")] {
            let plan = rule.plan(side);
            let here = at.index(index);
            if let Some(at) = plan.holding {
                let error = ConfigError::at(here.key(name).index(at));
                return Err(error.problem("the head depends on the body").hint(HOLDING));
            }
            if rule.needs(side).holds {
                let error = ConfigError::at(here.key("when"));
                return Err(error.problem("operations on the head depend on the body").hint(HOLDING));
            }
        }
    }
    Ok(())
}

impl Plan {
    fn compile(operations: Vec<Operation>, side: Side, at: &Path) -> Result<Self, ConfigError> {
        let mut compiler = Compiler { side, plan: Self::default() };
        for (index, operation) in operations.into_iter().enumerate() {
            compiler.operation(operation, &at.index(index))?;
            if compiler.plan.needs.holds && compiler.plan.holding.is_none() {
                compiler.plan.holding = Some(index);
            }
        }
        Ok(compiler.plan)
    }
}

struct Compiler {
    side: Side,
    plan: Plan,
}

impl Compiler {
    fn operation(&mut self, operation: Operation, at: &Path) -> Result<(), ConfigError> {
        match operation {
            Operation::Set(config) => self.write(How::Set, config, &at.key("set")),
            Operation::Add(config) => self.write(How::Add, config, &at.key("add")),
            Operation::Append(config) => self.write(How::Append, config, &at.key("append")),
            Operation::Remove(config) => self.remove(config, &at.key("remove")),
            Operation::Rename(config) => self.rename(config, &at.key("rename")),
            Operation::Copy(config) => self.transfer(config, false, &at.key("copy")),
            Operation::Move(config) => self.transfer(config, true, &at.key("move")),
            Operation::Keep(config) => self.keep(config, &at.key("keep")),
        }
    }

    fn push(&mut self, op: Op, needs: Needs) {
        self.plan.ops.push(op);
        self.plan.needs = self.plan.needs.and(needs);
    }

    fn write(&mut self, how: How, config: WriteConfig, at: &Path) -> Result<(), ConfigError> {
        let word = match how {
            How::Set => "set",
            How::Add => "add",
            How::Append => "append",
        };
        let WriteConfig {
            header,
            query,
            cookie,
            attributes,
            json,
            to,
            path,
            method,
            host,
            status,
            body,
            content_type,
        } = config;
        let named = [
            ("header", header.is_some()),
            ("query", query.is_some()),
            ("cookie", cookie.is_some()),
            ("json", json.is_some()),
        ];
        let alone = [
            ("path", path.is_some()),
            ("method", method.is_some()),
            ("host", host.is_some()),
            ("status", status.is_some()),
            ("body", body.is_some()),
        ];
        one_of(named.iter().chain(&alone), "header, query, cookie, json, path, method, host, status, body", at)?;
        let is_alone = alone.iter().any(|(_, given)| *given);
        if is_alone && how != How::Set {
            let found = alone.iter().find(|(_, given)| *given).map_or("", |(name, _)| name);
            let expected = match how {
                How::Append => "header, query or json: only they can have several values",
                _ => "header, query, cookie or json: only they can be missing",
            };
            return Err(ConfigError::at(at).found(format!("{word} with {found}")).expected(expected).hint("write set"));
        }
        if how == How::Append && cookie.is_some() {
            let expected = "header, query or json: only they can have several values";
            return Err(ConfigError::at(at).found("append with cookie").expected(expected).hint("write set"));
        }
        if is_alone && to.is_some() {
            let found = alone.iter().find(|(_, given)| *given).map_or("", |(name, _)| name);
            let hint = format!("write {word}: {{{found}: ...}}");
            return Err(ConfigError::at(at.key("to")).found(format!("to beside {found}")).expected("nothing").hint(hint));
        }
        if attributes.is_some() && (cookie.is_none() || self.side == Side::Request) {
            let error = ConfigError::at(at.key("attributes")).found("attributes");
            return Err(error.expected("them only beside a cookie of a response"));
        }
        if content_type.is_some() && body.is_none() {
            let error = ConfigError::at(at.key("content_type")).found("content_type without body");
            return Err(error.expected("it only beside body").hint("write set: {header: content-type, to: ...}"));
        }
        if let Some(body) = body {
            return self.write_body(&body, content_type.as_deref(), at);
        }
        if let Some(source) = path {
            self.check(&Place::Path, &at.key("path"))?;
            let path = PathText::compile(&source, &at.key("path"))?;
            let templates = path.templates().map(Needs::template).fold(Needs::default(), Needs::and);
            let captures = path.has_captures();
            // What a template of a body says is known only once the head would be gone.
            let needs = Needs { head: true, captures, holds: templates.json, ..templates };
            self.push(Op::WritePath(path), needs);
            return Ok(());
        }
        let single = |text: Literal| (text, true);
        let (to, value, is_alone) = if let Some(method) = method {
            (Place::Method, single(Literal::String(method)), "method")
        } else if let Some(host) = host {
            (Place::Host, single(Literal::String(host)), "host")
        } else if let Some(status) = status {
            (Place::Status, single(status), "status")
        } else {
            let to = to.ok_or_else(|| {
                let found = named.iter().find(|(_, given)| *given).map_or("", |(name, _)| name);
                let hint = format!("write {word}: {{{found}: ..., to: the value}}");
                ConfigError::at(at).problem("missing field \"to\"").hint(hint)
            })?;
            let place = self.named(header, query, cookie, json, Access::Write, at)?;
            (place, (to, false), "to")
        };
        let (literal, _) = value;
        self.check(&to, &at.key(is_alone))?;
        let value = compile_value(&literal, &to, &at.key(is_alone))?;
        if let Some(attributes) = &attributes
            && !cookies::is_value(attributes.replace(';', "").trim().as_bytes())
        {
            let error = ConfigError::at(at.key("attributes")).value(attributes);
            return Err(error.expected("attributes of a cookie, such as Path=/; Secure; HttpOnly"));
        }
        let base = Needs::text(&value);
        let needs = if to.in_body() {
            Needs { json: true, ..base }
        } else {
            let reads = how == How::Add || !matches!(to, Place::Header(_) | Place::Method | Place::Host | Place::Status);
            Needs { head: base.head || reads, holds: base.json, ..base }
        };
        self.push(Op::Write { how, to, value, attributes: attributes.map(Into::into) }, needs);
        Ok(())
    }

    fn write_body(&mut self, body: &Literal, content_type: Option<&str>, at: &Path) -> Result<(), ConfigError> {
        let content_type = content_type.unwrap_or("application/json");
        let here = at.key("content_type");
        let wrong = || {
            let error = ConfigError::at(&here).value(content_type);
            error.expected("a media type, such as text/html; charset=utf-8")
        };
        let is = |pattern: &str| {
            MediaTypePattern::new(pattern).is_some_and(|pattern| pattern.matches(content_type.as_bytes()))
        };
        if !is("*/*") {
            return Err(wrong());
        }
        let sink = if is("application/json") || is("*/*+json") {
            Sink::Json
        } else if is("text/html") {
            Sink::Html
        } else if is("application/xml") || is("text/xml") || is("*/*+xml") {
            Sink::Xml
        } else {
            Sink::Text
        };
        let at = at.key("body");
        let source = match body {
            // The text of a body, not a JSON string.
            Literal::String(text) => text.clone(),
            other if sink == Sink::Json => other.json_template(),
            other => {
                let error = ConfigError::at(&at).found(other.kind()).expected("a string");
                return Err(error.hint("only bodies of JSON are written as JSON values"));
            }
        };
        let value = Text::compile(&source, sink, &at)?;
        if let (Sink::Json, Some(text)) = (sink, value.literal())
            && let Err(error) = meshgate_json::validate(text, &meshgate_json::Limits::default())
        {
            let error = ConfigError::at(&at).value(&source).expected("JSON").hint(error.to_string());
            return Err(error);
        }
        let content_type = HeaderValue::new(content_type.as_bytes().to_vec()).map_err(|_| wrong())?;
        let base = Needs::text(&value);
        let is_json = sink == Sink::Json;
        self.push(Op::WriteBody { value, content_type, is_json }, Needs { head: true, body: true, ..base });
        Ok(())
    }

    fn remove(&mut self, config: NamesConfig, at: &Path) -> Result<(), ConfigError> {
        check_names(&config, at)?;
        let NamesConfig { header, query, cookie, json } = config;
        for (name, at) in names(header, at, "header") {
            self.push(Op::Remove(place::header(&name, Access::Write, &at)?), Needs::default());
        }
        for (name, at) in names(query, at, "query") {
            let place = place::query(&name, &at)?;
            self.check(&place, &at)?;
            self.push(Op::Remove(place), Needs { head: true, ..Needs::default() });
        }
        for (name, at) in names(cookie, at, "cookie") {
            self.push(Op::Remove(place::cookie(&name, &at)?), Needs { head: true, ..Needs::default() });
        }
        for (name, at) in names(json, at, "json") {
            let path = place::json(&name, &at)?;
            refuse_root(&path, &at, "remove")?;
            self.push(Op::Remove(Place::Json(path)), Needs { json: true, ..Needs::default() });
        }
        Ok(())
    }

    fn keep(&mut self, config: NamesConfig, at: &Path) -> Result<(), ConfigError> {
        check_names(&config, at)?;
        let NamesConfig { header, query, cookie, json } = config;
        let head = Needs { head: true, ..Needs::default() };
        if header.is_some() {
            let names = names(header, at, "header");
            let names = names.map(|(name, at)| place::header_name(&name, Access::Read, &at));
            self.push(Op::KeepHeaders(names.collect::<Result<_, _>>()?), head);
        }
        if query.is_some() {
            self.check(&Place::Query(Box::default()), &at.key("query"))?;
            let names = names(query, at, "query").map(|(name, at)| place::query_name(&name, &at));
            self.push(Op::KeepQuery(names.collect::<Result<_, _>>()?), head);
        }
        if cookie.is_some() {
            let names = names(cookie, at, "cookie").map(|(name, at)| place::cookie_name(&name, &at));
            self.push(Op::KeepCookies(names.collect::<Result<_, _>>()?), head);
        }
        if json.is_some() {
            let root = place::json("", at)?;
            let kept = names(json, at, "json").map(|(name, at)| place::json(&name, &at));
            let kept = kept.collect::<Result<_, _>>()?;
            self.push(Op::KeepJson { root, kept }, Needs { json: true, ..Needs::default() });
        }
        Ok(())
    }

    fn rename(&mut self, config: RenameConfig, at: &Path) -> Result<(), ConfigError> {
        let RenameConfig { header, query, cookie, json, to } = config;
        let given = [
            ("header", header.is_some()),
            ("query", query.is_some()),
            ("cookie", cookie.is_some()),
            ("json", json.is_some()),
        ];
        one_of(given.iter(), "header, query, cookie, json", at)?;
        let to = to.ok_or_else(|| {
            let found = given.iter().find(|(_, given)| *given).map_or("", |(name, _)| name);
            let hint = format!("write rename: {{{found}: ..., to: the new name}}");
            ConfigError::at(at).problem("missing field \"to\"").hint(hint)
        })?;
        let new = at.key("to");
        if let Some(path) = json {
            let from = place::json(&path, &at.key("json"))?;
            refuse_root(&from, &at.key("json"), "rename")?;
            if to.starts_with('/') || to.starts_with("$.") {
                let hint = "to put it elsewhere write move: {from: {json: ...}, to: {json: ...}}";
                return Err(ConfigError::at(&new).value(&to).expected("the new key of the member, not a path").hint(hint));
            }
            self.push(Op::RenameJson(from, to.into()), Needs { json: true, ..Needs::default() });
            return Ok(());
        }
        let to = if header.is_some() {
            place::header(&to, Access::Write, &new)?
        } else if query.is_some() {
            place::query(&to, &new)?
        } else {
            place::cookie(&to, &new)?
        };
        let from = self.named(header, query, cookie, None, Access::Write, at)?;
        self.check(&from, at)?;
        self.push(Op::Rename(from, to), Needs { head: true, ..Needs::default() });
        Ok(())
    }

    fn transfer(&mut self, config: TransferConfig, take: bool, at: &Path) -> Result<(), ConfigError> {
        let (from_at, to_at) = (at.key("from"), at.key("to"));
        let access = if take { Access::Write } else { Access::Read };
        let from = match config.from {
            From::Path => Place::Path,
            From::Method => Place::Method,
            From::Host => Place::Host,
            From::Status => Place::Status,
            From::Body => Place::Body,
            From::Header(name) => place::header(&name, access, &from_at.key("header"))?,
            From::Query(name) => place::query(&name, &from_at.key("query"))?,
            From::Cookie(name) => place::cookie(&name, &from_at.key("cookie"))?,
            From::Capture(name) => Place::Capture(name.into()),
            From::Json(path) => Place::Json(place::json(&path, &from_at.key("json"))?),
        };
        let to = match config.to {
            To::Path => Place::Path,
            To::Method => Place::Method,
            To::Host => Place::Host,
            To::Status => Place::Status,
            To::Body => Place::Body,
            To::Header(name) => place::header(&name, Access::Write, &to_at.key("header"))?,
            To::Query(name) => place::query(&name, &to_at.key("query"))?,
            To::Cookie(name) => place::cookie(&name, &to_at.key("cookie"))?,
            To::Json(path) => Place::Json(place::json(&path, &to_at.key("json"))?),
        };
        self.check(&from, &from_at)?;
        self.check(&to, &to_at)?;
        let is_fixed = |place: &Place| {
            matches!(
                place,
                Place::Path | Place::Method | Place::Host | Place::Status | Place::Capture(_) | Place::Body
            )
        };
        if take && is_fixed(&from) {
            let error = ConfigError::at(&from_at).found("a place that can't be empty");
            return Err(error.expected("header, query, cookie or json").hint("write copy"));
        }
        match (&from, &to) {
            (Place::Body, Place::Json(_) | Place::Body) => {
                let error = ConfigError::at(&from_at).found("the body, to write into the body");
                return Err(error.expected("{json: \"\"}, which is the whole of a JSON body"));
            }
            (Place::Json(from), Place::Json(_)) if take => refuse_root(from, &from_at, "move")?,
            (Place::Json(from), _) if take => refuse_root(from, &from_at, "move")?,
            _ => {}
        }
        let needs = Needs {
            head: !from.in_body() || !to.in_body(),
            captures: matches!(from, Place::Capture(_)),
            json: matches!(from, Place::Json(_)) || matches!(to, Place::Json(_)),
            body: matches!(from, Place::Body) || matches!(to, Place::Body),
            holds: from.in_body() && !to.in_body(),
            ..Needs::default()
        };
        self.push(Op::Transfer { from, to, take }, needs);
        Ok(())
    }

    fn named(
        &self,
        header: Option<String>,
        query: Option<String>,
        cookie: Option<String>,
        json: Option<String>,
        access: Access,
        at: &Path,
    ) -> Result<Place, ConfigError> {
        if let Some(name) = header {
            place::header(&name, access, &at.key("header"))
        } else if let Some(name) = query {
            let place = place::query(&name, &at.key("query"))?;
            self.check(&place, &at.key("query"))?;
            Ok(place)
        } else if let Some(name) = cookie {
            place::cookie(&name, &at.key("cookie"))
        } else {
            place::json(&json.unwrap_or_default(), &at.key("json")).map(Place::Json)
        }
    }

    fn check(&self, place: &Place, at: &Path) -> Result<(), ConfigError> {
        place::check_side(place, self.side, at)
    }
}

/// Compiles a value for a place, and checks it if it is always the same.
fn compile_value(value: &Literal, to: &Place, at: &Path) -> Result<Text, ConfigError> {
    if let Place::Json(_) = to {
        return Text::compile(&value.json_template(), Sink::Json, at);
    }
    let text = value.text().ok_or_else(|| {
        let error = ConfigError::at(at).found(value.kind()).expected("a string, a number or a boolean");
        error.hint("only places in a JSON body hold more")
    })?;
    let sink = if matches!(to, Place::Header(_)) { Sink::Header } else { Sink::Text };
    let compiled = Text::compile(&text, sink, at)?;
    let Some(literal) = compiled.literal() else { return Ok(compiled) };
    let (is_valid, expected) = match to {
        Place::Method => (target::is_method(literal), "a method such as PUT, other than CONNECT"),
        Place::Host => (target::is_host(literal), "a host such as api.internal or api.internal:8080"),
        Place::Status => (
            target::is_status(literal),
            "a status from 200 to 599, but for 204, 205 and 304: the body of the response would be left over",
        ),
        Place::Cookie(_) => {
            (cookies::is_value(literal), "the value of a cookie, without ; and spaces around it")
        }
        Place::Header(_) => {
            (HeaderValue::new(literal).is_ok(), "the value of a header field, without control characters")
        }
        _ => (true, ""),
    };
    if is_valid { Ok(compiled) } else { Err(ConfigError::at(at).value(&text).expected(expected)) }
}

/// Refuses what names no place, or several.
fn one_of<'a>(
    given: impl Iterator<Item = &'a (&'static str, bool)>,
    all: &str,
    at: &Path,
) -> Result<(), ConfigError> {
    let found: Vec<&str> = given.filter(|(_, given)| *given).map(|(name, _)| *name).collect();
    match found.as_slice() {
        [_] => Ok(()),
        [] => Err(ConfigError::at(at).found("no place").expected(format!("one of {all}"))),
        several => {
            let error = ConfigError::at(at).found(several.join(" and ")).expected("one of them");
            Err(error.hint("write an operation for each"))
        }
    }
}

fn check_names(config: &NamesConfig, at: &Path) -> Result<(), ConfigError> {
    let given = [
        ("header", config.header.is_some()),
        ("query", config.query.is_some()),
        ("cookie", config.cookie.is_some()),
        ("json", config.json.is_some()),
    ];
    one_of(given.iter(), "header, query, cookie, json", at)
}

/// The names with their places in the document.
fn names(
    names: Option<OneOrMany<String>>,
    at: &Path,
    key: &str,
) -> impl Iterator<Item = (String, Path)> {
    let at = at.key(key);
    let names = names.map(OneOrMany::into_vec).unwrap_or_default();
    let one = names.len() == 1;
    names.into_iter().enumerate().map(move |(index, name)| {
        let at = if one { at.clone() } else { at.index(index) };
        (name, at)
    })
}

fn refuse_root(path: &JsonPath, at: &Path, word: &str) -> Result<(), ConfigError> {
    if matches!(path.as_str(), "" | "$") {
        let error = ConfigError::at(at).value(path.as_str());
        return Err(error.expected(format!("a place in the body to {word}, not all of it")));
    }
    Ok(())
}
