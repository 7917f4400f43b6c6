//! Rules of a document, compiled.

use meshgate_json::Path as JsonPath;
use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::host::Side;
use meshgate_policy::matching::Match;

use crate::config::{From, NamesConfig, Operation, RenameConfig, RuleConfig, To, TransferConfig};
use crate::place::{self, Access, Place};
use crate::rule::{How, Needs, Op, Plan, Rule};

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
            if when.as_ref().is_some_and(|when| when.needs().response) {
                let here = ConfigError::at(at.key("when"));
                return Err(here
                    .found("a condition on the response beside operations on the request")
                    .expected(only));
            }
        }
        let names = Names::of(matches.as_ref());
        if let Some(when) = &when {
            when.captures().try_for_each(|name| names.check(name, &at.key("when")))?;
        }
        let request = Plan::compile(request, Side::Request, &names, &at.key("request"))?;
        let response = Plan::compile(response, Side::Response, &names, &at.key("response"))?;
        let mut rule = Self { matches, when, on_error, request, response };
        rule.complete();
        Ok(rule)
    }
}

impl Plan {
    fn compile(
        operations: Vec<Operation>,
        side: Side,
        names: &Names,
        at: &Path,
    ) -> Result<Self, ConfigError> {
        let mut compiler = Compiler { side, names, plan: Self::default() };
        for (index, operation) in operations.into_iter().enumerate() {
            compiler.operation(operation, &at.index(index))?;
            if compiler.plan.needs.holds && compiler.plan.holding.is_none() {
                compiler.plan.holding = Some(index);
            }
        }
        Ok(compiler.plan)
    }
}

/// The names in the paths of a rule's `match`.
pub(crate) struct Names(Vec<String>);

impl Names {
    fn of(matches: Option<&Match>) -> Self {
        let mut names: Vec<String> = Vec::new();
        for name in matches.into_iter().flat_map(Match::names) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        Self(names)
    }

    /// Refuses an expression that asks `path` for another name: it would be empty for ever.
    pub(crate) fn check(&self, name: &str, at: &Path) -> Result<(), ConfigError> {
        self.check_as("path.", name, at)
    }

    /// [`check`](Self::check) for a name that stands there with this in front.
    fn check_as(&self, prefix: &str, name: &str, at: &Path) -> Result<(), ConfigError> {
        if self.0.iter().any(|known| known == name) {
            return Ok(());
        }
        let found = format!("{prefix}{name}");
        if self.0.is_empty() {
            let error = ConfigError::at(at).value(&found).expected("a name in match.path, which has none");
            return Err(error.hint(format!("write a path such as match: {{path: \"/users/{{{name}}}\"}}")));
        }
        let known: Vec<String> = self.0.iter().map(|known| format!("{prefix}{known}")).collect();
        Err(ConfigError::unknown(at, &found, known.iter().map(String::as_str)))
    }
}

/// Compiles the operations of one side.
pub(crate) struct Compiler<'a> {
    pub(crate) side: Side,
    pub(crate) names: &'a Names,
    plan: Plan,
}

impl Compiler<'_> {
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

    pub(crate) fn push(&mut self, op: Op, needs: Needs) {
        self.plan.ops.push(op);
        self.plan.needs = self.plan.needs.and(needs);
    }

    fn remove(&mut self, config: NamesConfig, at: &Path) -> Result<(), ConfigError> {
        let head = Needs { head: true, ..Needs::default() };
        match config {
            NamesConfig::Header(names) => {
                for (at, name) in names.located(&at.key("header")) {
                    self.push(Op::Remove(place::header(&name, Access::Write, &at)?), Needs::default());
                }
            }
            NamesConfig::Query(names) => {
                for (at, name) in names.located(&at.key("query")) {
                    let place = place::query(&name, &at)?;
                    self.check(&place, &at)?;
                    self.push(Op::Remove(place), head);
                }
            }
            NamesConfig::Cookie(names) => {
                for (at, name) in names.located(&at.key("cookie")) {
                    self.push(Op::Remove(place::cookie(&name, &at)?), head);
                }
            }
            NamesConfig::Json(names) => {
                for (at, name) in names.located(&at.key("json")) {
                    let path = place::json(&name, &at)?;
                    refuse_root(&path, &at, "remove")?;
                    self.push(Op::Remove(Place::Json(path)), Needs { json: true, ..Needs::default() });
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, config: NamesConfig, at: &Path) -> Result<(), ConfigError> {
        let head = Needs { head: true, ..Needs::default() };
        match config {
            NamesConfig::Header(names) => {
                let names = names
                    .located(&at.key("header"))
                    .map(|(at, name)| place::header_name(&name, Access::Read, &at));
                self.push(Op::KeepHeaders(names.collect::<Result<_, _>>()?), head);
            }
            NamesConfig::Query(names) => {
                self.check(&Place::Query(Box::default()), &at.key("query"))?;
                let names = names.located(&at.key("query")).map(|(at, name)| place::query_name(&name, &at));
                self.push(Op::KeepQuery(names.collect::<Result<_, _>>()?), head);
            }
            NamesConfig::Cookie(names) => {
                let names = names.located(&at.key("cookie")).map(|(at, name)| place::cookie_name(&name, &at));
                self.push(Op::KeepCookies(names.collect::<Result<_, _>>()?), head);
            }
            NamesConfig::Json(names) => {
                let root = place::json("", at)?;
                let kept = names.located(&at.key("json")).map(|(at, name)| place::json(&name, &at));
                let kept = kept.collect::<Result<_, _>>()?;
                self.push(Op::KeepJson { root, kept }, Needs { json: true, ..Needs::default() });
            }
        }
        Ok(())
    }

    fn rename(&mut self, config: RenameConfig, at: &Path) -> Result<(), ConfigError> {
        let RenameConfig { header, query, cookie, json, to } = config;
        let named = [
            ("header", header.is_some()),
            ("query", query.is_some()),
            ("cookie", cookie.is_some()),
            ("json", json.is_some()),
        ];
        one_of(named.iter(), "header, query, cookie, json", at)?;
        let to = to.ok_or_else(|| {
            let found = given(&named).unwrap_or_default();
            let hint = format!("write rename: {{{found}: ..., to: the new name}}");
            ConfigError::at(at).problem("missing field \"to\"").hint(hint)
        })?;
        let new = at.key("to");
        if let Some(path) = json {
            let from = place::json(&path, &at.key("json"))?;
            refuse_root(&from, &at.key("json"), "rename")?;
            if to.starts_with('/') || to.starts_with("$.") {
                let hint = "to put it elsewhere write move: {from: {json: ...}, to: {json: ...}}";
                return Err(ConfigError::at(&new)
                    .value(&to)
                    .expected("the new key of the member, not a path")
                    .hint(hint));
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
            From::Capture(name) => {
                self.names.check_as("", &name, &from_at.key("capture"))?;
                Place::Capture(name.into())
            }
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
            (Place::Json(from), _) if take => refuse_root(from, &from_at.key("json"), "move")?,
            _ => {}
        }
        let is_capture = matches!(from, Place::Capture(_));
        let needs = Needs {
            head: to.is_part() || !(from.in_body() || is_capture),
            request: is_capture,
            json: matches!(from, Place::Json(_)) || matches!(to, Place::Json(_)),
            body: matches!(from, Place::Body) || matches!(to, Place::Body),
            text: matches!(from, Place::Body),
            holds: from.in_body() && !to.in_body(),
            ..Needs::default()
        };
        self.push(Op::Transfer { from, to, take }, needs);
        Ok(())
    }

    pub(crate) fn named(
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

    pub(crate) fn check(&self, place: &Place, at: &Path) -> Result<(), ConfigError> {
        place::check_side(place, self.side, at)
    }
}

/// Refuses what names no place, or several.
pub(crate) fn one_of<'a>(
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

/// The first of some fields that is there.
pub(crate) fn given(fields: &[(&'static str, bool)]) -> Option<&'static str> {
    fields.iter().find(|(_, given)| *given).map(|(name, _)| *name)
}

fn refuse_root(path: &JsonPath, at: &Path, word: &str) -> Result<(), ConfigError> {
    if matches!(path.as_str(), "" | "$") {
        let error = ConfigError::at(at).value(path.as_str());
        return Err(error.expected(format!("a place in the body to {word}, not all of it")));
    }
    Ok(())
}
