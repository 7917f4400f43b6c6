//! JSON that passes in pieces. The bytes are one of options, one from which the cuts follow, and the stream.

use std::sync::Arc;

use meshgate_json::stream::{Event, Options, Paths, Tokenizer};
use meshgate_json::{Limits, Path, validate};

use crate::input;

/// The same tokens are reported however a stream is cut, they lie within it, and what is JSON is never broken.
pub fn any_stream(bytes: &[u8]) {
    let [options, seed, stream @ ..] = bytes else { return };
    let options = Options { depth: 4 << (options & 7), lines: options & 8 != 0 };
    let whole = events(&[stream], options);
    assert_eq!(events(&input::pieces(stream, (*seed).into()), options), whole);
    if !options.lines && validate(stream, &Limits { depth: options.depth, ..Limits::default() }).is_ok() {
        assert!(whole.iter().all(|event| !event.starts_with("Broken")), "{whole:?}");
    }
}

fn events(pieces: &[&[u8]], options: Options) -> Vec<String> {
    let paths = ["/a", "$..b", "$.a[*].c", "$[1:3]"].map(|path| Path::new(path).expect("a path"));
    let paths = Paths::new(paths).expect("they can be followed");
    let mut tokenizer = Tokenizer::new(Arc::new(paths), options);
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    let (mut events, mut open) = (Vec::new(), None);
    let mut add = |event: Event<'_>| {
        match &event {
            Event::Begin(token, _) => {
                assert_eq!(open, None, "a token begins in a token");
                open = Some(*token);
            }
            Event::End(token, end) => {
                assert_eq!(open.take(), Some(*token), "another token ends");
                assert!(*end > token.start && *end <= length as u64, "{event:?}");
            }
            Event::Broken(at) => {
                open = None;
                assert!(*at <= length as u64, "{event:?}");
            }
        }
        events.push(format!("{event:?}"));
    };
    for piece in pieces {
        tokenizer.push(piece, &mut add);
    }
    tokenizer.finish(&mut add);
    assert_eq!(tokenizer.passed(), length as u64);
    events
}
