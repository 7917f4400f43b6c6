#!/bin/sh
# Builds a release twice, in two directories with all that Cargo keeps in two more, and compares every byte. Then unpacks one and
# uses it as somebody does who has nothing else.
# shellcheck source=scripts/common.sh
. "$(dirname -- "$0")/common.sh"

main() {
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM HUP
    mkdir -p "$work/one" "$work/two/deeper/meshgate"
    # One time for both, and not that of a commit: what is not committed yet is built as well.
    SOURCE_DATE_EPOCH=1750000000
    export SOURCE_DATE_EPOCH
    build "$work/one" "$work/one/target"
    # Cargo's own directory has another name, too; what it has downloaded need not come again.
    ln -s "${CARGO_HOME:-$HOME/.cargo}" "$work/cargo-home"
    CARGO_HOME=$work/cargo-home
    export CARGO_HOME
    build "$work/two/deeper/meshgate" "$work/elsewhere"

    one=$work/one/dist
    two=$work/two/deeper/meshgate/dist
    # All of it is shown that is not the same.
    diff -r "$one" "$two" >&2 || die 'two builds of the same sources differ'
    say "both builds gave the same $(find "$one" -type f | wc -l) files"
    use "$one"
}

# build DIRECTORY TARGET: a release of this workspace, as it stands.
build() {
    git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from - --ignore-failed-read | tar --extract --directory "$1"
    ln -s "$tools" "$1/.tools"
    say "building in $1"
    (cd "$1" && CARGO_TARGET_DIR=$2 make -s dist)
}

# use DIST: what a tarball is good for.
use() {
    (cd "$1" && sha256sum --quiet --check SHA256SUMS)
    mkdir "$work/unpacked"
    tar --extract --directory "$work/unpacked" --strip-components 1 --file "$1"/meshgate-*.tar.gz
    cd "$work/unpacked"
    sha256sum --quiet --check SHA256SUMS
    [ "$(bin/meshgate --version)" = "meshgate $(basename "$1"/meshgate-*.tar.gz | sed 's/^meshgate-\(.*\)\.tar\.gz$/\1/')" ] \
        || die "bin/meshgate says that it is $(bin/meshgate --version)"
    # No loader, and so no library of this machine.
    if readelf --program-headers bin/meshgate | grep -q INTERP; then
        die 'bin/meshgate needs libraries'
    fi
    bin/meshgate check envoy-configs >&2
    for bootstrap in envoy-configs/*.yaml; do
        grep -q '^static_resources:' "$bootstrap" || continue
        "${ENVOY:-$tools/bin/envoy}" --mode validate -c "$bootstrap" --log-level error >&2 || die "Envoy refuses $bootstrap"
    done
    for filter in filters/*.wasm; do
        [ -f "sbom/$(basename "$filter").cdx.json" ] || die "$filter has no bill of materials"
    done
    runs_modules
    say 'the release works where nothing else is'
}

# The modules of the release, in the command line of the release: its suites pass, and it tells what is done to a response.
runs_modules() {
    (
        unset MESHGATE_MODULES CARGO_TARGET_DIR
        for filter in "$root"/filters/*/; do
            bin/meshgate test "$filter"tests.yaml >&2 || die "bin/meshgate test: ${filter}tests.yaml"
        done
        told=$(bin/meshgate explain -c istio/dlp/config.yaml --response-header 'content-type: text/plain' \
            --response-data 'paid with 4539578763621486' /) || die "bin/meshgate explain: $told"
        case $told in
            *'+ paid with ************1486'*) ;;
            *) die "bin/meshgate explain tells something else: $told" ;;
        esac
    )
}

main "$@"
