#!/bin/sh
# Builds modules for Envoy, named by their directories: filters/<name>, tests/modules/<name>.
# shellcheck source=scripts/common.sh
. "$(dirname -- "$0")/common.sh"

out=${CARGO_TARGET_DIR:-target}/wasm32-wasip1/release
packages=
modules=
for module; do
    packages="$packages -p $(package "$module")"
    modules="$modules $out/$(basename "$module" | tr - _).wasm"
done

# shellcheck disable=SC2086 # lists of words
[ -d "$out" ] || say 'building the filters, about two minutes the first time'
# shellcheck disable=SC2086
cargo build -q --release --target wasm32-wasip1 $packages
# shellcheck disable=SC2086
wc -c $modules | awk '$2 != "total" { printf "built %s (%d KiB)\n", $2, $1 / 1024 }' >&2
