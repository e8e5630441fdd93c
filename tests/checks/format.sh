#!/usr/bin/env bash
# Every C++ file is as clang-format would have it.
set -euo pipefail
cd "$(dirname "$0")/../.."
git ls-files -co --exclude-standard '*.h' '*.cc' | xargs clang-format-19 --dry-run --Werror
