#!/usr/bin/env bash
# Installs the chart with every example of deploy/examples in a real Kubernetes API server, with its admission, controllers and scheduler; nodes are made up (kwok), so
# nothing runs in pods. The first time this builds Kubernetes: 9 minutes on 2 cores.
set -euo pipefail
cd "$(dirname "$0")/../.."
tools/setup.sh --kubernetes
export MIDLAYER_KUBERNETES="$PWD/.deps/kubernetes/bin"
exec python3 -B tests/kubernetes/test_install.py "$@"
