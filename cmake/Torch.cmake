# torch::torch: the CPU half of libtorch, from the unpacked PyPI wheel. find_package(Torch) wants a CUDA toolkit for this
# wheel, so the target is written here. libtorch_cuda.so is opened at run time when a GPU is asked for
# (server/models/device.cc): one binary serves both.
set(_torch "${MIDLAYER_DEPS_DIR}/torch")
if(NOT EXISTS "${_torch}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "libtorch not found in ${_torch}: run tools/setup.sh first, or set MIDLAYER_DEPS_DIR")
endif()
add_library(torch::c10 SHARED IMPORTED)
set_target_properties(torch::c10 PROPERTIES IMPORTED_LOCATION "${_torch}/lib/libc10.so")
# The OpenMP run time that libtorch brings: one for both, so that its threads know of each other.
add_library(torch::gomp SHARED IMPORTED)
set_target_properties(torch::gomp PROPERTIES IMPORTED_LOCATION "${_torch}/lib/libgomp.so.1")
add_library(torch::torch SHARED IMPORTED)
# Without -fopenmp, at::parallel_for compiles to a loop on one thread.
set_target_properties(torch::torch PROPERTIES
  IMPORTED_LOCATION "${_torch}/lib/libtorch_cpu.so"
  INTERFACE_INCLUDE_DIRECTORIES "${_torch}/include"
  INTERFACE_COMPILE_OPTIONS -fopenmp
  INTERFACE_LINK_LIBRARIES "torch::c10;torch::gomp")
