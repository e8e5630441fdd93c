# One static library a folder, one test executable a folder of tests: the two ways in which this project makes targets.

# At -O3 GCC 12 warns of overlaps and uses that cannot be (gcc.gnu.org/PR105651); at the -O2 of the preset dev it does not.
function(_midlayer_flags target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wno-missing-field-initializers $<$<BOOL:${MIDLAYER_WERROR}>:-Werror>
    $<$<CONFIG:Release>:-Wno-restrict -Wno-maybe-uninitialized>)
endfunction()

# midlayer_library(NAME [COLD] SOURCES … DEPS …): a static library midlayer_NAME; includes are written from the repository's
# root. COLD: too little runs in it to be worth optimizing for a sanitizer.
function(midlayer_library name)
  cmake_parse_arguments(ARG "COLD" "" "SOURCES;DEPS" ${ARGN})
  add_library(midlayer_${name} STATIC ${ARG_SOURCES})
  target_include_directories(midlayer_${name} PUBLIC "$<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>")
  target_link_libraries(midlayer_${name} PUBLIC ${ARG_DEPS})
  _midlayer_flags(midlayer_${name})
  if(ARG_COLD AND CMAKE_CXX_FLAGS MATCHES "fsanitize")
    target_compile_options(midlayer_${name} PRIVATE -O0)
  endif()
endfunction()

# What a test itself does takes no time, and a third of what compiling it takes goes into making it fast.
set(MIDLAYER_TEST_OPTIMIZATION -O1 CACHE STRING "Optimization of the tests' own sources, whatever the libraries have")

# midlayer_test(NAME SOURCES … DEPS …): an executable NAME_test whose cases ctest runs one by one. A case that runs
# longer than TIMEOUT seconds (default 120) failed. LABELS: of ctest.
function(midlayer_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT;LABELS" "SOURCES;DEPS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name}_test ${ARG_SOURCES})
  target_link_libraries(${name}_test PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name}_test PRIVATE
    MIDLAYER_SOURCE_DIR="${CMAKE_SOURCE_DIR}" MIDLAYER_BINARY_DIR="${CMAKE_BINARY_DIR}")
  _midlayer_flags(${name}_test)
  target_compile_options(${name}_test PRIVATE ${MIDLAYER_TEST_OPTIMIZATION})
  gtest_discover_tests(${name}_test TEST_PREFIX "${MIDLAYER_TEST_PREFIX}" DISCOVERY_TIMEOUT 60
    PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()
