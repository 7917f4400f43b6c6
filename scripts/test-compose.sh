#!/bin/sh
# Runs envoy-configs/docker-compose.yml on a real Docker engine, and what tests/tests/compose asks of it.
#
# As root, where there is a dockerd: on an engine of its own, in a network and a process table of its own, so that nothing stays
# behind however this ends. It has no network: scripts/stand-ins.sh makes the images that Docker Hub has. Otherwise on the engine
# that `docker` finds, with the real images.
# shellcheck source=scripts/common.sh
. "$(dirname -- "$0")/common.sh"

main() {
    case ${1:-} in
        '') test_compose ;;
        --inside) with_own_engine "$2" ;;
        *) die "usage: test-compose.sh" ;;
    esac
}

test_compose() {
    # Without network later on.
    # The whole workspace is named so that its dependencies have the same features as in `make test`, and are not built again.
    cargo test -q --workspace --test compose --no-run
    if can_have_own_engine; then
        scripts/setup.sh compose
        dir=$(mktemp -d "${TMPDIR:-/tmp}/meshgate.XXXXXX")
        trap 'rm -rf "$dir"' EXIT
        # If this script dies, so does unshare, and with it the first process of its process table and hence all of them.
        setpriv --pdeathsig KILL unshare --net --pid --fork --kill-child --mount-proc "$0" --inside "$dir" &
        namespace=$!
        trap 'kill -KILL $namespace; exit 1' HUP INT TERM
        wait $namespace
    elif docker info >/dev/null 2>&1; then
        docker compose version >/dev/null || die 'docker has no plugin `compose`: https://docs.docker.com/compose/install/'
        scripts/check-ports 10000 9901 9090 3000
        say "the compose file on the Docker engine $(docker info --format '{{.ServerVersion}}')"
        # Whoever runs the stack keeps its volumes.
        COMPOSE_PROJECT_NAME=meshgate-test tests
    else
        die "there is no Docker engine: start one, or be root and have dockerd and what stands in for images that can't be had" \
            "(Debian: apt install --no-install-recommends docker.io iptables prometheus busybox-static)"
    fi
}

can_have_own_engine() {
    [ "$(id -u)" = 0 ] && have dockerd && have iptables && have prometheus && have busybox && have unshare && have dpkg
}

# In a network and a process table of its own.
with_own_engine() {
    dir=$1
    busybox ip link set lo up
    mkdir -p "$dir/config/cli-plugins"
    ln -s "$tools/bin/docker-compose" "$dir/config/cli-plugins/docker-compose"
    # This engine's compose has no buildx beside it.
    export DOCKER_HOST="unix://$dir/docker.sock" DOCKER_CONFIG="$dir/config" DOCKER_BUILDKIT=0
    dockerd --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/docker.pid" -H "$DOCKER_HOST" \
        >"$dir/dockerd.log" 2>&1 &
    engine=$!
    until docker version >/dev/null 2>&1; do
        kill -0 $engine 2>/dev/null || { tail -n 20 "$dir/dockerd.log" >&2 && die 'dockerd does not start'; }
        sleep 0.2
    done
    say "the compose file on the Docker engine $(docker info --format '{{.ServerVersion}}'), started for this"
    scripts/stand-ins.sh "$dir"
    tests || failed=1
    [ -z "${failed:-}" ] || tail -n 20 "$dir/dockerd.log" >&2
    kill $engine
    wait $engine || true
    [ -z "${failed:-}" ]
}

tests() {
    cargo test --offline -q --workspace --test compose -- --ignored --nocapture
}

main "$@"
