#!/bin/sh
# All the static checks. The arguments are the directories of the modules that are built for Envoy.
# shellcheck source=scripts/common.sh
. "$(dirname -- "$0")/common.sh"

failed=

# check WHAT COMMAND...: goes on after a failure, so that one run shows them all.
check() {
    what=$1
    shift
    say "checking $what"
    "$@" || failed="$failed, $what"
}

packages=
for module; do
    packages="$packages -p $(package "$module")"
done

check 'format' cargo fmt --all --check
check 'format, fuzz targets' cargo fmt --manifest-path fuzz/Cargo.toml --check
check 'panics and unsafe' scripts/lint-panics
check 'clippy, native' cargo clippy -q --workspace --all-targets -- -D warnings
# With the crates of this workspace that they are made of.
# shellcheck disable=SC2086 # a list of words
check 'clippy, wasm32' cargo clippy -q --target wasm32-wasip1 $packages -- -D warnings
# Read by developers, with private items: links to these are wanted.
check 'docs' env RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' \
    cargo doc -q --no-deps --workspace --document-private-items
check 'the site and its links' scripts/docs.sh

[ -z "$failed" ] || die "these checks failed: ${failed#, }"
say 'all checks passed'
