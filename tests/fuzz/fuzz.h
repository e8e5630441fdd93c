// What the fuzz targets share: how a finding is told, and a folder for what is read from files.
#ifndef MIDLAYER_TESTS_FUZZ_FUZZ_H_
#define MIDLAYER_TESTS_FUZZ_FUZZ_H_

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "re2/re2.h"
#include "server/base/status.h"
#include "tests/weights/test_files.h"

namespace midlayer::fuzz {

// A finding, unless `held`: libFuzzer keeps the input of a process that aborts.
inline void Require(bool held, std::string_view what) {
  if (held) return;
  std::fprintf(stderr, "fuzz: expected: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

// `status` is an error of one of these codes, with a message in which `pattern` (RE2, "." is any byte) is found.
inline void RequireError(const absl::Status& status, std::initializer_list<absl::StatusCode> codes,
                         const std::string& pattern) {
  const bool known = std::find(codes.begin(), codes.end(), status.code()) != codes.end();
  RE2::Options bytes;
  bytes.set_encoding(RE2::Options::EncodingLatin1);
  bytes.set_dot_nl(true);
  const absl::string_view message = status.message();
  const re2::StringPiece piece(message.data(), message.size());
  if (known && RE2::PartialMatch(piece, RE2(pattern, bytes))) return;
  Require(false, absl::StrCat("an error like ", pattern, ", found ", status.ToString()));
}

// A folder that goes with the process; in memory, where Linux has such a place.
inline const TempDir& Folder() {
  static const TempDir folder(std::filesystem::exists("/dev/shm") ? "/dev/shm"
                                                                  : std::filesystem::temp_directory_path());
  return folder;
}

inline std::string_view View(const uint8_t* data, size_t size) {
  return std::string_view(reinterpret_cast<const char*>(data), size);
}

// Cuts the first byte off, which chooses between ways to read the rest; 0 where there is none.
inline uint8_t TakeByte(std::string_view& bytes) {
  if (bytes.empty()) return 0;
  const auto byte = static_cast<uint8_t>(bytes[0]);
  bytes.remove_prefix(1);
  return byte;
}

}  // namespace midlayer::fuzz

#endif  // MIDLAYER_TESTS_FUZZ_FUZZ_H_
