#!/usr/bin/env bash
# one.sh BUILD TARGET MAX_LENGTH [brief]: what ctest runs. First the corpus, then new inputs for MIDLAYER_FUZZ_SECONDS
# (default 0), with `brief` for MIDLAYER_FUZZ_BRIEF_SECONDS where that is set, from a seed that libFuzzer draws and prints
# unless MIDLAYER_FUZZ_SEED says one. What it finds stays in BUILD/fuzz/TARGET: inputs that reach something new in corpus/,
# and those at which it failed.
set -euo pipefail
fuzzer=$1/fuzz_$2
max_length=$3
found=$1/fuzz/$2
seconds=${MIDLAYER_FUZZ_SECONDS:-0}
[ "${4:-}" != brief ] || seconds=${MIDLAYER_FUZZ_BRIEF_SECONDS:-$seconds}
seeds=$(cd "$(dirname "$0")" && pwd)/corpus/$2
mkdir -p "$found/corpus"
export ASAN_SYMBOLIZER_PATH=${ASAN_SYMBOLIZER_PATH:-/usr/bin/llvm-symbolizer-19} UBSAN_OPTIONS=print_stacktrace=1

# run OPTION…
run() {
  "$fuzzer" -max_len="$max_length" -verbosity=0 -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=256 -artifact_prefix="$found/" \
    -print_final_stats=1 "$@" && return
  printf 'To see it again: %s FILE, with the file of the "Test unit" above\n' "$fuzzer"
  exit 1
}

run -runs=0 "$seeds"
[ "$seconds" = 0 ] && exit
run -max_total_time="$seconds" -seed="${MIDLAYER_FUZZ_SEED:-0}" "$found/corpus" "$seeds"
