#!/bin/sh
# Walks the path of somebody new: a fresh clone, then what README.md says, and each answer compared with the one that the page
# shows. Then the commands on the other pages. Takes the ports that `make run` takes.
#
# With REUSE_TARGET=1 the clone builds in this workspace's target directory: crates of others need not be built again.
# shellcheck source=scripts/common.sh
. "$(dirname -- "$0")/common.sh"

main() {
    work=$(mktemp -d)
    demo=
    trap 'stop; rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM HUP
    git clone -q "$root" "$work/meshgate"
    if [ -n "${REUSE_TARGET:-}" ]; then
        mkdir -p "${CARGO_TARGET_DIR:=target}"
        ln -s "$(cd "$CARGO_TARGET_DIR" && pwd)" "$work/meshgate/target"
    fi
    # Somebody new has none of these.
    unset CARGO_TARGET_DIR ENVOY
    console=$root/scripts/console
    cd "$work/meshgate"

    first=$(awk '/^```sh$/ { getline; print; exit }' README.md)
    [ "${first%% *}" = make ] || die "README.md does not begin with a command of make, but with: $first"
    say "README.md says: $first"
    start "$first"
    # The demo answers by now; what the page shows is not about its first block any more.
    awk '/^```sh$/ && !seen { seen = 1; sub("sh", "sh not-run") } { print }' README.md >"$work/README.md"
    "$console" "$work/README.md" || die 'README.md is wrong'
    stop

    # What the README built is `meshgate` for the other pages.
    PATH=$work/meshgate/target/debug:$PATH
    # All that show commands; `make test-compose` runs those about containers, `make test-dist` those about what is in a release.
    pages=$(git grep -lE '^```(sh|console)$' -- '*.md' ':!README.md' ':!envoy-configs/README.md' ':!scripts/dist')
    for page in $pages; do
        "$console" "$work/meshgate/$page" || die "$page is wrong"
    done
    say 'the path of a newcomer is as the pages say'
}

# start COMMAND: in the background, and waits until it says that it is ready.
start() {
    mkfifo "$work/says"
    # A session of its own, so that all of it can be ended.
    setsid sh -c "exec $1" >"$work/says" 2>"$work/log" </dev/null &
    demo=$!
    # Stays open, or what it says later would end it.
    exec 3<"$work/says"
    # Beside us, since a signal interrupts `wait` and not `read`.
    until_ready <&3 &
    if wait $!; then
        return
    fi
    cat "$work/log" >&2
    die "$1 ended before it was ready"
}

# Shows what is said, up to that.
until_ready() {
    while read -r line; do
        say "$line"
        [ "$line" != ready ] || return 0
    done
    return 1
}

# Ends it as a terminal does that is closed.
stop() {
    [ -n "$demo" ] || return 0
    kill -s HUP -- "-$demo" 2>/dev/null || true
    wait "$demo" || true
    demo=
}

main "$@"
