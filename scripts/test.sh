#!/bin/sh
# Runs all the tests: natively, which includes those on a real Envoy, then those of the named crates on wasm32 in Node.
# shellcheck source=scripts/common.sh
. "$(dirname -- "$0")/common.sh"

failed=

ENVOY=${ENVOY:-$tools/bin/envoy}
# The end-to-end tests each start an Envoy of their own, and mostly wait.
RUST_TEST_THREADS=${RUST_TEST_THREADS:-4}
PATH=$tools/bin:$PATH
CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=$tools/bin/wasm-bindgen-test-runner
export ENVOY RUST_TEST_THREADS PATH CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER

packages=
for package; do
    packages="$packages -p $package"
done

# wasm32 ARGUMENTS...: `cargo test` of the named crates in Node.
wasm32() {
    # shellcheck disable=SC2086 # a list of words
    cargo test --target wasm32-unknown-unknown --lib $packages "$@"
}

say 'building the tests, a few minutes the first time'
cargo test -q --workspace --no-run
wasm32 -q --no-run

say "native tests, and end to end on $("$ENVOY" --version | sed -n 's/.*\/\([0-9.]*\)\/.*/Envoy \1/p')"
cargo test --workspace --no-fail-fast || failed="$failed native"

say "the unit tests of $* on wasm32, in Node $(node --version)"
wasm32 --no-fail-fast || failed="$failed wasm32"

[ -z "$failed" ] || die "tests failed:$failed"
say 'all of these tests passed; left out are those that take minutes more: older Envoys, istiod, docker compose, the README from a fresh clone, releases, a million keys (make test-all)'
