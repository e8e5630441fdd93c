# hiredis::hiredis: the client library of Redis, with TLS, from the source that tools/setup.sh unpacks. Debian's is 0.14,
# without TLS.
set(_hiredis "${MIDLAYER_DEPS_DIR}/hiredis/hiredis")
if(NOT EXISTS "${_hiredis}/ssl.c")
  message(FATAL_ERROR "hiredis not found in ${_hiredis}: run tools/setup.sh first, or set MIDLAYER_DEPS_DIR")
endif()
enable_language(C)
add_library(hiredis STATIC
  "${_hiredis}/alloc.c" "${_hiredis}/async.c" "${_hiredis}/hiredis.c" "${_hiredis}/net.c" "${_hiredis}/read.c"
  "${_hiredis}/sds.c" "${_hiredis}/sockcompat.c" "${_hiredis}/ssl.c")
# Ahead of the system's: libhiredis-dev may be installed.
target_include_directories(hiredis SYSTEM BEFORE PUBLIC "${MIDLAYER_DEPS_DIR}/hiredis")
target_link_libraries(hiredis PUBLIC OpenSSL::SSL)
add_library(hiredis::hiredis ALIAS hiredis)
