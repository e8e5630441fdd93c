#include "client/cli/npy_writer.h"

#include <stdlib.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"

namespace midlayer::cli {
namespace {

static_assert(std::endian::native == std::endian::little, "values are written as they are in memory");

constexpr size_t kHeaderBytes = 128;
constexpr size_t kPreambleBytes = 10;  // magic, version, length of the dictionary

absl::Status Failed(absl::string_view what) {
  return absl::UnknownError(absl::StrCat(what, ": ", std::strerror(errno)));
}

absl::Status Output(const std::ostream& out) {
  return out.good() ? absl::OkStatus() : Failed("cannot write the output");
}

// A file without a name, which is gone when it is closed; null on failure.
std::FILE* OpenTemporary() {
  const char* directory = std::getenv("TMPDIR");
  std::string path = absl::StrCat(directory != nullptr && *directory != '\0' ? directory : "/tmp", "/midlayer-XXXXXX");
  const int fd = mkstemp(path.data());
  if (fd < 0) return nullptr;
  unlink(path.c_str());
  return fdopen(fd, "w+b");
}

}  // namespace

std::string NpyHeader(int64_t rows, int64_t dimensions) {
  std::string dictionary =
      absl::StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': (", rows, ", ", dimensions, "), }");
  dictionary.resize(kHeaderBytes - kPreambleBytes - 1, ' ');  // two numbers of 20 digits leave blanks
  dictionary += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(dictionary.size() & 0xFF);
  header += static_cast<char>(dictionary.size() >> 8);
  return header + dictionary;
}

NpyWriter::NpyWriter(std::ostream* out, bool seekable) : out_(out), seekable_(seekable) {}

absl::Status NpyWriter::Begin(int64_t dimensions) {
  dimensions_ = dimensions;
  if (seekable_) {
    start_ = out_->tellp();
    *out_ << NpyHeader(0, dimensions_);
    return Output(*out_);
  }
  spool_ = {OpenTemporary(), std::fclose};
  return spool_ != nullptr ? absl::OkStatus() : Failed("cannot open a temporary file in $TMPDIR");
}

absl::Status NpyWriter::Write(const Row& row) {
  const auto dimensions = static_cast<int64_t>(row.values.size());
  if (rows_ == 0) {
    if (absl::Status status = Begin(dimensions); !status.ok()) return status;
  }
  if (dimensions != dimensions_) {
    return absl::InternalError(
        absl::StrCat("a vector of ", dimensions, " dimensions after ones of ", dimensions_, " fits no array"));
  }
  ++rows_;
  if (seekable_) {
    out_->write(reinterpret_cast<const char*>(row.values.data()),
                static_cast<std::streamsize>(row.values.size_bytes()));
    return Output(*out_);
  }
  const size_t written = std::fwrite(row.values.data(), sizeof(float), row.values.size(), spool_.get());
  return written == row.values.size() ? absl::OkStatus() : Failed("cannot write to the temporary file in $TMPDIR");
}

absl::Status NpyWriter::CopySpool() {
  if (std::fseek(spool_.get(), 0, SEEK_SET) != 0) return Failed("cannot read the temporary file");
  std::vector<char> block(size_t{1} << 20);
  while (const size_t bytes = std::fread(block.data(), 1, block.size(), spool_.get())) {
    out_->write(block.data(), static_cast<std::streamsize>(bytes));
    if (!out_->good()) break;
  }
  return std::ferror(spool_.get()) != 0 ? Failed("cannot read the temporary file") : absl::OkStatus();
}

absl::Status NpyWriter::Finish() {
  const bool is_begun = seekable_ && rows_ > 0;
  const std::streampos end = is_begun ? out_->tellp() : std::streampos();
  if (is_begun) out_->seekp(start_);
  *out_ << NpyHeader(rows_, dimensions_);
  if (is_begun) out_->seekp(end);
  if (spool_ != nullptr) {
    if (absl::Status status = CopySpool(); !status.ok()) return status;
  }
  out_->flush();
  return Output(*out_);
}

}  // namespace midlayer::cli
