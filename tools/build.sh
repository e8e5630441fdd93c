#!/usr/bin/env bash
# build.sh PRESET [TARGET...]: configures and builds, with ninja's progress. Uses ccache where it is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift
launcher=()
command -v ccache >/dev/null && launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
[ -f "build/$preset/build.ninja" ] || printf '\033[1m==> Configuring build/%s\033[0m\n' "$preset"
cmake --preset "$preset" "${launcher[@]}" >"/tmp/midlayer-cmake.$$" 2>&1 || { cat "/tmp/midlayer-cmake.$$"; rm -f "/tmp/midlayer-cmake.$$"; exit 1; }
rm -f "/tmp/midlayer-cmake.$$"
printf '\033[1m==> Building build/%s\033[0m\n' "$preset"
cmake --build --preset "$preset" ${@:+--target "$@"}
