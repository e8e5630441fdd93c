#!/usr/bin/env bash
# The wire format is lint-clean, and from the first release on breaks no client of the latest one.
set -euo pipefail
cd "$(dirname "$0")/../../proto"
buf lint
release=$(git tag --list 'v*' --sort=-version:refname | head -1)
if [ -n "$release" ]; then buf breaking --against "../.git#tag=$release,subdir=proto"; fi
