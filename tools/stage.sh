#!/usr/bin/env bash
# stage.sh cpu|cuda|licenses DIR: copies what an installed server takes besides its programs into DIR, out of .deps/.
#   cpu       the CPU half of libtorch, and the two libraries of CUDA that it links against
#   cuda      what a GPU takes besides (tools/setup.sh --cuda first)
#   licenses  the licences of what was downloaded: wheels, hiredis, and the Rust crates that cargo has unpacked
# DIR goes to lib/midlayer beside the programs' bin; inside, the wheels' layout is kept: the libraries find each other by it.
# Libraries of libtorch are stripped, which takes a fifth off; NVIDIA's have no symbols to strip.
set -euo pipefail
kind=$1
mkdir -p "$2"
to=$(realpath "$2")
cd "$(dirname "$0")/../.deps"

# libtorch NAME...: of torch/lib.
libtorch() {
  local name
  mkdir -p "$to/torch/lib"
  for name in "$@"; do strip -o "$to/torch/lib/$name" "torch/lib/$name"; done
}

# nvidia NAME...: of nvidia/*/lib, or a pattern of them.
nvidia() {
  local pattern
  for pattern in "$@"; do
    # shellcheck disable=SC2086 # it is a pattern
    cp --parents -t "$to" nvidia/*/lib/$pattern
  done
}

case "$kind" in
  cpu)
    libtorch libtorch_cpu.so libc10.so libgomp.so.1
    nvidia libcudart.so.13 libcupti.so.13
    ;;
  cuda)
    libtorch libtorch_cuda.so libc10_cuda.so libtorch_nvshmem.so libtorch_cuda_linalg.so libcaffe2_nvrtc.so
    # Linked against by those, and what these open by name: cuDNN its parts, NVRTC its built-in functions. Left out is what
    # nothing here opens: other interfaces to cuBLAS, cuFFT and cuSOLVER, the profiler's parts, transports between machines.
    nvidia libcublas.so.13 libcublasLt.so.13 'libcudnn*.so.9' libcufft.so.12 libcufile.so.0 libcurand.so.10 libcusolver.so.12 \
      libcusparse.so.12 libcusparseLt.so.0 libnccl.so.2 libnvJitLink.so.13 libnvrtc.so.13 libnvrtc-builtins.so.13.0 libnvshmem_host.so.3
    cp --parents -t "$to" nvidia/*/LICENSE.txt
    ;;
  licenses)
    cp -r licenses/. "$to/"
    cp --parents -t "$to" hiredis/hiredis/COPYING
    for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
      (cd "$registry" && find . -maxdepth 2 -type f \( -iname 'licen[sc]e*' -o -iname 'copying*' \) -exec cp --parents -t "$to" {} +)
    done
    ;;
  *) printf 'stage.sh: expected cpu, cuda or licenses, found %s\n' "$kind" >&2; exit 1 ;;
esac
