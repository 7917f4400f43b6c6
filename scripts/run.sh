#!/bin/sh
# Builds the demo, and runs it with the named bootstrap until it is told to stop.
# shellcheck source=scripts/common.sh
. "$(dirname -- "$0")/common.sh"

[ -x "${CARGO_TARGET_DIR:-target}/debug/demo" ] || say 'building the demo, about a minute the first time'
exec cargo run -q -p meshgate-e2e --bin demo -- "$1"
