#!/usr/bin/env bash
# Checks and measures midlayer on a machine with a GPU, where nothing need be installed but PyTorch 2.11 for CUDA.
#
#   bench/gpu_check.sh pack                on the machine that builds: programs and their libraries into build/gpu
#   bench/gpu_check.sh [--quick] [DIR]     on the machine with the GPU, with this tree and build/gpu: tests, then figures,
#                                          into DIR (default: build/gpu/results)
#
# The tests are those that are skipped where there is no GPU: every golden model at every layer in every dtype, attention
# kernels, streams, memory that runs out. The figures: tokens per second, model FLOPs to the GPU's peak, utilisation and memory
# by layer, dtype, batch and streams, for a model of 0.5 billion parameters with random weights (bench/large_models), and
# sentence-transformers beside it where Python has it. --quick: five minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
pack=build/gpu

# The libraries of a program that a machine with PyTorch need not have: not PyTorch's own, NVIDIA's, or the C library's.
libraries_of() {
  ldd "$1" | awk '$2 == "=>" && $3 ~ /^\// {print $3}' | grep -Ev '/(libtorch|libc10|libgomp|libcu|libnv|libc\.|libm\.|libdl\.|librt\.|libpthread\.|libresolv\.)'
}

pack() {
  tools/build.sh release midlayer-server midlayer golden_test
  rm -rf "$pack"
  mkdir -p "$pack/bin" "$pack/lib"
  for program in midlayer-server midlayer golden_test; do
    strip -o "$pack/bin/$program" "build/release/$program"
    libraries_of "build/release/$program"
  done | sort -u | while read -r library; do strip -o "$pack/lib/$(basename "$library")" "$library"; done
  du -sh "$pack"
}

# PyTorch's own libraries, and those of the pip packages that it needs, which it finds beside itself.
torch_lib() {
  python3 -c 'import os, torch; print(os.path.join(os.path.dirname(torch.__file__), "lib"))'
}

check() {
  local results=$1
  shift
  mkdir -p "$results"
  local libraries
  libraries=$PWD/$pack/lib:$(torch_lib)
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$results/gpu.txt"
  python3 -c 'import torch; print("PyTorch", torch.__version__)' | tee -a "$results/gpu.txt"
  local failed=0
  LD_LIBRARY_PATH=$libraries MIDLAYER_SOURCE_DIR=$PWD "$pack/bin/golden_test" --gtest_filter='*Gpu*' --gtest_output="json:$results/tests.json" >"$results/tests.txt" 2>&1 || failed=1
  tail -n 20 "$results/tests.txt"
  python3 bench/gpu_check.py --server "$pack/bin/midlayer-server" --client "$pack/bin/midlayer" --libraries "$libraries" \
    --results "$results" "$@"
  return $failed
}

case "${1:-}" in
  pack) pack ;;
  --quick) check "${2:-$pack/results}" --quick ;;
  *) check "${1:-$pack/results}" ;;
esac
