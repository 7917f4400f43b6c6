//! Files of keys. The bytes are one, as a server sends it.

use std::rc::Rc;

use meshgate_quota::Quota;
use meshgate_test_host::{Message, SentHttp, Worker, World, http_answer};

use crate::input;

/// Keys that requests carry: the first is in each file of the seeds, the last in none.
const KEYS: [&str; 4] = ["a", "b", "", "nobody's"];

const DOCUMENT: &str = r#"{
    "plans": {"free": {}, "gold": {}},
    "consumers": [],
    "key_files": [{"name": "file", "cluster": "files", "path": "/", "identity": {"plan": "free"}}]
}"#;

/// What is loaded of a file does not depend on the parts that it comes in: all of it or nothing.
pub fn any_key_file(bytes: &[u8]) {
    let file: Rc<[u8]> = bytes.into();
    let whole = Rc::clone(&file);
    let in_one = loaded(move |_| http_answer(200, &[("etag", "\"1\"")], &whole[..]));
    let mut ends = vec![];
    for piece in input::pieces(bytes, bytes.len() as u64) {
        ends.push(ends.last().copied().unwrap_or(0) + piece.len());
    }
    let in_parts = loaded(move |call| {
        let range = call.head.get("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let from: usize = range.expect("a part is asked for").0.parse().expect("with a number");
        let Some(&end) = ends.iter().find(|&&end| end > from) else {
            return http_answer(416, &[("content-range", &format!("bytes */{}", file.len()))], "");
        };
        let range = format!("bytes {from}-{}/{}", end - 1, file.len());
        http_answer(206, &[("etag", "\"1\""), ("content-range", &range)], &file[from..end])
    });
    assert_eq!(in_parts, in_one);
    let (keys, statuses) = in_one;
    // Nobody is let in, and nobody is told that a key is wrong, before there is a file.
    assert!(keys > 0 || statuses[0] == 503, "{keys} {statuses:?}");
    assert!(keys == 0 || statuses[3] == 401, "{keys} {statuses:?}");
    assert_eq!(statuses[2], 401);
}

/// How many keys are loaded, and how requests with [`KEYS`] fare.
fn loaded(server: impl Fn(&SentHttp) -> meshgate_policy::host::Answer + 'static) -> (i64, [u16; 4]) {
    let world = World::new();
    world.on_http("files", move |call| server(call));
    let worker = Worker::<Quota>::new(&world, DOCUMENT);
    worker.wake();
    let status = |key| {
        let request = Message::get("/").with("x-api-key", key);
        worker.run(&request, &Message::response(200)).status()
    };
    (world.metric("meshgate.quota.keys.file.loaded"), KEYS.map(status))
}
