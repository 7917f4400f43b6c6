//! Detectors. The bytes are one that names the syntax, one from which the cuts follow, and the text.

use std::sync::LazyLock;

use meshgate_detect::{Finding, Kind, Scanner, ScannerBuilder, Syntax, context_start};

use crate::input;

static EVERYTHING: LazyLock<Scanner> = LazyLock::new(|| {
    let mut builder = ScannerBuilder::new();
    for (id, kind) in (0..).zip(Kind::all()) {
        builder.kind(id, kind);
    }
    builder.build()
});

/// The same is found however a text is cut, and it lies within the text, in order and without overlaps.
pub fn any_text(bytes: &[u8]) {
    let [syntax, seed, text @ ..] = bytes else { return };
    let syntax = match syntax % 5 {
        0 => Syntax::Json,
        1 => Syntax::Form,
        2 => Syntax::Url,
        3 => Syntax::Header,
        _ => Syntax::Text,
    };
    let mut whole = Vec::new();
    assert_eq!(EVERYTHING.scan(text, 0, true, syntax, &mut whole), text.len());
    let mut last = 0;
    for finding in &whole {
        let Finding { range, confidence, .. } = finding;
        assert!(range.start >= last && range.end > range.start && range.end <= text.len(), "{whole:?}");
        assert!(*confidence <= 100, "{finding:?}");
        last = range.end;
        let mut at = range.start;
        for (_, place) in finding.chars(text, syntax) {
            assert!(place.start == at || place.end == at, "{finding:?}: {place:?} behind {at}");
            at = place.end;
        }
        assert_eq!(at, range.end, "{finding:?}: not all of it is decoded");
    }
    let mut named = Vec::new();
    EVERYTHING.scan_value(text, Some(b"api_key"), syntax, &mut named);

    assert_eq!(in_pieces(&input::pieces(text, (*seed).into()), syntax), whole);
}

/// As a filter scans a body that comes in pieces.
fn in_pieces(pieces: &[&[u8]], syntax: Syntax) -> Vec<Finding> {
    let (mut window, mut begin, mut decided) = (Vec::new(), 0, 0);
    let (mut found, mut all) = (Vec::new(), Vec::new());
    for (number, piece) in pieces.iter().chain([&&[][..]]).enumerate() {
        window.extend_from_slice(piece);
        let end = number == pieces.len();
        let until = EVERYTHING.scan(&window, decided - begin, end, syntax, &mut found);
        all.extend(found.drain(..).map(|finding| {
            assert!(begin + finding.range.start >= decided, "{finding:?} was decided before");
            assert!(finding.range.end <= until, "{finding:?} reaches over {until}");
            Finding { range: begin + finding.range.start..begin + finding.range.end, ..finding }
        }));
        assert!(begin + until >= decided && until <= window.len(), "{until}");
        decided = begin + until;
        let drop = context_start(&window, decided - begin);
        window.drain(..drop);
        begin += drop;
    }
    all
}
