//! Names that no test here provokes are those that Envoy has: they stand in its binary.

use std::collections::BTreeSet;

use memchr::memmem;
use meshgate_e2e::paths;
use meshgate_errors::{FLAG_NAMES, KINDS};

/// Short texts that the compiler has made numbers in the code. `services` and `streams` provoke the first two.
const NO_TEXTS: [&str; 3] = ["ext_authz_error", "low_version", "local reset"];

#[test]
fn envoy_has_each_name_of_the_catalogue() {
    let details = KINDS.iter().flat_map(|kind| kind.details).flat_map(|details| {
        let (name, reason) = details.split_once('{').unwrap_or((details, ""));
        // The reasons of a reset are words; Envoy puts underscores between them when it writes them into the details.
        [name.to_owned(), reason.trim_end_matches('}').replace('_', " ")]
    });
    let flags = FLAG_NAMES.iter().map(|(_, long)| (*long).to_owned());
    let mut wanted: BTreeSet<_> = details.chain(flags).filter(|name| !name.is_empty()).collect();
    for name in NO_TEXTS {
        assert!(wanted.remove(name), "{name} is no exception any more");
    }
    let binary = std::fs::read(paths::envoy_binary().unwrap()).unwrap();
    // A text ends where the name does, or what is said of one time begins.
    let ends = |at: usize| matches!(binary.get(at), Some(b'\0' | b'{' | b'[' | b'(' | b':'));
    wanted.retain(|name| {
        let found = memmem::find_iter(&binary, name).any(|at| ends(at + name.len()));
        !found
    });
    assert!(wanted.is_empty(), "not in Envoy: {wanted:?}");
}
