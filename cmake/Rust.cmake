# midlayer_ffi: the Rust crates tokenizers and safetensors behind a small C ABI, built by cargo into one static library
# (two Rust static libraries cannot be linked into one program).
find_program(CARGO cargo REQUIRED HINTS "$ENV{HOME}/.cargo/bin")
set(_crate "${CMAKE_SOURCE_DIR}/server/ffi")
set(_cargo "${CARGO}")
set(_cargo_target "${CMAKE_SOURCE_DIR}/build/cargo")  # one for all presets: the crates do not depend on them
set(_ffi_library "${_cargo_target}/release/libmidlayer_ffi.a")
set(_cargo_options)
if(CMAKE_CXX_FLAGS MATCHES "fuzzer-no-link")
  # Except for fuzzing: the crates then tell libFuzzer where they have been. --target keeps the flags from cargo's own tools.
  set(_triple x86_64-unknown-linux-gnu)
  set(_cargo_target "${CMAKE_BINARY_DIR}/cargo")
  set(_ffi_library "${_cargo_target}/${_triple}/release/libmidlayer_ffi.a")
  set(_cargo_options --target ${_triple})
  string(JOIN " " _flags -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares)
  set(_cargo "${CMAKE_COMMAND}" -E env "RUSTFLAGS=${_flags}" "${CARGO}")
endif()
file(GLOB _ffi_sources CONFIGURE_DEPENDS "${_crate}/src/*.rs")
add_custom_command(
  OUTPUT "${_ffi_library}"
  COMMAND ${_cargo} build --release --locked --quiet --manifest-path "${_crate}/Cargo.toml" --target-dir "${_cargo_target}"
          ${_cargo_options}
  DEPENDS ${_ffi_sources} "${_crate}/Cargo.toml" "${_crate}/Cargo.lock"
  COMMENT "Building the tokenizers and safetensors crates (about a minute the first time)"
  VERBATIM)
add_custom_target(midlayer_ffi_build DEPENDS "${_ffi_library}")
add_library(midlayer_ffi STATIC IMPORTED GLOBAL)
add_dependencies(midlayer_ffi midlayer_ffi_build)
set_target_properties(midlayer_ffi PROPERTIES
  IMPORTED_LOCATION "${_ffi_library}"
  INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS};m")
