//! Runs the tests of a plan.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use meshgate_wasm_host::{
    CallAnswer, Error, EventKind, Exchange, LogLevel, Options, Plugin, Proxy, Request, Response, Upstream,
};

use super::expect::{self, Difference};
use super::format::Chunks;
use super::message;
use super::plan::{Plan, Step, Test};

/// What came of a test.
pub struct Tested {
    pub name: String,
    pub line: usize,
    pub failures: Vec<Failure>,
    pub took: Duration,
}

/// A step that went wrong.
pub struct Failure {
    /// Which, where there are several.
    pub step: Option<String>,
    /// What was sent.
    pub request: String,
    /// What came instead.
    pub outcome: Option<String>,
    pub differences: Vec<Difference>,
    /// Why there was no outcome.
    pub error: Option<String>,
    /// Warnings and errors that were logged.
    pub logs: Vec<String>,
}

/// Into how many parts a body is split at most: one of many megabytes is not worth a callback a byte.
const MOST_PARTS: usize = 16 * 1024;

/// Runs the tests that are chosen, several at a time. Their results are in order.
pub fn all(plan: &Plan, chosen: &[&Test], jobs: usize) -> Vec<Tested> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, Tested)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, chosen.len().max(1)) {
            scope.spawn(|| {
                while let Some((index, test)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    chosen.get(index).map(|test| (index, *test))
                } {
                    let result = one(plan, test);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

fn one(plan: &Plan, test: &Test) -> Tested {
    let began = Instant::now();
    let failures = match test.chunks {
        Chunks::Whole => steps(plan, test, false).0,
        Chunks::Bytes => steps(plan, test, true).0,
        Chunks::Both => {
            let (mut failures, whole) = steps(plan, test, false);
            if failures.is_empty() && has_bodies(test) {
                let (failed, parts) = steps(plan, test, true);
                failures = compare(test, &whole, &parts);
                // What went wrong so that there is nothing to compare.
                failures.extend(failed.into_iter().filter(|failure| failure.error.is_some()));
            }
            failures
        }
    };
    Tested { name: test.name.clone(), line: test.line, failures, took: began.elapsed() }
}

fn has_bodies(test: &Test) -> bool {
    let of_upstream = |step: &Step| match &step.upstream {
        message::Upstream::Answers(response) => response.body.iter().any(|body| body.len() > 1),
        message::Upstream::Fails(_) => false,
    };
    test.steps.iter().any(|step| step.request.body.iter().any(|body| body.len() > 1) || of_upstream(step))
}

/// Runs all steps in a new world, as far as they go.
fn steps(plan: &Plan, test: &Test, split: bool) -> (Vec<Failure>, Vec<Exchange>) {
    let (mut failures, mut exchanges) = (Vec::new(), Vec::new());
    let failed = |step: &Step, number: usize, error: String| Failure {
        step: label(test, step, number, 1),
        request: described(&step.request),
        outcome: None,
        differences: Vec::new(),
        error: Some(error),
        logs: Vec::new(),
    };
    let mut proxy = match start(&plan.plugins, plan.start) {
        Ok(proxy) => proxy,
        Err(error) => {
            let first = test.steps.first().map(|step| failed(step, 0, error.to_string()));
            return (first.into_iter().collect(), exchanges);
        }
    };
    for (number, step) in test.steps.iter().enumerate() {
        // Also what is called while the clock moves.
        let callouts = step.callouts.clone();
        proxy.answer_calls(move |call| {
            callouts.iter().find_map(|callout| callout.answer(call)).unwrap_or(CallAnswer::Unknown)
        });
        if let Err(error) = move_clock(&mut proxy, step) {
            failures.push(failed(step, number, error));
            return (failures, exchanges);
        }
        for time in 1..=step.repeat {
            match exchange(&mut proxy, step, split) {
                Ok(exchange) => {
                    let differences = expect::differences(&step.expect, &exchange);
                    if !differences.is_empty() {
                        failures.push(Failure {
                            step: label(test, step, number, time),
                            request: described(&step.request),
                            outcome: Some(outcome(&exchange)),
                            differences,
                            error: None,
                            logs: complaints(&exchange),
                        });
                    }
                    exchanges.push(exchange);
                }
                Err(error) => {
                    failures.push(failed(step, number, error.to_string()));
                    return (failures, exchanges);
                }
            }
        }
    }
    (failures, exchanges)
}

/// Starts a chain in a world of its own.
pub fn start(plugins: &[Plugin], start: Option<Duration>) -> Result<Proxy, Error> {
    let usual = Options::default();
    Proxy::start(plugins, &Options { start: start.unwrap_or(usual.start), ..usual })
}

fn move_clock(proxy: &mut Proxy, step: &Step) -> Result<(), String> {
    if let Some(at) = step.at {
        let by = at
            .checked_sub(proxy.now())
            .ok_or("`at` is earlier than the time it is: the clock does not go back")?;
        proxy.advance(by).map_err(|error| error.to_string())?;
    }
    proxy.advance(step.advance).map_err(|error| error.to_string())
}

fn exchange(proxy: &mut Proxy, step: &Step, split: bool) -> Result<Exchange, Error> {
    let mut request = step.request.clone();
    if split {
        request.body = parts(&request.body);
    }
    match &step.upstream {
        message::Upstream::Answers(response) => {
            let mut response = response.clone();
            if split {
                response.body = parts(&response.body);
            }
            proxy.exchange(&request, Upstream::Answers(&mut |_| response.clone()))
        }
        message::Upstream::Fails(failure) => proxy.exchange(&request, Upstream::Fails(*failure)),
    }
}

/// A body byte by byte.
fn parts(body: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let whole = body.concat();
    let size = whole.len().div_ceil(MOST_PARTS).max(1);
    whole.chunks(size).map(<[u8]>::to_vec).collect()
}

fn compare(test: &Test, whole: &[Exchange], parts: &[Exchange]) -> Vec<Failure> {
    let steps = test
        .steps
        .iter()
        .enumerate()
        .flat_map(|(number, step)| (1..=step.repeat).map(move |time| (number, step, time)));
    let failure = |((number, step, time), (whole, parts)): ((usize, &Step, u32), (&Exchange, &Exchange))| {
        let differences = expect::of_chunks(whole, parts);
        (!differences.is_empty()).then(|| Failure {
            step: label(test, step, number, time),
            request: described(&step.request),
            outcome: None,
            differences,
            error: None,
            logs: complaints(parts),
        })
    };
    steps.zip(whole.iter().zip(parts)).filter_map(failure).collect()
}

fn label(test: &Test, step: &Step, number: usize, time: u32) -> Option<String> {
    let several = test.steps.len() > 1;
    let mut label = match &step.name {
        Some(name) => name.clone(),
        None if several => format!("step {}", number.saturating_add(1)),
        None => String::new(),
    };
    if step.repeat > 1 {
        label.push_str(if label.is_empty() { "request " } else { ", request " });
        label.push_str(&format!("{time} of {}", step.repeat));
    }
    (!label.is_empty()).then_some(label)
}

/// A request in a few words: its query and fields may be secret.
fn described(request: &Request) -> String {
    format!("{} {}", request.method, request.path.split('?').next().unwrap_or_default())
}

fn outcome(exchange: &Exchange) -> String {
    let Response { status, .. } = exchange.response();
    format!("{status} {}", exchange.details)
}

fn complaints(exchange: &Exchange) -> Vec<String> {
    let line = |kind: &EventKind| match kind {
        EventKind::Log { level, text } if *level >= LogLevel::Warn => {
            Some(format!("{}: {text}", level.name()))
        }
        _ => None,
    };
    exchange.events.iter().filter_map(|event| line(&event.kind)).collect()
}
