//! Keys that are fetched from a file.

#![allow(clippy::arithmetic_side_effects, reason = "test code")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use meshgate_policy::host::{Answer, HostError};
use meshgate_test_host::{Planned, SentHttp, http_answer};
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

pub const SECOND: Duration = Duration::from_secs(1);

/// A file server behind the cluster `files`: with ranges, entity tags and conditions, and ways in which it may fail.
#[derive(Clone)]
pub struct Files {
    pub world: World,
    pub file: Rc<RefCell<(String, Vec<u8>)>>,
    /// What it answers instead, if anything.
    instead: Rc<RefCell<Option<Planned>>>,
    /// How long a part is at most, whatever was asked for.
    pub most: Rc<Cell<usize>>,
    asked: Rc<Cell<u32>>,
}

impl Files {
    pub fn new(file: impl Into<Vec<u8>>) -> Self {
        let files = Self {
            world: World::new(),
            file: Rc::new(RefCell::new(("\"1\"".to_owned(), file.into()))),
            instead: Rc::default(),
            most: Rc::new(Cell::new(usize::MAX)),
            asked: Rc::default(),
        };
        let server = files.clone();
        files.world.on_http("files", move |call| {
            server.asked.set(server.asked.get() + 1);
            let instead = server.instead.borrow().clone();
            instead.unwrap_or_else(|| server.answer(call).into())
        });
        files
    }

    fn answer(&self, call: &SentHttp) -> Answer {
        let (etag, file) = &*self.file.borrow();
        let field = |name| call.head.get(name).unwrap_or_default();
        let etag_field = ("etag", etag.as_str());
        if !etag.is_empty() && field("if-none-match").split(", ").any(|tag| tag == etag) {
            return http_answer(304, &[etag_field], "");
        }
        if !field("if-match").is_empty() && field("if-match") != etag {
            return http_answer(412, &[], "");
        }
        let (from, to) = field("range").strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
        if from >= file.len() {
            return http_answer(416, &[("content-range", &format!("bytes */{}", file.len()))], "");
        }
        let to = to.min(file.len() - 1).min(from.saturating_add(self.most.get() - 1));
        let range = format!("bytes {from}-{to}/{}", file.len());
        http_answer(206, &[etag_field, ("content-range", &range)], &file[from..=to])
    }

    /// Another version of the file.
    pub fn put(&self, file: impl Into<Vec<u8>>) {
        let version = self.file.borrow().0.trim_matches('"').parse::<u32>().unwrap() + 1;
        *self.file.borrow_mut() = (format!("\"{version}\""), file.into());
    }

    pub fn says(&self, answer: impl Into<Planned>) {
        *self.instead.borrow_mut() = Some(answer.into());
    }

    pub fn serves(&self) {
        *self.instead.borrow_mut() = None;
    }

    pub fn asked(&self) -> u32 {
        self.asked.replace(0)
    }

    /// A worker that has been woken.
    pub fn worker(&self) -> Worker<Quota> {
        let worker = Worker::new(&self.world, document());
        worker.wake();
        worker
    }

    pub fn failed(&self) -> i64 {
        self.world.metric("meshgate.quota.keys.failed")
    }
}

pub fn document() -> Value {
    with([(
        "/key_files",
        json!([{"name": "portal", "cluster": "files", "path": "/keys.jsonl", "authority": "files.example", "refresh": "100s",
            "identity": {"plan": "endless", "consumer_prefix": "portal/"}}]),
    )])
}

/// A line for this key; `more` begins with a comma.
pub fn line(key: &str, more: &str) -> String {
    let digest = sha256(key.as_bytes());
    format!("{{\"id\": \"id-{key}\", \"consumer\": \"of-{key}\", \"sha256\": \"{digest}\"{more}}}\n")
}

pub fn file<'a>(keys: impl IntoIterator<Item = &'a str>) -> String {
    keys.into_iter().map(|key| line(key, "")).collect()
}

/// The status, and whom the upstream is told of.
pub fn who(worker: &Worker<Quota>, key: &str) -> (u16, String) {
    let outcome = send(worker, &get("/", key));
    if outcome.status() != 200 {
        return (outcome.status(), outcome.details.unwrap_or_default().to_owned());
    }
    let name = fields(outcome.forwarded()).into_iter().find(|(name, _)| name == "x-consumer-name");
    (200, name.unwrap().1)
}

pub fn status(worker: &Worker<Quota>, key: &str) -> u16 {
    who(worker, key).0
}

#[test]
fn keys_are_fetched_before_the_first_request() {
    let files = Files::new(file(["a", "b"]));
    let worker = files.worker();
    assert_eq!(files.asked(), 1);
    let outcome = send(&worker, &get("/", "a"));
    let told = fields(outcome.forwarded());
    for expected in
        [("x-consumer-name", "portal/of-a"), ("x-consumer-plan", "endless"), ("x-consumer-key-id", "id-a")]
    {
        assert!(told.contains(&(expected.0.to_owned(), expected.1.to_owned())), "{told:?}");
    }
    assert!(!told.iter().any(|(name, _)| name == "x-api-key"));
    assert_eq!(who(&worker, "b"), (200, "portal/of-b".to_owned()));
    // Those of the document as well.
    assert_eq!(who(&worker, "key-1"), (200, "acme".to_owned()));
    assert_eq!(who(&worker, "c"), (401, "meshgate_key_invalid".to_owned()));
    let [call] = &files.world.http_calls()[..] else { panic!() };
    let names = [":method", ":path", ":authority", "accept-encoding", "range"];
    let sent = names.map(|name| call.head.get(name).unwrap_or_default());
    assert_eq!(sent, ["GET", "/keys.jsonl", "files.example", "identity", "bytes=0-131071"]);
    assert_eq!(call.head.get("if-match"), None);
    assert_eq!(files.world.metric("meshgate.quota.keys.fetched"), 1);
    assert_eq!(files.world.metric("meshgate.quota.keys.portal.loaded"), 2);
    let now = i64::try_from(files.world.now().as_secs()).unwrap();
    assert_eq!(files.world.metric("meshgate.quota.keys.portal.fetched_at"), now);
}

#[test]
fn until_they_are_there_nobody_knows_whose_a_key_is() {
    let files = Files::new(file(["a"]));
    files.says(http_answer(503, &[], "no healthy upstream"));
    let worker = files.worker();
    for key in ["a", "nobody's"] {
        let outcome = send(&worker, &get("/", key));
        assert_eq!(outcome.status(), 503);
        assert_eq!(outcome.details, Some("meshgate_key_unchecked"));
        assert_eq!(outcome.answer().head.get("retry-after"), Some("2"));
        problem(&outcome);
    }
    assert_eq!(files.world.metric("meshgate.quota.denied.key_unchecked"), 2);
    // Those of the document are known.
    assert_eq!(who(&worker, "key-1").0, 200);
    assert_eq!(files.failed(), 1);
    files.asked();
    // The pauses get longer: after 1, 2, 4... up to 60 seconds.
    worker.pass(SECOND * 300);
    let asked = files.asked();
    assert!((8..=12).contains(&asked), "{asked}");
    files.serves();
    worker.pass(SECOND * 61);
    assert_eq!((status(&worker, "a"), status(&worker, "nobody's")), (200, 401));
}

/// In a line, in a character, between the end of a line and the next.
#[test]
fn parts_may_end_anywhere() {
    let good = file(["a"]) + "\r\n" + &line("b", ", \"metadata\": {\"x\": \"y\"}") + line("c", "").trim_end();
    let bad = file(["a", "b"]) + &line("c", ", \"\u{fc}ber \u{1f511}\": 1") + &line("d", "");
    for most in 1..=good.len() {
        for (text, expected) in [(&good, [200, 200, 200, 401]), (&bad, [503; 4])] {
            let files = Files::new(text.clone());
            files.most.set(most);
            let worker = files.worker();
            assert_eq!(["a", "b", "c", "d"].map(|key| status(&worker, key)), expected, "{most}");
        }
    }
}

#[test]
fn a_large_file_comes_in_parts() {
    let keys: Vec<String> = (0..5_000).map(|number| format!("fetched-{number}")).collect();
    // Lengths differ, so that borders fall on other places of a line.
    let text: String = keys
        .iter()
        .enumerate()
        .map(|(number, key)| {
            line(key, &format!(", \"metadata\": {{\"n\": \"{}\"}}", "x".repeat(1 + number % 7)))
                + &" ".repeat(number % 11)
        })
        .collect();
    let files = Files::new(text.clone());
    let worker = files.worker();
    let parts = u32::try_from(text.len().div_ceil(128 << 10)).unwrap();
    assert!(parts > 5);
    assert_eq!(files.asked(), parts);
    for call in &files.world.http_calls()[1..] {
        assert_eq!(call.head.get("if-match"), Some("\"1\""));
    }
    for key in &keys {
        assert_eq!(who(&worker, key), (200, format!("portal/of-{key}")));
    }
    assert_eq!(status(&worker, "fetched-5000"), 401);
    assert_eq!(files.world.metric("meshgate.quota.keys.portal.loaded"), 5_000);
}

#[test]
fn what_has_not_changed_is_not_fetched_again() {
    let files = Files::new(file(["a"]));
    let worker = files.worker();
    assert_eq!(files.asked(), 1);
    worker.pass(SECOND * 74);
    assert_eq!(files.asked(), 0);
    worker.pass(SECOND * 22);
    assert_eq!(files.asked(), 1);
    assert_eq!(files.world.http_calls().last().unwrap().head.get("if-none-match"), Some("\"1\""));
    assert_eq!(files.world.metric("meshgate.quota.keys.unchanged"), 1);
    assert_eq!((status(&worker, "a"), files.failed()), (200, 0));
}

#[test]
fn keys_come_go_and_change() {
    let files = Files::new(file(["a", "b"]) + &line("c", ", \"disabled\": true"));
    let worker = files.worker();
    assert_eq!(["a", "b", "c", "d"].map(|key| status(&worker, key)), [200, 200, 401, 401]);
    files.put(file(["d", "c", "b"]));
    worker.pass(SECOND * 96);
    assert_eq!(["a", "b", "c", "d"].map(|key| status(&worker, key)), [401, 200, 200, 200]);
    assert_eq!(files.world.metric("meshgate.quota.keys.portal.loaded"), 3);
}

/// Each says in which line and which field, and nothing of a value.
/// What writes the file may have failed.
/// It is not fetched again and again for its wrong line.
#[test]
fn a_wrong_version_is_fetched_once() {
    let files = Files::new(file(["a"]));
    let worker = files.worker();
    files.put(file(["a", "b"]) + "secret\n");
    worker.pass(SECOND * 96);
    worker.pass(SECOND * 600);
    let calls = files.world.http_calls();
    let conditions: Vec<_> = calls.iter().map(|call| call.head.get("if-none-match").unwrap_or("")).collect();
    assert_eq!(conditions[..3], ["", "\"1\"", "\"1\", \"2\""]);
    assert!(conditions[2..].iter().all(|condition| *condition == "\"1\", \"2\"") && conditions.len() > 8);
    assert_eq!(files.failed(), i64::try_from(conditions.len()).unwrap() - 1);
    // The old one once more is right, and so is a new one.
    files.file.borrow_mut().0 = "\"1\"".to_owned();
    worker.pass(SECOND * 61);
    assert_eq!(files.world.metric("meshgate.quota.keys.unchanged"), 1);
    files.file.borrow_mut().0 = "\"2\"".to_owned();
    files.put(file(["a", "c"]));
    worker.pass(SECOND * 96);
    assert_eq!(["a", "b", "c"].map(|key| status(&worker, key)), [200, 401, 200]);
}

#[test]
fn a_file_that_changes_while_it_comes_is_fetched_anew() {
    let many =
        |letter: &str| (0..2_000).map(|number| line(&format!("{letter}{number}"), "")).collect::<String>();
    for forgets_conditions in [false, true] {
        let files = Files::new(many("a"));
        let server = files.clone();
        let parts = Cell::new(0);
        files.world.on_http("files", move |call| {
            parts.set(parts.get() + 1);
            if parts.get() == 2 {
                server.put(many("b"));
                if forgets_conditions {
                    // With the part of the other version.
                    let mut call = call.clone();
                    call.head.remove("if-match");
                    return server.answer(&call);
                }
            }
            server.answer(call)
        });
        let worker = files.worker();
        assert_eq!((status(&worker, "a0"), status(&worker, "b0")), (503, 503));
        worker.pass(SECOND * 2);
        assert_eq!((status(&worker, "a0"), status(&worker, "b0"), status(&worker, "b1999")), (401, 200, 200));
        assert_eq!(files.failed(), 1);
    }
}

#[test]
fn a_part_that_does_not_come_is_asked_for_again() {
    let text: String = (0..5_000).map(|number| line(&format!("a{number}"), "")).collect();
    let files = Files::new(text);
    let server = files.clone();
    let calls = Cell::new(0);
    files.world.on_http("files", move |call| {
        calls.set(calls.get() + 1);
        match calls.get() {
            3 => Planned::Never,
            5 => Planned::Refused(HostError::Status(2)),
            7 => http_answer(502, &[], "").into(),
            _ => server.answer(call).into(),
        }
    });
    let worker = files.worker();
    assert_eq!(status(&worker, "a0"), 503);
    worker.pass(SECOND * 30);
    assert_eq!((status(&worker, "a0"), status(&worker, "a4999")), (200, 200));
    let ranges: Vec<_> =
        files.world.http_calls().iter().map(|call| call.head.get("range").unwrap().to_owned()).collect();
    assert_eq!(ranges.iter().filter(|range| range.starts_with("bytes=0-")).count(), 1, "{ranges:?}");
    assert_eq!(files.failed(), 3);
}

#[test]
fn a_server_without_ranges_may_have_a_small_file() {
    let files = Files::new("");
    files.says(http_answer(200, &[], file(["a"])));
    assert_eq!(status(&files.worker(), "a"), 200);
    let large = file(["a"]) + &" ".repeat(1 << 20);
    files.says(http_answer(200, &[], large));
    let worker = files.worker();
    assert_eq!((status(&worker, "a"), files.failed()), (503, 1));
}

#[test]
fn what_may_be_of_two_files_is_not_taken() {
    let text: String = (0..2_000).map(|number| line(&format!("a{number}"), "")).collect();
    for etag in ["W/\"1\"", "1", ""] {
        let files = Files::new(text.clone());
        files.file.borrow_mut().0 = etag.to_owned();
        let worker = files.worker();
        assert_eq!((status(&worker, "a0"), files.failed()), (503, 1), "{etag}");
        // One part is of one file.
        *files.file.borrow_mut() = (etag.replace('1', "2"), file(["a0"]).into());
        worker.pass(SECOND * 70);
        assert_eq!(status(&worker, "a0"), 200, "{etag}");
    }
}

/// A change of a limit must not take the keys away.
#[test]
fn another_configuration_has_the_keys_at_once() {
    let files = Files::new(file(["a", "b"]) + &line("c", ", \"plan\": \"free\""));
    let mut worker = files.worker();
    assert_eq!(["a", "c"].map(|key| status(&worker, key)), [200, 200]);
    files.asked();
    let mut other = document();
    other["key_files"][0]["identity"]["consumer_prefix"] = json!("other/");
    worker.reload(&other).unwrap();
    assert_eq!(files.asked(), 0);
    assert_eq!(who(&worker, "a"), (200, "other/of-a".to_owned()));
    // It asks whether they have changed.
    worker.wake();
    assert_eq!((files.asked(), files.world.metric("meshgate.quota.keys.unchanged")), (1, 1));
    // One that is wrong changes nothing.
    let mut wrong = document();
    wrong["table"] = json!({"entries": 7});
    assert!(worker.reload(&wrong).is_err());
    files.put(file(["b"]) + &line("c", ", \"plan\": \"free\""));
    worker.pass(SECOND * 96);
    assert_eq!(["a", "b"].map(|key| status(&worker, key)), [401, 200]);
    // A plan is gone that the file names: that key alone can't be checked.
    let mut less = document();
    less["plans"] = json!({"endless": {}});
    less["consumers"] = json!([]);
    worker.reload(&less).unwrap();
    worker.wake();
    assert_eq!(["b", "c"].map(|key| status(&worker, key)), [200, 503]);
    // Another file has others.
    let mut elsewhere = document();
    elsewhere["key_files"][0]["path"] = json!("/other.jsonl");
    worker.reload(&elsewhere).unwrap();
    assert_eq!(status(&worker, "b"), 503);
    worker.wake();
    assert_eq!(status(&worker, "b"), 200);
}

/// What one worker has seen, the others look at soon after.
#[test]
fn workers_tell_each_other_of_a_change() {
    let files = Files::new(file(["a"]));
    let workers = [files.worker(), files.worker(), files.worker()];
    assert_eq!(files.asked(), 3);
    files.put(file(["b"]));
    // One of them is the first whose time has come.
    let first = |key| workers.iter().position(|worker| status(worker, key) == 200);
    while first("b").is_none() {
        files.world.advance(SECOND);
        workers.iter().for_each(|worker| assert!(worker.wake().is_some()));
    }
    files.world.advance(SECOND);
    workers.iter().for_each(|worker| assert!(worker.wake().is_some()));
    assert!(workers.iter().all(|worker| status(worker, "b") == 200 && status(worker, "a") == 401));
    // Nobody goes on telling.
    files.asked();
    for _ in 0..20 {
        files.world.advance(SECOND);
        workers.iter().for_each(|worker| assert!(worker.wake().is_some()));
    }
    assert_eq!(files.asked(), 0);
}

/// What a request costs without any source is what it cost before there were sources.
#[test]
fn a_worker_without_sources_is_not_woken() {
    let worker = Worker::<Quota>::new(&World::new(), super::document());
    assert_eq!(worker.wake(), None);
}
