//! Configuration documents.

use meshgate_dlp::Dlp;
use meshgate_errors::Errors;
use meshgate_policy::policy::Policy;
use meshgate_quota::Quota;
use meshgate_test_host::{Worker, World};
use meshgate_transform::Transform;

/// Each policy takes a document, or refuses it with an error of one line.
pub fn any_document(document: &[u8]) {
    load::<Quota>(document);
    load::<Transform>(document);
    load::<Errors>(document);
    load::<Dlp>(document);
}

fn load<P: Policy>(document: &[u8]) {
    if let Err(error) = Worker::<P>::load_bytes(&World::new(), document) {
        let error = error.to_string();
        assert!(!error.is_empty() && !error.contains(char::is_control), "{error:?}");
    }
}
