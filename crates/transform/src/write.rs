//! Operations that write a value, compiled.

use meshgate_policy::config::{ConfigError, Path};
use meshgate_policy::expression::template::{Sink, Template};
use meshgate_policy::headers::HeaderValue;
use meshgate_policy::host::Side;

use crate::compile::{Compiler, given, one_of};
use crate::config::WriteConfig;
use crate::literal::Literal;
use crate::place::{Access, Place};
use crate::rule::{How, Needs, Op};
use crate::text::{PathText, Text};
use crate::{cookies, target};

/// What `append` is for.
const SEVERAL: &str = "header, query or json: only they can have several values";

impl Compiler<'_> {
    pub(crate) fn write(&mut self, how: How, config: WriteConfig, at: &Path) -> Result<(), ConfigError> {
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
        one_of(
            named.iter().chain(&alone),
            "header, query, cookie, json, path, method, host, status, body",
            at,
        )?;
        if let Some(found) = given(&alone) {
            if how != How::Set {
                let expected = match how {
                    How::Append => SEVERAL,
                    _ => "header, query, cookie or json: only they can be missing",
                };
                let error = ConfigError::at(at).found(format!("{word} with {found}")).expected(expected);
                return Err(error.hint("write set"));
            }
            if to.is_some() {
                let error = ConfigError::at(at.key("to")).found(format!("to beside {found}"));
                return Err(error.expected("nothing").hint(format!("write {word}: {{{found}: ...}}")));
            }
        }
        if how == How::Append && cookie.is_some() {
            let error = ConfigError::at(at).found("append with cookie").expected(SEVERAL);
            return Err(error.hint("write set"));
        }
        if attributes.is_some() && (cookie.is_none() || self.side == Side::Request) {
            let error = ConfigError::at(at.key("attributes")).found("attributes");
            return Err(error.expected("them only beside a cookie of a response"));
        }
        if content_type.is_some() && body.is_none() {
            let error = ConfigError::at(at.key("content_type")).found("content_type without body");
            return Err(error
                .expected("it only beside body")
                .hint("write set: {header: content-type, to: ...}"));
        }
        if let Some(body) = body {
            return self.write_body(&body, content_type.as_deref(), at);
        }
        if let Some(source) = path {
            self.check(&Place::Path, &at.key("path"))?;
            let here = at.key("path");
            let path = PathText::compile(&source, &here)?;
            path.captures().try_for_each(|name| self.names.check(name, &here))?;
            let templates = path.templates().map(|template| Needs::expression(template.needs()));
            let templates = templates.fold(Needs::default(), Needs::and);
            // What a template of a body says is known only once the head would be gone.
            let needs = Needs { head: true, holds: templates.json, ..templates };
            self.push(Op::WritePath(path), needs);
            return Ok(());
        }
        let (to, literal, key) = if let Some(method) = method {
            (Place::Method, Literal::String(method), "method")
        } else if let Some(host) = host {
            (Place::Host, Literal::String(host), "host")
        } else if let Some(status) = status {
            (Place::Status, status, "status")
        } else {
            let to = to.ok_or_else(|| {
                let found = given(&named).unwrap_or_default();
                let hint = format!("write {word}: {{{found}: ..., to: the value}}");
                ConfigError::at(at).problem("missing field \"to\"").hint(hint)
            })?;
            (self.named(header, query, cookie, json, Access::Write, at)?, to, "to")
        };
        let here = at.key(key);
        self.check(&to, &here)?;
        let value = self.value(&literal, &to, &here)?;
        if let Some(attributes) = &attributes
            && !cookies::is_value(attributes.replace(';', "").trim().as_bytes())
        {
            let error = ConfigError::at(at.key("attributes")).value(attributes);
            return Err(error.expected("attributes of a cookie, such as Path=/; Secure; HttpOnly"));
        }
        let base = Needs::of(&value);
        let needs = if to.in_body() {
            Needs { json: true, ..base }
        } else {
            Needs { head: base.head || how == How::Add || to.is_part(), holds: base.json, ..base }
        };
        self.push(Op::Write { how, to, value, attributes: attributes.map(Into::into) }, needs);
        Ok(())
    }

    fn write_body(
        &mut self,
        body: &Literal,
        content_type: Option<&str>,
        at: &Path,
    ) -> Result<(), ConfigError> {
        let content_type = content_type.unwrap_or("application/json");
        let here = at.key("content_type");
        let wrong = || {
            let error = ConfigError::at(&here).value(content_type);
            error.expected("a media type, such as text/html; charset=utf-8")
        };
        let sink = Sink::of_body(content_type).ok_or_else(wrong)?;
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
        let value = self.text(&source, sink, &at)?;
        if let (Sink::Json, Some(text)) = (sink, value.literal())
            && let Err(error) = meshgate_json::validate(text, &meshgate_json::Limits::default())
        {
            let error = ConfigError::at(&at).value(&source).expected("JSON").hint(error.to_string());
            return Err(error);
        }
        let content_type = HeaderValue::new(content_type.as_bytes().to_vec()).map_err(|_| wrong())?;
        let base = Needs::of(&value);
        let is_json = sink == Sink::Json;
        self.push(Op::WriteBody { value, content_type, is_json }, Needs { head: true, body: true, ..base });
        Ok(())
    }

    /// Compiles a template, which asks for no name that there never is.
    fn text(&self, source: &str, sink: Sink, at: &Path) -> Result<Text, ConfigError> {
        let text = Text::compile(source, sink, at)?;
        for name in text.template().into_iter().flat_map(Template::captures) {
            self.names.check(name, at)?;
        }
        Ok(text)
    }

    /// Compiles a value for a place, and checks it if it is always the same.
    fn value(&self, value: &Literal, to: &Place, at: &Path) -> Result<Text, ConfigError> {
        if let Place::Json(_) = to {
            return self.text(&value.json_template(), Sink::Json, at);
        }
        let text = value.text().ok_or_else(|| {
            let error = ConfigError::at(at).found(value.kind()).expected("a string, a number or a boolean");
            error.hint("only places in a JSON body hold more")
        })?;
        let sink = if matches!(to, Place::Header(_)) { Sink::Header } else { Sink::Text };
        let compiled = self.text(&text, sink, at)?;
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
}
