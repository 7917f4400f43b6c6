#!/bin/sh
# Runs the filters in Istio: the tests in tests/tests/istio on a real istiod and a real Envoy, then lets the code of Istio's proxies pull
# the images that `meshgate image` makes.
# shellcheck source=scripts/common.sh
. "$(dirname -- "$0")/common.sh"

ENVOY=${ENVOY:-$tools/bin/envoy}
# Each has an istiod and an Envoy of its own.
RUST_TEST_THREADS=${RUST_TEST_THREADS:-4}
export ENVOY RUST_TEST_THREADS

target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$root/$target ;; esac
failed=

say 'the filters in Istio'
# The whole workspace is named so that its dependencies have the same features as in `make test`, and are not built again. The tests of
# `meshgate image` have the command line built, which is used below.
cargo test -q --workspace --test istio --test image --no-run
cargo test --workspace --test istio --no-fail-fast -- --include-ignored || failed="$failed filters"

say 'images, pulled by Istio'
images=$target/istio-images
rm -rf "$images"
mkdir -p "$images"
cp "$target/wasm32-wasip1/release/dlp.wasm" "$images/plugin.wasm"
for form in oci docker artifact; do
    "$target/debug/meshgate" image "$images/plugin.wasm" "$images/$form" --format "$form" --revision test >/dev/null
done
find_go
# With the flags that istiod is built with, and without vet, which would look at all that it is made of: five minutes more.
MESHGATE_IMAGES=$images "$go" test -C tests/istiod -mod=readonly -trimpath -vet=off -count=1 ./... || failed="$failed images"

[ -z "$failed" ] || die "tests failed in Istio:$failed"
say 'all tests in Istio passed'
