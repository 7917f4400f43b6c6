#!/bin/sh
# Looks for input that breaks a property: fuzz.sh [TARGET...] [--runs N | --seconds N]. Without targets it takes all of them,
# one after the other, and without a number a minute for each. What breaks one becomes a seed, which `make test` tries from then
# on; other input that it found worth keeping is where it goes on the next time, in the target directory.
# shellcheck source=scripts/common.sh
. "$(dirname -- "$0")/common.sh"

target_dir=${CARGO_TARGET_DIR:-target}
case $target_dir in /*) ;; *) target_dir=$root/$target_dir ;; esac
target_dir=$target_dir/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')

targets=
limit=-max_total_time=60
while [ $# -gt 0 ]; do
    case $1 in
        --runs) limit=-runs=${2:?--runs takes a number} && shift ;;
        --seconds) limit=-max_total_time=${2:?--seconds takes a number} && shift ;;
        *)
            [ -f "fuzz/targets/$1.rs" ] || die "fuzz/targets/$1.rs is missing: no fuzz target is called $1"
            targets="$targets $1"
            ;;
    esac
    shift
done
if [ -z "$targets" ]; then
    for file in fuzz/targets/*.rs; do
        targets="$targets $(basename "$file" .rs)"
    done
fi

# Without a sanitizer no nightly toolchain is needed. There is no unsafe code for one to look at.
build() {
    "$tools/bin/cargo-fuzz" fuzz build --sanitizer none --fuzz-dir fuzz --target-dir "$target_dir" "$1"
}

# fuzz TARGET: one line if nothing is found.
fuzz() {
    corpus=$target_dir/corpus/$1
    log=$target_dir/$1.log
    mkdir -p "$corpus"
    if ! build "$1" >"$log" 2>&1; then
        cat "$log" >&2
        die "the fuzz target $1 does not build"
    fi
    # A crash is written where the seeds are.
    if "$target_dir/$host/release/$1" "$limit" -max_len=4096 -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
        -artifact_prefix="fuzz/seeds/$1/" "$corpus" "fuzz/seeds/$1" >"$log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        cov=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
        say "$1: $runs runs, coverage $cov, nothing found"
    else
        grep -E -A 12 'panicked at|ERROR: libFuzzer' "$log" >&2 || tail -n 30 "$log" >&2
        say "$1: found something: git status shows it in fuzz/seeds/$1, and $log is the log"
        failed="$failed $1"
    fi
}

failed=
for target in $targets; do
    fuzz "$target"
done
[ -z "$failed" ] || die "properties that do not hold:$failed"
