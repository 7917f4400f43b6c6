#!/bin/sh
# Builds a release into dist/: the modules, named by their directories (filters/<name>), the command line, and what one needs to
# run them, in a directory and as a tarball of it. The same sources give the same bytes, wherever they are built
# (scripts/test-dist.sh): no path of this machine is in them, and all times are that of the last commit.
# shellcheck source=scripts/common.sh
. "$(dirname -- "$0")/common.sh"

wasm=wasm32-wasip1
native=x86_64-unknown-linux-musl

main() {
    version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
    name=meshgate-$version
    out=dist/$name
    # Of its own: other builds have other flags, and each would throw away what the other made.
    target=$(absolute "${CARGO_TARGET_DIR:-target}")/dist
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
    export SOURCE_DATE_EPOCH
    umask 022
    rm -rf dist
    mkdir -p "$out/filters" "$out/schemas" "$out/bin"

    build "$@"
    # What it is made of is asked of Cargo, for each artefact.
    made=bin/meshgate=meshgate-cli@$native
    for module; do
        file=$(basename "$module" | tr - _).wasm
        cp "$target/$wasm/release/$file" "$out/filters/"
        cp "$module/config.schema.json" "$out/schemas/$(basename "$module").schema.json"
        made="$made filters/$file=$(package "$module")@$wasm"
    done
    cp "$target/$native/release/meshgate" "$out/bin/"
    cp LICENSE CHANGELOG.md "$out/"
    manifests
    python_packages scripts/dist/requirements.txt
    # shellcheck disable=SC2086 # a list of words
    PYTHONPATH=$python_packages python3 scripts/dist/inventory.py "$out" $made
    cp "$(rustc --print sysroot)/share/doc/rust/COPYRIGHT-library.html" "$out/rust-standard-library.html"
    find "$out" -type f -exec chmod 644 {} +
    chmod 755 "$out/bin/meshgate"

    refuse_paths
    (cd "$out" && find . -type f ! -name SHA256SUMS | LC_ALL=C sort | sed 's/^\.\///' | xargs -d '\n' sha256sum >../sums && mv ../sums SHA256SUMS)
    pack
    report
}

absolute() {
    case $1 in
        /*) printf '%s\n' "$1" ;;
        *) printf '%s\n' "$root/$1" ;;
    esac
}

# build MODULE...: the modules and the command line, with names in the place of this machine's paths.
build() {
    packages=
    for module; do
        packages="$packages -p $(package "$module")"
    done
    sysroot=$(rustc --print sysroot)
    commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
    flags=
    home=${CARGO_HOME:-$HOME/.cargo}
    # The last that fits counts.
    map "$home=/cargo"
    # Named by the registry that they came from, which may be a mirror.
    for registry in "$home"/registry/src/*; do
        map "$registry=/cargo/registry"
    done
    map "$sysroot/lib/rustlib/src/rust=/rustc/$commit"
    map "$root=/meshgate"
    map "$target=/target"
    # These would take the place of the flags here and of those in .cargo/config.toml.
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
    # A crate may compile a few lines of C that call nothing of a C library: no compiler for musl is needed for that.
    CC_x86_64_unknown_linux_musl=${CC_x86_64_unknown_linux_musl:-cc}
    export CC_x86_64_unknown_linux_musl
    say "building the release: some minutes"
    # shellcheck disable=SC2086 # a list of words
    cargo build -q --release --locked --target-dir "$target" --target $wasm --config "target.$wasm.rustflags=[$flags]" $packages
    cargo build -q --release --locked --target-dir "$target" --target $native --config "target.$native.rustflags=[$flags]" \
        -p meshgate-cli
}

# map PATH=NAME: adds to $flags that a path is called by another name.
map() {
    flags="$flags\"--remap-path-prefix=$1\","
}

# The configurations, with the modules where they are in a release.
manifests() {
    for directory in envoy-configs istio; do
        [ ! -d $directory ] || cp -R $directory "$out/"
    done
    # They build images from sources, which are not in a release.
    rm -rf "$out"/envoy-configs/docker-compose.yml "$out"/envoy-configs/Dockerfile "$out"/envoy-configs/container.sed \
        "$out"/envoy-configs/prometheus "$out"/envoy-configs/grafana
    # What the page says of containers and make is not for a release either.
    cp scripts/dist/envoy-configs.md "$out/envoy-configs/README.md"
    find "$out/envoy-configs" -name '*.yaml' -exec sed -i "s|target/$wasm/release/|filters/|
        s|the root of the workspace|the root of the release|
        s|\.tools/bin/envoy|envoy|
        /^# *make build\$/d
        /# Where .make build. puts it/d" {} +
}

# Whoever reads a module learns nothing of who built it.
refuse_paths() {
    for path in "$root" "$target" "${CARGO_HOME:-$HOME/.cargo}" "${RUSTUP_HOME:-$HOME/.rustup}"; do
        if found=$(grep -rlaF -- "$path/" "$out"); then
            die "there are paths of this machine ($path) in: $found"
        fi
    done
}

# A tarball says nothing of when and by whom it was made.
pack() {
    tar --create --directory dist --sort=name --format=gnu --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        "$name" | gzip -n -9 >"dist/$name.tar.gz"
    (cd dist && sha256sum "$name.tar.gz" >SHA256SUMS)
}

report() {
    (cd "$out" && find . -type f | LC_ALL=C sort | xargs -d '\n' wc -c) | awk '{ sub("^\\./", "", $2); printf "  %8.0f KiB  %s\n", $1 / 1024, $2 }' >&2
    say "made $out and dist/$name.tar.gz ($(cut -c1-16 dist/SHA256SUMS)...), from $(git describe --always --dirty 2>/dev/null || echo 'a directory without git')"
}

main "$@"
