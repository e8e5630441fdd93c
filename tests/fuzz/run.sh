#!/usr/bin/env bash
# run.sh SECONDS [TARGET]: builds the fuzz targets and runs each (or that one) for so long, as many at once as there are
# processors.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -ge 1 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
tools/build.sh asan $(sed -n 's/^midlayer_fuzz(\([a-z_]*\) .*/fuzz_\1/p' tests/fuzz/CMakeLists.txt)
MIDLAYER_FUZZ_SECONDS=$1 ctest --test-dir build/asan --output-on-failure --no-tests=error -j "$(nproc)" -R "^asan\.Fuzz\.${2:-}"
