#!/usr/bin/env bash
# build.sh PRESET [TARGET...]: configures and builds, with ninja's progress. Uses ccache where it is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift
launcher=()
command -v ccache >/dev/null && launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
[ -f "build/$preset/build.ninja" ] || printf '\033[1m==> Configuring build/%s\033[0m\n' "$preset"
mkdir -p "build/$preset"
cmake --preset "$preset" "${launcher[@]}" >"build/$preset/configure.log" 2>&1 || { cat "build/$preset/configure.log"; exit 1; }
printf '\033[1m==> Building build/%s\033[0m\n' "$preset"
cmake --build --preset "$preset" ${@:+--target "$@"}
