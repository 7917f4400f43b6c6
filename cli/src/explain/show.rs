//! An exchange as people and programs read it.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use meshgate_policy::policy::Policy;
use meshgate_wasm_host::{
    Event, EventKind, Exchange, Fields, LogLevel, MetricKind, Outcome, Received, Response, Side,
};
use serde_json::{Map, Value, json};

use super::changes::{Change, changes};
use super::out;
use crate::output::one_line;

const HEAD: Style = Style::new().bold();
const PLUS: Style = AnsiColor::Green.on_default();
const MINUS: Style = AnsiColor::Red.on_default();
const WHY: Style = AnsiColor::Cyan.on_default();
const DIM: Style = Style::new().dimmed();

/// The filter whose reasons are those of stages.
const PIPELINE: &str = meshgate_gateway::Gateway::NAME;

/// What the modules begin a line of their logs with that says what they do and why (`Host::explain`).
const REASON: &str = "explain: ";

/// What one filter did on one side.
struct Turn<'a> {
    filter: &'a str,
    side: Side,
    reasons: Vec<Reason<'a>>,
    changes: Vec<Change>,
    events: Vec<&'a Event>,
    /// The request went no further.
    stops: bool,
}

/// Why a filter did what it did.
struct Reason<'a> {
    /// The stage of a pipeline.
    stage: Option<&'a str>,
    text: &'a str,
}

impl<'a> Turn<'a> {
    fn new(filter: &'a str, side: Side, changes: Vec<Change>, events: Vec<&'a Event>, stops: bool) -> Self {
        let reason = |event: &&'a Event| {
            let EventKind::Log { level: LogLevel::Trace, text } = &event.kind else { return None };
            let text = text.strip_prefix(REASON)?;
            let (stage, text) = match text.split_once(": ").filter(|_| filter == PIPELINE) {
                Some((stage, text)) => (Some(stage), text),
                None => (None, text),
            };
            // The turn says so already.
            let beginning = text.strip_prefix(side_name(side)).and_then(|text| text.strip_prefix(' '));
            Some(Reason { stage, text: beginning.unwrap_or(text) })
        };
        let reasons = events.iter().filter_map(reason).collect();
        // What else is logged at that level is for those who work on a module.
        let is_shown = |event: &&Event| !matches!(event.kind, EventKind::Log { level: LogLevel::Trace, .. });
        let events = events.iter().copied().filter(is_shown).collect();
        Self { filter, side, reasons, changes, events, stops }
    }
}

/// The turns of the filters in the order in which they have them. A filter that never saw the request has none.
fn turns<'a>(names: &[&'a str], exchange: &'a Exchange) -> Vec<Turn<'a>> {
    let events = |plugin: usize, side: Option<Side>| {
        let is_of = |event: &&Event| event.plugin == plugin && event.side == side;
        exchange.events.iter().filter(is_of).collect::<Vec<_>>()
    };
    let pair = |at: &'a [Option<Received>], plugin: usize| {
        let behind = plugin.saturating_add(1);
        (at.get(plugin).and_then(Option::as_ref), at.get(behind).and_then(Option::as_ref))
    };
    let mut turns = Vec::new();
    for (plugin, filter) in names.iter().enumerate() {
        let (Some(before), after) = pair(&exchange.request_at, plugin) else { break };
        let changes = after.map(|after| changes(before, after)).unwrap_or_default();
        let events = events(plugin, Some(Side::Request));
        turns.push(Turn::new(filter, Side::Request, changes, events, after.is_none()));
    }
    let seen = turns.len();
    for (plugin, filter) in names.iter().enumerate().take(seen).rev() {
        let (after, before) = pair(&exchange.response_at, plugin);
        let changes = match (before, after) {
            (Some(before), Some(after)) => changes(before, after),
            _ => Vec::new(),
        };
        let mut all = events(plugin, Some(Side::Response));
        all.extend(events(plugin, None));
        turns.push(Turn::new(filter, Side::Response, changes, all, false));
    }
    turns
}

/// For people.
///
/// # Errors
/// The output is closed.
pub fn text(names: &[&str], exchange: &Exchange) -> io::Result<()> {
    let mut out = out();
    let first = exchange.request_at.first().cloned().flatten().unwrap_or_default();
    writeln!(out, "{HEAD}client sends{HEAD:#}  {}", request_line(&first))?;
    let turns = turns(names, exchange);
    let mut told = false;
    for turn in &turns {
        if turn.side == Side::Response && !told {
            told = true;
            write_upstream(&mut out, exchange)?;
        }
        write_turn(&mut out, turn)?;
    }
    if !told {
        write_upstream(&mut out, exchange)?;
    }
    let response = exchange.response();
    let whole = response.whole_body();
    let breaks = if matches!(exchange.outcome, Outcome::Reset(_)) { ", and then it breaks off" } else { "" };
    let details = one_line(&exchange.details);
    writeln!(out, "{HEAD}client gets{HEAD:#}  {} {DIM}({details}){DIM:#}{breaks}", response.status)?;
    for (name, value) in response.headers.iter() {
        writeln!(out, "    {name}: {}", one_line(&String::from_utf8_lossy(value)))?;
    }
    if !whole.is_empty() {
        writeln!(out)?;
        match std::str::from_utf8(&whole) {
            Ok(text) => text.lines().try_for_each(|line| writeln!(out, "    {}", one_line(line)))?,
            Err(_) => writeln!(out, "    {} bytes", whole.len())?,
        }
    }
    if !exchange.waited.is_zero() {
        writeln!(out, "{DIM}after {} ms of waiting for callouts{DIM:#}", exchange.waited.as_millis())?;
    }
    Ok(())
}

fn write_upstream(out: &mut impl Write, exchange: &Exchange) -> io::Result<()> {
    match exchange.upstream() {
        Some(got) => {
            let part = if got.complete { "" } else { ", a part of it" };
            writeln!(out, "{HEAD}upstream gets{HEAD:#}  {}{part}", request_line(got))?;
            let answer = exchange.response_at.last().cloned().flatten().unwrap_or_default();
            let status = answer.pseudo(":status");
            if exchange.details == "via_upstream" {
                writeln!(out, "{HEAD}upstream answers{HEAD:#}  {status}")
            } else {
                writeln!(out, "{HEAD}proxy answers{HEAD:#}  {status}")
            }
        }
        None => writeln!(out, "{HEAD}upstream gets{HEAD:#}  nothing"),
    }
}

fn request_line(request: &Received) -> String {
    let line =
        format!("{} {}{}", request.pseudo(":method"), request.pseudo(":authority"), request.pseudo(":path"));
    let body = request.body.len();
    one_line(&if body == 0 { line } else { format!("{line}, with {body} bytes") })
}

fn write_turn(out: &mut impl Write, turn: &Turn<'_>) -> io::Result<()> {
    let side = side_name(turn.side);
    let nothing = turn.changes.is_empty() && turn.events.is_empty() && !turn.stops;
    let end = if nothing { "  nothing" } else { "" };
    writeln!(out, "{HEAD}{}{HEAD:#}, {side}{end}", turn.filter)?;
    for Reason { stage, text } in &turn.reasons {
        let stage = stage.map_or(String::new(), |stage| format!("{stage}: "));
        writeln!(out, "    {WHY}# {stage}{}{WHY:#}", one_line(text))?;
    }
    for change in &turn.changes {
        match change {
            Change::Added { name, value } => {
                writeln!(out, "    {PLUS}+ {name}: {}{PLUS:#}", one_line(value))?;
            }
            Change::Changed { name, from, to } => {
                writeln!(
                    out,
                    "    {PLUS}~ {name}: {}{PLUS:#} {DIM}was {}{DIM:#}",
                    one_line(to),
                    one_line(from)
                )?;
            }
            Change::Removed { name } => writeln!(out, "    {MINUS}- {name}{MINUS:#}")?,
            Change::Body { from, to, lines } => {
                writeln!(out, "    {PLUS}~ body: {to} bytes{PLUS:#} {DIM}were {from}{DIM:#}")?;
                for line in lines {
                    writeln!(out, "        {}", one_line(line))?;
                }
            }
        }
    }
    for line in told(&turn.events) {
        writeln!(out, "    {DIM}{}{DIM:#}", one_line(&line))?;
    }
    if turn.stops && turn.changes.is_empty() && turn.events.is_empty() {
        writeln!(out, "    {DIM}goes no further{DIM:#}")?;
    }
    Ok(())
}

/// What a filter did beside changing messages, in words. Metrics are summed up.
fn told(events: &[&Event]) -> Vec<String> {
    let mut lines = Vec::new();
    for event in events {
        match &event.kind {
            EventKind::Reply { status, details } => lines.push(format!("answers {status} {details}")),
            EventKind::Call(what) => lines.push(format!("calls {what}, which can't be reached from here")),
            EventKind::FilterState { key, value } => {
                lines.push(format!("filter state {key} = {}", String::from_utf8_lossy(value)));
            }
            EventKind::Log { level, text } => lines.push(format!("log {}: {text}", level.name())),
            EventKind::Metric { .. } => {}
        }
    }
    for (name, kind, by) in moved(events) {
        match kind {
            MetricKind::Histogram => lines.push(format!("metric {name} {by}")),
            MetricKind::Counter | MetricKind::Gauge => lines.push(format!("metric {name} {by:+}")),
        }
    }
    lines
}

/// By how much each metric moved.
fn moved(events: &[&Event]) -> Vec<(String, MetricKind, i64)> {
    let mut all: Vec<(String, MetricKind, i64)> = Vec::new();
    for event in events {
        let EventKind::Metric { name, kind, by } = &event.kind else { continue };
        match all.iter_mut().find(|(known, _, _)| known == name) {
            Some((_, _, sum)) => *sum = sum.saturating_add(*by),
            None => all.push((name.clone(), *kind, *by)),
        }
    }
    all
}

const fn side_name(side: Side) -> &'static str {
    match side {
        Side::Request => "request",
        Side::Response => "response",
    }
}

/// For programs: the form that the README describes.
pub fn to_json(names: &[&str], exchange: &Exchange) -> Value {
    let turn = |turn: &Turn<'_>| {
        let changes: Vec<_> = turn.changes.iter().map(change).collect();
        let metrics: Map<String, Value> =
            moved(&turn.events).into_iter().map(|(name, _, by)| (name, by.into())).collect();
        let reason = |reason: &Reason<'_>| json!({ "stage": reason.stage, "text": reason.text });
        let reasons: Vec<_> = turn.reasons.iter().map(reason).collect();
        let mut json = json!({
            "filter": turn.filter, "side": side_name(turn.side), "reasons": reasons, "changes": changes, "metrics": metrics,
        });
        let events = |of: &dyn Fn(&EventKind) -> Option<Value>| {
            turn.events.iter().filter_map(|event| of(&event.kind)).collect::<Vec<_>>()
        };
        let logs = events(&|kind| match kind {
            EventKind::Log { level, text } => Some(json!({ "level": level.name(), "text": text })),
            _ => None,
        });
        let calls = events(&|kind| match kind {
            EventKind::Call(what) => Some(what.clone().into()),
            _ => None,
        });
        let answers = events(&|kind| match kind {
            EventKind::Reply { status, details } => Some(json!({ "status": status, "details": details })),
            _ => None,
        });
        let state: Map<String, Value> = turn
            .events
            .iter()
            .filter_map(|event| match &event.kind {
                EventKind::FilterState { key, value } => {
                    Some((key.clone(), String::from_utf8_lossy(value).into()))
                }
                _ => None,
            })
            .collect();
        if let Some(object) = json.as_object_mut() {
            object.insert("logs".to_owned(), logs.into());
            object.insert("callouts".to_owned(), calls.into());
            object.insert("answers".to_owned(), answers.into());
            object.insert("filter_state".to_owned(), state.into());
        }
        json
    };
    let Response { status, headers, .. } = exchange.response();
    json!({
        "turns": turns(names, exchange).iter().map(turn).collect::<Vec<_>>(),
        "upstream": exchange.upstream().map(|got| json!({
            "method": got.pseudo(":method"),
            "path": got.pseudo(":path"),
            "host": got.pseudo(":authority"),
            "headers": list(&got.headers),
            "body": String::from_utf8_lossy(&got.body),
            "complete": got.complete,
        })),
        "client": {
            "status": status,
            "details": exchange.details,
            "headers": list(headers),
            "body": String::from_utf8_lossy(&exchange.response().whole_body()),
            "complete": !matches!(exchange.outcome, Outcome::Reset(_)),
        },
        "waited_ms": u64::try_from(exchange.waited.as_millis()).unwrap_or(u64::MAX),
    })
}

fn change(change: &Change) -> Value {
    match change {
        Change::Added { name, value } => json!({ "header": name, "to": value }),
        Change::Changed { name, from, to } => json!({ "header": name, "from": from, "to": to }),
        Change::Removed { name } => json!({ "header": name, "removed": true }),
        Change::Body { from, to, lines } => {
            json!({ "body": { "from_size": from, "to_size": to, "lines": lines } })
        }
    }
}

/// `[[name, value], ...]`, without pseudo-headers.
fn list(fields: &Fields) -> Vec<Value> {
    let field = |(name, value): (&str, &[u8])| json!([name, String::from_utf8_lossy(value)]);
    fields.iter().filter(|(name, _)| !name.starts_with(':')).map(field).collect()
}
