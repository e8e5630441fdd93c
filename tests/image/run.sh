#!/usr/bin/env bash
# run.sh [cpu|cuda]: builds the image and checks it in real containers. Not part of ./run_tests: it takes a container engine, and
# the first build compiles everything. Exit code 0: all is as it should be, 1: something is not, 77: skipped, there is no engine.
#
#   ENGINE       command of the engine, options included; else docker, else podman, whichever is there
#   BUILD_FLAGS  more options of its build command
#   RUN_FLAGS    more options of its run command
#   IMAGE        an image to check as it is, instead of building one
#
# No container here has a network but its own loopback, so nothing needs a free port, and the server is seen to need no network.
set -euo pipefail
cd "$(dirname "$0")/../.."

target=${1:-cpu}
[ "$target" = cpu ] || [ "$target" = cuda ] || { echo "run.sh: expected cpu or cuda, found $target" >&2; exit 1; }
if [ -z "${ENGINE:-}" ]; then
  for ENGINE in docker podman none; do command -v $ENGINE >/dev/null && $ENGINE info >/dev/null 2>&1 && break; done
  [ "$ENGINE" != none ] || { echo "skipped: no container engine that runs (docker or podman; or name one by ENGINE)"; exit 77; }
fi
read -ra engine <<<"$ENGINE"
read -ra build_flags <<<"${BUILD_FLAGS:-}"
read -ra run_flags <<<"${RUN_FLAGS:-}"
is_podman=false
case "${engine[0]##*/}" in podman*)
  is_podman=true
  build_flags+=(--format docker)  # the other format has no health check
  ;;
esac

memory=512m
drain_timeout=10  # seconds
server=midlayer-test-$$
client=midlayer-test-client-$$
volume=midlayer-test-$$
image=${IMAGE:-midlayer-test:$target}
failed=0
work=$(mktemp -d)
finish() {
  "${engine[@]}" rm --force "$server" "$client" >/dev/null 2>&1 || true
  "${engine[@]}" volume rm --force "$volume" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap finish EXIT

# check WHAT COMMAND...: a line that says whether the command succeeded; what it printed where it did not.
check() {
  local what=$1 output
  shift
  if output=$("$@" 2>&1); then printf 'ok      %s\n' "$what"; else
    printf 'FAILED  %s\n%s\n' "$what" "$output"
    failed=1
  fi
}

# equal WANTED COMMAND...: whether the command prints exactly that.
equal() {
  local wanted=$1 found
  shift
  found=$("$@")
  [ "$found" = "$wanted" ] || { printf 'expected: %s\nfound:    %s\n' "$wanted" "$found"; return 1; }
}

# contains TEXT COMMAND...: whether what it prints contains that; its exit code does not matter.
contains() {
  local wanted=$1 found
  shift
  found=$("$@" 2>&1) || true
  case "$found" in *"$wanted"*) ;; *) printf 'expected to contain: %s\nfound: %s\n' "$wanted" "$found"; return 1 ;; esac
}

refused() { if "$@"; then return 1; fi; }

# start OPTION...: the server, as locked up as can be.
start() {
  local strict=(--read-only)
  $is_podman && strict+=(--read-only-tmpfs=false)  # as docker has it: not even /tmp
  "${engine[@]}" run --detach --name "$server" --network none "${strict[@]}" --cap-drop ALL --security-opt no-new-privileges \
    --memory "$memory" --env "MIDLAYER_DRAIN_TIMEOUT=$drain_timeout" --volume "$volume:/var/lib/midlayer" "${run_flags[@]}" "$@" "$image" >/dev/null
  for _ in $(seq 300); do
    [ "$(state Running)" = true ] || { "${engine[@]}" logs "$server"; return 1; }
    "${engine[@]}" exec "$server" midlayer health --timeout=1 >/dev/null 2>&1 && return
    sleep 0.2
  done
  "${engine[@]}" logs "$server"
  return 1
}

state() { "${engine[@]}" inspect --format "{{.State.$1}}" "$server"; }
config() { "${engine[@]}" image inspect --format "{{$1}}" "$image"; }
inside() { "${engine[@]}" exec "$server" "$@"; }
# The command midlayer in a container of its own, on the server's loopback.
midlayer() {
  "${engine[@]}" run --rm --interactive --name "$client" --network "container:$server" --read-only --cap-drop ALL \
    "${run_flags[@]}" --entrypoint midlayer "$image" "$@"
}
# The image has no HTTP client, but bash.
http() { inside bash -c "exec 3<>/dev/tcp/127.0.0.1/9090; printf 'GET $1 HTTP/1.0\r\n\r\n' >&3; cat <&3"; }
healthy() {
  if $is_podman; then "${engine[@]}" healthcheck run "$server"; return; fi
  for _ in $(seq 60); do [ "$(state Health.Status)" = healthy ] && return; sleep 0.5; done
  state Health.Status
  return 1
}
# Files of CUDA in the image: by name, so that none is missed because nothing links against it.
cuda_files() {
  "${engine[@]}" run --rm --network none --user 0 "${run_flags[@]}" --entrypoint find "$image" / -xdev -type f \
    '(' -name 'libcu*' -o -name 'libnv*' -o -name 'libnccl*' -o -name '*_cuda*' ')' '!' -path '/usr/share/doc/*' -printf '%f\n' |
    sort | paste -sd' '
}
# The libraries that some library in the image wants and that are not in it, but for the driver's.
missing() {
  "${engine[@]}" run --rm --network none "${run_flags[@]}" --entrypoint bash "$image" -c \
    'find /usr/local/bin /usr/local/lib/midlayer -type f \( -name "*.so*" -o -perm -1 \) -exec ldd {} + | grep "not found" | sort -u' || true
}
# The Debian packages in the image that its bill of materials does not name.
unnamed_packages() {
  "${engine[@]}" run --rm --network none "${run_flags[@]}" --entrypoint bash "$image" -c \
    'for name in $(dpkg-query --show --showformat "\${Package} "); do
       grep -qF "\"name\": \"$name\"" /usr/share/doc/midlayer/sbom.cdx.json || echo "$name"
     done'
}
stopped_cleanly() {
  local start=$SECONDS code
  "${engine[@]}" stop --time $((drain_timeout + 20)) "$server" >/dev/null
  code=$(state ExitCode)
  [ "$code" = 0 ] && [ $((SECONDS - start)) -le $((drain_timeout + 5)) ] ||
    { echo "exit code $code after $((SECONDS - start)) s"; "${engine[@]}" logs --tail 5 "$server"; return 1; }
}
# What a server that may write anywhere has written, but for the volume, and what engines put there themselves.
written() {
  "${engine[@]}" diff "$server" | awk '{print $2}' |
    grep -vE '^/(dev|proc|sys|run)(/|$)|^/etc$|^/etc/(group|hostname|hosts|mtab|passwd|resolv\.conf)$|^/var(/lib(/midlayer)?)?$' || true
}
embedded() { midlayer embed --layer 3 --dimensions 1 --input-format text - <"$work/lines" | wc -l; }
scored() { midlayer score --dataset - --format text --metrics self_retrieval --promote --force <"$work/few"; }
selections() { midlayer selections list --output json | tr -d ' \n'; }
texts() { http /metrics | tr -d '\r' | sed -n 's/^midlayer_texts_total //p'; }
under_way() {
  local before
  before=$(texts)
  sleep 1
  [ "$(texts)" -gt "$before" ]
}
lines() { seq "$1" | sed 's/^/The server reads the weights of the model once, and runs every layer on the device: line /'; }

if [ -z "${IMAGE:-}" ]; then
  echo "building $image"
  "${engine[@]}" build --target "$target" --build-arg "REVISION=$(git rev-parse HEAD)" --tag "$image" "${build_flags[@]}" .
fi

check "the user is a number that is not 0" equal 65532:65532 config .Config.User
check "the entry point is the server itself" equal '[midlayer-server]' config .Config.Entrypoint
check "the health check is the client" contains 'midlayer health' config .Config.Healthcheck
check "ports of gRPC and HTTP are declared" equal 'map[50051/tcp:{} 9090/tcp:{}]' config .Config.ExposedPorts
check "the label of the version is the version" equal "midlayer $(config 'index .Config.Labels "org.opencontainers.image.version"')" \
  "${engine[@]}" run --rm --network none "${run_flags[@]}" --entrypoint midlayer-server "$image" --version

if [ -z "${IMAGE:-}" ]; then
  check "the label of the revision is the commit" equal "$(git rev-parse HEAD)" config 'index .Config.Labels "org.opencontainers.image.revision"'
fi

if [ "$target" = cuda ]; then
  check "all libraries are there but the driver's" equal "	libcuda.so.1 => not found" missing
  check "without a GPU it says so" contains 'no CUDA device found (no GPU, or no driver)' \
    "${engine[@]}" run --rm --network none "${run_flags[@]}" "$image"
  set -- --env MIDLAYER_DEVICE=auto
else
  check "of CUDA there are the two libraries that libtorch's CPU half loads" equal 'libcudart.so.13 libcupti.so.13' cuda_files
  check "no library is missing" equal '' missing
  set --
fi
check "the bill of materials names every Debian package" equal '' unnamed_packages

"${engine[@]}" volume create "$volume" >/dev/null
check "starts: read-only root, no capabilities, no privileges, $memory, no network" start "$@"
[ "$(state Running)" = true ] || { echo "no server to check: $image"; exit 1; }
check "id is not 0" equal 65532 inside id -u
check "process 1 is the server" contains midlayer-server inside cat /proc/1/comm
check "process 1 has no capabilities" contains $'CapEff:\t0000000000000000' inside cat /proc/1/status
check "the root file system refuses to be written" refused inside touch /tmp/x
# 50051 and 9090 in the kernel's hexadecimal, behind zeros only; one that takes IPv6 too is in tcp6.
check "gRPC listens on every address" inside grep -E ' 0+:C383 ' /proc/net/tcp /proc/net/tcp6
check "HTTP listens on every address" inside grep -E ' 0+:2382 ' /proc/net/tcp /proc/net/tcp6
check "the memory limit is in force" contains 536870912 \
  inside sh -c 'cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes'
check "the health check says healthy" healthy
check "without a server the health check fails" refused \
  "${engine[@]}" run --rm --network none "${run_flags[@]}" --entrypoint midlayer "$image" health --timeout=2
check "/healthz answers" contains '200 OK' http /healthz
check "/readyz answers" contains '200 OK' http /readyz
check "/metrics answers" contains 'midlayer_' http /metrics
check "embeds, asked from another container" contains 'Hello' midlayer embed --layer 3 --output table "Hello, middle layers."
lines 3000 >"$work/lines"
check "embeds 3000 lines in $memory" equal 3000 embedded
check "is still serving, not killed for memory" equal 'true false' state 'Running}} {{.State.OOMKilled'
head -200 "$work/lines" >"$work/few"
check "scores a data set and promotes the layer, into the volume" scored
promoted=$(selections)
check "ends by SIGTERM with exit code 0" stopped_cleanly
"${engine[@]}" rm "$server" >/dev/null

check "starts again on the same volume" start "$@"
check "the promoted selection is still there" equal "$promoted" selections
lines 30000 >"$work/lines"
midlayer embed --layer 6 --dimensions 1 --input-format text - <"$work/lines" >/dev/null 2>&1 &
sleep 2
check "work is under way" under_way
check "ends by SIGTERM with exit code 0 and within the drain timeout, with work under way" stopped_cleanly
wait || true
"${engine[@]}" rm "$server" >/dev/null

"${engine[@]}" run --detach --name "$server" --network none --volume "$volume:/var/lib/midlayer" "${run_flags[@]}" "$@" "$image" >/dev/null
for _ in $(seq 100); do inside midlayer health --timeout=1 >/dev/null 2>&1 && break; sleep 0.2; done
check "embeds where the root can be written" contains 'Hello' midlayer embed --layer 3 --output table "Hello, middle layers."
check "and writes nothing there" equal '' written

[ $failed = 0 ] && echo "all is as it should be: $image" || echo "some checks FAILED: $image"
exit $failed
