# midlayer_ffi: the Rust crates tokenizers and safetensors behind a small C ABI, built by cargo into one static library
# (two Rust static libraries cannot be linked into one program).
find_program(CARGO cargo REQUIRED HINTS "$ENV{HOME}/.cargo/bin")
set(_crate "${CMAKE_SOURCE_DIR}/server/ffi")
set(_cargo_target "${CMAKE_SOURCE_DIR}/build/cargo")  # one for all presets: the crates do not depend on them
set(_ffi_library "${_cargo_target}/release/libmidlayer_ffi.a")
file(GLOB _ffi_sources CONFIGURE_DEPENDS "${_crate}/src/*.rs")
add_custom_command(
  OUTPUT "${_ffi_library}"
  COMMAND "${CARGO}" build --release --locked --quiet --manifest-path "${_crate}/Cargo.toml" --target-dir "${_cargo_target}"
  DEPENDS ${_ffi_sources} "${_crate}/Cargo.toml" "${_crate}/Cargo.lock"
  COMMENT "Building the tokenizers and safetensors crates (about a minute the first time)"
  VERBATIM)
add_custom_target(midlayer_ffi_build DEPENDS "${_ffi_library}")
add_library(midlayer_ffi STATIC IMPORTED GLOBAL)
add_dependencies(midlayer_ffi midlayer_ffi_build)
set_target_properties(midlayer_ffi PROPERTIES
  IMPORTED_LOCATION "${_ffi_library}"
  INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS};m")
