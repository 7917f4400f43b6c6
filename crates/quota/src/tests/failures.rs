//! A proxy that refuses what it is asked: no request gets past its limits for that.

use meshgate_policy::host::HostError;
use meshgate_test_host::Operation;

use super::*;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

const BROKEN: HostError = HostError::Status(10);

#[test]
fn a_request_that_cannot_be_counted_does_not_pass() {
    for operation in
        [Operation::ReadHeaders, Operation::ReadShared, Operation::WriteShared, Operation::WriteHeaders]
    {
        let world = World::new();
        let worker: Worker<Quota> = Worker::new(&world, document());
        world.fail_next(operation, BROKEN);
        let outcome = send(&worker, &get("/", "key-1"));
        assert_eq!((outcome.status(), outcome.upstream), (500, None), "{operation:?}");
        assert_eq!(world.metric("meshgate.quota.errors"), 1, "{operation:?}");
        assert_eq!(send(&worker, &get("/", "key-1")).status(), 200, "{operation:?}");
    }
}

#[test]
fn a_configuration_whose_usage_cannot_be_shared_is_refused() {
    for operation in [Operation::ReadShared, Operation::WriteShared] {
        let world = World::new();
        world.fail_next(operation, BROKEN);
        let refused = Worker::<Quota>::load(&world, document()).unwrap_err().to_string();
        assert!(refused.starts_with("consumers: usage can't be shared"), "{refused}");
    }
}
