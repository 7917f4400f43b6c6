//! Names that no test here provokes are those that Envoy has: they stand in its binary.

use std::collections::BTreeSet;

use memchr::memmem;
use meshgate_e2e::paths;
use meshgate_errors::{FLAG_NAMES, KINDS};

use super::minor_version;

/// Short texts that the compiler has made numbers in the code. `services` and `streams` provoke the first two.
const NO_TEXTS: [&str; 3] = ["ext_authz_error", "low_version", "local reset"];

/// Names that only older Envoys have.
const OLDER: [&str; 1] = ["unkonwn_api_key"];

#[test]
fn envoy_has_each_name_of_the_catalogue() {
    // The catalogue is that of the newest. What older ones do not have does no harm there.
    if minor_version() < 40 {
        return;
    }
    let details = KINDS.iter().flat_map(|kind| kind.details).flat_map(|details| {
        let (name, reason) = details.split_once('{').unwrap_or((details, ""));
        // The reasons of a reset are words; Envoy puts underscores between them when it writes them into the details.
        [name.to_owned(), reason.trim_end_matches('}').replace('_', " ")]
    });
    let flags = FLAG_NAMES.iter().map(|(_, long)| (*long).to_owned());
    let mut wanted: BTreeSet<_> = details.chain(flags).filter(|name| !name.is_empty()).collect();
    for name in NO_TEXTS.into_iter().chain(OLDER) {
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
