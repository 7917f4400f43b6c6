//! What a policy finds in a world: configuration, shared values, metrics, callouts.

use std::rc::Rc;
use std::time::Duration;

use meshgate_policy::config::ConfigError;
use meshgate_policy::exchange::{Exchange, Next, Reply};
use meshgate_policy::headers::{HeaderName, Headers};
use meshgate_policy::host::{
    Answer, CalloutId, GrpcCall, HashFunction, Host, HostError, HttpCall, Listener, Map, Metric, MetricKind,
    Setup, Side, Version,
};
use meshgate_policy::metrics::{Counted, Counters};
use meshgate_policy::policy::{Phases, Policy};
use meshgate_test_host::{
    Chunking, Event, Message, Operation, Planned, Scripted, Worker, World, http_answer,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// Lets so many requests pass, over all workers.
struct Limit {
    requests: u64,
    passed: Metric,
    key: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    requests: u64,
}

struct Counting(Rc<Limit>);

impl Policy for Limit {
    const NAME: &'static str = "limit";
    const PHASES: Phases = Phases { request_head: true, ..Phases::NONE };
    type Config = Config;
    type Exchange = Counting;

    fn compile(config: Config, setup: &mut dyn Setup) -> Result<Self, ConfigError> {
        let key = format!("limit/{}", setup.instance());
        if setup.shared(&key).unwrap().is_none() {
            setup.set_shared(&key, b"0").unwrap();
        }
        let passed = setup.metric(MetricKind::Counter, "limit.passed").unwrap();
        Ok(Self { requests: config.requests, passed, key })
    }

    fn begin(self: &Rc<Self>) -> Counting {
        Counting(Rc::clone(self))
    }
}

impl Exchange for Counting {
    fn request_head(&mut self, host: &mut dyn Host, _end: bool) -> Result<Next, HostError> {
        loop {
            let shared = host.shared(&self.0.key)?.unwrap();
            let count: u64 = String::from_utf8(shared.value).unwrap().parse().unwrap();
            if count >= self.0.requests {
                return Ok(Next::Reply(Box::new(Reply::new(429, "over_limit"))));
            }
            match host.set_shared(&self.0.key, (count + 1).to_string().as_bytes(), Some(shared.version)) {
                Err(HostError::Conflict) => {}
                written => {
                    host.add(self.0.passed, 1);
                    return written.map(|()| Next::Continue);
                }
            }
        }
    }
}

fn statuses(worker: &Worker<Limit>, requests: usize) -> Vec<u16> {
    let run = |_| worker.run(&Message::get("/"), &Message::response(200)).status();
    (0..requests).map(run).collect()
}

#[test]
fn workers_share_values_and_metrics_and_instances_do_not() {
    let world = World::new();
    let one = Worker::<Limit>::new(&world, json!({"requests": 3}));
    let two = Worker::<Limit>::new(&world, r#"{"requests": 3}"#);
    let other = Worker::<Limit>::new(&world.instance("other"), json!({"requests": 1}));
    assert_eq!(statuses(&one, 2), [200, 200]);
    assert_eq!(statuses(&two, 2), [200, 429]);
    assert_eq!(statuses(&other, 2), [200, 429]);
    assert_eq!(world.metric("limit.passed"), 4);
    assert_eq!(world.shared_keys(), ["limit/other", "limit/test"]);
}

#[test]
fn a_write_that_comes_between_is_a_conflict() {
    let world = World::new();
    let worker = Worker::<Limit>::new(&world, json!({"requests": 3}));
    world.before_next_write(|world| world.set_shared("limit/test", "1"));
    world.before_next_write(|world| world.set_shared("limit/test", "2"));
    assert_eq!(statuses(&worker, 2), [200, 429]);
    assert_eq!(world.shared("limit/test").unwrap(), b"3");
}

#[test]
fn a_wrong_configuration_is_refused_with_its_place() {
    let error = Worker::<Limit>::load(&World::new(), json!({"requests": "many"})).unwrap_err();
    assert!(error.to_string().starts_with("requests: "), "{error}");
    assert!(Worker::<Limit>::load(&World::new(), "").is_err());
}

#[test]
fn versions_are_compared_only_where_there_is_a_value() {
    let exchange = Scripted::new(|host, event| {
        if !matches!(event, Event::Head { .. }) {
            return Ok(Next::Continue);
        }
        assert_eq!(host.shared("key")?, None);
        host.set_shared("key", b"1", Some(Version(77)))?;
        let first = host.shared("key")?.unwrap();
        host.set_shared("key", b"2", Some(first.version))?;
        assert_eq!(host.set_shared("key", b"3", Some(first.version)), Err(HostError::Conflict));
        assert_eq!(host.shared("key")?.unwrap().value, b"2");
        host.set_shared("key", b"4", None)?;
        Ok(Next::Continue)
    });
    let world = World::new();
    let mut conversation = world.begin(exchange);
    conversation.head(meshgate_policy::host::Side::Request, &Message::get("/").head, true);
    assert!(conversation.upstream().is_some());
    assert_eq!(world.shared("key").unwrap(), b"4");
}

#[test]
fn metrics_are_defined_once_and_grow_as_their_kind_allows() {
    let mut world = World::new();
    let mut define = |kind, name| Setup::metric(&mut world, kind, name).unwrap();
    let counter = define(MetricKind::Counter, "requests");
    let gauge = define(MetricKind::Gauge, "active");
    let histogram = define(MetricKind::Histogram, "size");
    assert_eq!(define(MetricKind::Counter, "requests"), counter);
    let exchange = Scripted::new(move |host, event| {
        if let Event::Head { .. } = event {
            host.add(counter, 2);
            host.add(counter, 0);
            host.add(counter, -1);
            host.add(gauge, 3);
            host.add(gauge, -1);
            host.record(histogram, 10);
        }
        Ok(Next::Continue)
    });
    world.begin(exchange).run(&Message::get("/"), &Message::response(200));
    assert_eq!((world.metric("requests"), world.metric("active")), (4, 4));
    assert_eq!(world.recorded("size"), [10, 10]);
}

#[test]
fn the_clock_moves_only_when_it_is_told_to() {
    let world = World::new();
    let start = world.now();
    assert_eq!(start.as_secs(), 1_767_225_600);
    world.advance(Duration::from_millis(1500));
    assert_eq!(world.now().since(start), Duration::from_millis(1500));
    world.advance_to(start);
    assert_eq!(world.now().since(start), Duration::from_millis(1500));
}

#[test]
fn random_numbers_are_the_same_for_the_same_seed() {
    let draw = |world: &World| {
        let out = Rc::new(std::cell::Cell::new([0; 11]));
        let drawn = Rc::clone(&out);
        let exchange = Scripted::new(move |host, event| {
            if let Event::Log = event {
                let mut bytes = [0; 11];
                host.random(&mut bytes)?;
                drawn.set(bytes);
            }
            Ok(Next::Continue)
        });
        world.begin(exchange).finish();
        out.get()
    };
    let world = World::new();
    let first = draw(&world);
    assert_ne!(draw(&world), first);
    assert_eq!(draw(&World::new()), first);
    world.seed(1);
    assert_ne!(draw(&world), first);
}

#[test]
fn attributes_are_what_the_test_set() {
    let world = World::new();
    world.set_property(&["source", "address"], "10.0.0.1:99");
    let exchange = Scripted::new(|host, event| {
        if let Event::Head { .. } = event {
            assert_eq!(host.property(&["source", "address"])?.unwrap(), b"10.0.0.1:99");
            assert_eq!(host.property(&["source"])?, None);
            assert_eq!(
                host.verify_signature(HashFunction::Sha256, b"", b"", b""),
                Err(HostError::Unsupported)
            );
        }
        Ok(Next::Continue)
    });
    world.begin(exchange).run(&Message::get("/"), &Message::response(200)).answer();
}

#[test]
fn clusters_answer_http_and_grpc() {
    let exchange = Scripted::new(|host, event| match event {
        Event::Head { side: meshgate_policy::host::Side::Request, .. } => {
            let headers = Headers::from_pairs([(":method", "POST"), (":path", "/"), (":authority", "a")]);
            let deadline = Duration::from_secs(1);
            let call =
                HttpCall { cluster: "http", headers: &headers, body: b"ask", deadline, max_answer: 10 };
            host.http_call(&call)?;
            let no_path = Headers::from_pairs([(":method", "POST"), (":authority", "a")]);
            let refused = host.http_call(&HttpCall { headers: &no_path, ..call.clone() });
            assert_eq!(refused, Err(HostError::Status(2)));
            assert_eq!(host.http_call(&HttpCall { cluster: "grpc", ..call }), Err(HostError::Status(2)));

            let metadata = Headers::default();
            let call = GrpcCall {
                cluster: "grpc",
                service: "a.B",
                method: "C",
                metadata: &metadata,
                message: b"\x08\x01",
                deadline,
                max_answer: 10,
            };
            host.grpc_call(&call)?;
            let refused = host.grpc_call(&GrpcCall { cluster: "http", ..call });
            assert_eq!(refused, Err(HostError::Status(4)));
            Ok(Next::Wait)
        }
        Event::Callout(..) if host.callouts() > 0 => Ok(Next::Wait),
        _ => Ok(Next::Continue),
    });
    let seen = exchange.seen();
    let world = World::new();
    world.on_http("http", |call| {
        assert_eq!(call.body, b"ask");
        http_answer(201, &[("x-answer", "1")], "yes")
    });
    world.on_grpc("grpc", |call| {
        assert_eq!((call.service.as_str(), call.method.as_str()), ("a.B", "C"));
        Planned::After(Duration::from_millis(3), Answer::GrpcStatus { code: 14 })
    });
    let outcome = world.begin(exchange).run(&Message::get("/"), &Message::response(204));
    assert_eq!(outcome.status(), 204);
    assert_eq!((world.http_calls().len(), world.grpc_calls().len()), (1, 1));
    let answers: Vec<Answer> = seen
        .borrow()
        .iter()
        .filter_map(|event| match event {
            Event::Callout(_, answer) => Some(answer.clone()),
            _ => None,
        })
        .collect();
    let [Answer::Http { headers, body }, Answer::GrpcStatus { code: 14 }] = answers.as_slice() else {
        panic!("{answers:?}");
    };
    assert_eq!(headers.first(HeaderName::STATUS.as_str()), Some(b"201".as_slice()));
    assert_eq!((headers.first("x-answer"), body.as_slice()), (Some(b"1".as_slice()), b"yes".as_slice()));
}

#[test]
#[should_panic(expected = "no metric \"limit.pased\", but [\"limit.passed\"]")]
fn a_metric_that_nobody_defined_is_a_mistake() {
    let world = World::new();
    let _worker = Worker::<Limit>::new(&world, json!({"requests": 3}));
    world.metric("limit.pased");
}

#[test]
fn a_document_may_come_as_a_struct() {
    let entry =
        |name: &[u8]| [&b"\x0a\x15\x0a\x08"[..], name, b"\x12\x09\x11", &2_f64.to_le_bytes()].concat();
    let worker = Worker::<Limit>::load_bytes(&World::new(), &entry(b"requests")).unwrap();
    let run = || worker.run(&Message::get("/"), &Message::response(200)).status();
    assert_eq!([run(), run(), run()], [200, 200, 429]);

    let refused =
        |document: &[u8]| Worker::<Limit>::load_bytes(&World::new(), document).unwrap_err().to_string();
    assert_eq!(refused(&entry(b"reqvests")), refused(br#"{"reqvests": 2}"#));
    assert!(refused(&entry(b"requests")[1..]).contains("invalid JSON"));
}

#[test]
fn an_operation_fails_when_a_test_says_so() {
    let world = World::new();
    let broken = HostError::Status(10);
    world.fail_next(Operation::ReadShared, broken);
    world.fail_next(Operation::ReadShared, HostError::Unsupported);
    let exchange = Scripted::new(move |host, event| {
        if matches!(event, Event::Head { side: Side::Request, .. }) {
            host.set_shared("key", b"value", None)?;
            assert_eq!(host.shared("key"), Err(broken));
            assert_eq!(host.shared("key"), Err(HostError::Unsupported));
            assert!(host.shared("key")?.is_some());
        }
        Ok(Next::Continue)
    });
    world.begin(exchange).run(&Message::get("/"), &Message::response(204));

    world.fail_next(Operation::DefineMetric, broken);
    assert_eq!(Setup::metric(&mut world.clone(), MetricKind::Counter, "limit.passed"), Err(broken));
}

#[derive(Clone, Copy)]
enum Pets {
    Cat,
    Dog,
}

impl Counted for Pets {
    const NAMES: &'static [&'static str] = &["pets.cats", "pets.dogs"];

    fn index(self) -> usize {
        self as usize
    }
}

#[test]
fn counters_count_by_what_they_are_named_for() {
    let world = World::new();
    let pets = Counters::<Pets>::define(&mut world.clone()).unwrap();
    let exchange = Scripted::new(move |host, event| {
        if matches!(event, Event::Head { side: Side::Request, .. }) {
            for pet in [Pets::Dog, Pets::Cat, Pets::Dog] {
                pets.count(host, pet);
            }
        }
        Ok(Next::Continue)
    });
    world.begin(exchange).run(&Message::get("/"), &Message::response(204));
    assert_eq!((world.metric("pets.cats"), world.metric("pets.dogs")), (1, 2));

    world.fail_next(Operation::DefineMetric, HostError::Unsupported);
    let error = Counters::<Pets>::define(&mut world.clone()).unwrap_err();
    let expected = "$: the metric pets.cats can't be defined: the proxy does not offer this";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn what_policies_ask_is_remembered() {
    let world = World::new();
    let worker = Worker::<Limit>::new(&world, json!({"requests": 1}));
    let run = || {
        world.take_calls();
        worker.run(&Message::get("/"), &Message::response(200));
        world.take_calls()
    };
    assert_eq!(run(), ["shared limit/test", "set_shared limit/test", "add"]);
    assert_eq!(run(), ["shared limit/test"]);
    assert_eq!(world.take_calls(), [""; 0]);
}

/// Keeps the answers that it heard.
#[derive(Default)]
struct Heard(std::cell::RefCell<Vec<Answer>>);

impl Listener for Heard {
    fn answered(&self, host: &mut dyn Host, _: CalloutId, answer: &Answer) {
        assert_eq!(host.headers(Map::RequestHeaders), Err(HostError::WrongPhase));
        self.0.borrow_mut().push(answer.clone());
    }
}

#[test]
fn a_fetch_is_answered_for_all_that_wait_and_for_nobody() {
    let world = World::new();
    let answer = http_answer(200, &[], "keys");
    let planned = Planned::After(Duration::from_millis(20), answer.clone());
    world.on_http("idp", move |_| planned.clone());
    let heard = Rc::new(Heard::default());
    let id = Rc::new(std::cell::Cell::new(None));

    // The first one asks and does not wait; the others wait for what it asked.
    let asks = |waits: bool| {
        let (heard, id, expected) = (Rc::clone(&heard), Rc::clone(&id), answer.clone());
        Scripted::new(move |host, event| match event {
            Event::Head { side: Side::Request, .. } if waits => {
                host.join(id.get().unwrap())?;
                assert_eq!(host.callouts(), 1);
                Ok(Next::Wait)
            }
            Event::Head { side: Side::Request, .. } => {
                let headers = Headers::from_pairs([(":method", "GET"), (":path", "/"), (":authority", "a")]);
                let deadline = Duration::from_secs(1);
                let call =
                    HttpCall { cluster: "idp", headers: &headers, body: b"", deadline, max_answer: 10 };
                id.set(Some(host.fetch(&call, Rc::clone(&heard) as _)?));
                assert_eq!(host.callouts(), 0);
                Ok(Next::Continue)
            }
            Event::Callout(found, answer) => {
                assert_eq!((Some(*found), answer), (id.get(), &expected));
                assert_eq!(heard.0.borrow().len(), 1, "the listener comes first");
                Ok(Next::Continue)
            }
            _ => Ok(Next::Continue),
        })
    };
    let (request, response) = (Message::get("/"), Message::response(200));
    world.begin(asks(false)).run(&request, &response).forwarded();
    assert!(heard.0.borrow().is_empty());
    let mut waiting = [world.begin(asks(true)), world.begin(asks(true))];
    for conversation in &mut waiting {
        conversation.send(Side::Request, &request, &Chunking::WHOLE);
        assert_eq!(conversation.upstream(), None);
    }
    world.advance(Duration::from_millis(20));
    assert_eq!(*heard.0.borrow(), std::slice::from_ref(&answer));
    for conversation in &mut waiting {
        conversation.settle();
        assert!(conversation.upstream().is_some());
    }
    // Too late.
    let late = Scripted::new(move |host, event| {
        if let Event::Head { side: Side::Request, .. } = event {
            assert_eq!(host.join(id.get().unwrap()), Err(HostError::NothingToWaitFor));
        }
        Ok(Next::Continue)
    });
    world.begin(late).run(&request, &response).forwarded();
    assert_eq!(world.http_calls().len(), 1);
}
