#!/bin/sh
# Makes images under the names of those that envoy-configs/ takes from Docker Hub, of what this machine has: stand-ins.sh DIR,
# in which they are put together. Debian only: which files a program needs is asked of dpkg.
#
# Envoy, Prometheus and the Rust toolchain are the real ones. Grafana is not: that image only says whether it got its files.
# shellcheck source=scripts/common.sh
. "$(dirname -- "$0")/common.sh"

dir=$1

main() {
    image rust "$(sed -n 's/^ARG RUST=//p' envoy-configs/Dockerfile)" \
        'ENV PATH=/usr/local/cargo/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
        'ENV RUSTUP_HOME=/usr/local/rustup' 'ENV CARGO_HOME=/usr/local/cargo' 'ENV CARGO_NET_OFFLINE=true'
    image envoy "$(sed -n 's/^ARG ENVOY=//p' envoy-configs/Dockerfile)"
    image prometheus "$(in_compose_file prom/prometheus)" 'ENTRYPOINT ["/bin/prometheus"]' 'USER 65534:65534'
    image grafana "$(in_compose_file grafana/grafana)" 'ENTRYPOINT ["/run.sh"]' 'USER 472:0'
    say 'Grafana is NOT tested: a stand-in checks that it would find its datasource and its dashboard'
}

in_compose_file() {
    sed -n "s|^ *image: \($1:.*\)|\1|p" envoy-configs/docker-compose.yml
}

# image NAME TAG CHANGE...: the image of what the function files_of_NAME puts into $files.
image() {
    name=$1 tag=$2
    shift 2
    files=$dir/files
    rm -rf "$files"
    mkdir -p "$files/tmp"
    chmod 1777 "$files/tmp"
    "files_of_$name"
    say "a stand-in for $tag ($(du -sm "$files" | cut -f 1) MB)"
    for change; do
        set -- "$@" --change "$change"
        shift
    done
    tar -C "$files" -c . | docker import "$@" - "$tag" >/dev/null
    rm -rf "$files"
}

# The toolchain, the crates of the lock file, and what of Debian these need: a shell, the programs that scripts call, a linker.
files_of_rust() {
    channel=$(toolchain channel)
    sysroot=$(rustup run "$channel" rustc --print sysroot)
    host=$(rustup run "$channel" rustc -vV | sed -n 's/^host: //p')
    home=$files/usr/local/rustup/toolchains/$channel-$host
    mkdir -p "$home" "$files/usr/local/cargo/bin" "$files/usr/local/cargo/registry"
    cp -a "$(readlink -f "$sysroot")/bin" "$(readlink -f "$sysroot")/lib" "$home"
    printf 'version = "12"\ndefault_toolchain = "%s"\n' "$channel-$host" >"$files/usr/local/rustup/settings.toml"
    cp -L "$(command -v rustup)" "$files/usr/local/cargo/bin/rustup"
    for program in cargo rustc rustdoc; do
        ln -s rustup "$files/usr/local/cargo/bin/$program"
    done
    cargo_home=${CARGO_HOME:-$HOME/.cargo}
    cp -a "$cargo_home/registry/cache" "$cargo_home/registry/index" "$files/usr/local/cargo/registry"
    # Where the registry is another.
    [ ! -f "$cargo_home/config.toml" ] || cp -L "$cargo_home/config.toml" "$files/usr/local/cargo"
    packages='bash coreutils dash sed grep mawk gcc libc6-dev'
    # shellcheck disable=SC2086 # a list of words
    apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
        --no-enhances $packages | grep '^[a-z]' | sort -u | xargs dpkg -L 2>/dev/null |
        grep -Ev '^(/\.|/(bin|sbin|lib|lib64)$|package diverts|diverted by|/usr/share/(doc|man|locale|info)/)' >"$dir/list"
    # Which of several programs has the name is for the system to say.
    for alternative in awk cc; do
        printf '%s\n' "/usr/bin/$alternative" "/etc/alternatives/$alternative"
    done >>"$dir/list"
    for merged in bin sbin lib lib64; do
        mkdir -p "$files/usr/$merged"
        ln -s "usr/$merged" "$files/$merged"
    done
    tar -c --no-recursion --ignore-failed-read -T "$dir/list" 2>/dev/null | tar -C "$files" -x --keep-directory-symlink
}

files_of_envoy() {
    program "${ENVOY:-$tools/bin/envoy}" /usr/local/bin/envoy
    program "$(command -v bash)" /bin/bash
}

files_of_prometheus() {
    program "$(command -v prometheus)" /bin/prometheus
    program "$(command -v busybox)" /bin/busybox
    ln -s busybox "$files/bin/wget"
    mkdir "$files/prometheus"
    chown 65534:65534 "$files/prometheus"
}

files_of_grafana() {
    program "$(command -v busybox)" /bin/busybox
    ln -s busybox "$files/bin/sh"
    ln -s busybox "$files/bin/wget"
    mkdir -p "$files/www/api" "$files/var/lib/grafana"
    printf '{"database": "ok"}\n' >"$files/www/api/health"
    chown 472:0 "$files/var/lib/grafana"
    cat >"$files/run.sh" <<'RUN'
#!/bin/sh
set -eu
busybox grep -q 'uid: prometheus' /etc/grafana/provisioning/datasources/prometheus.yml
busybox grep -q '"uid": "meshgate"' "$GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"
busybox touch /var/lib/grafana/grafana.db /tmp/written
exec busybox httpd -f -p 3000 -h /www
RUN
    chmod +x "$files/run.sh"
}

# program FROM TO: a program and the libraries that it is linked with.
program() {
    mkdir -p "$files$(dirname "$2")"
    cp -L "$1" "$files$2"
    ldd "$1" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
        mkdir -p "$files$(dirname "$library")"
        cp -L "$library" "$files$library"
    done
}

main
