#include "client/cli/writers.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/cosine.h"
#include "client/cli/names.h"
#include "client/cli/npy_writer.h"
#include "nlohmann/json.hpp"
#include "server/base/text_width.h"

namespace midlayer::cli {
namespace {

absl::Status Output(const std::ostream& out) {
  if (out.good()) return absl::OkStatus();
  return absl::UnknownError(absl::StrCat("cannot write the output: ", std::strerror(errno)));
}

// The shortest decimal that reads back as `value`; null for what JSON has no number for.
void AppendFloat(std::string* json, float value) {
  if (!std::isfinite(value)) {
    *json += "null";
    return;
  }
  char digits[32];
  const std::to_chars_result end = std::to_chars(digits, digits + sizeof(digits), value);
  json->append(digits, end.ptr);
}

class JsonWriter : public RowWriter {
 public:
  explicit JsonWriter(std::ostream* out) : out_(out) {}

  absl::Status Write(const Row& row) override {
    const v1::OutputInfo& output = *row.output;
    line_ = "{\"text\":";
    line_ += nlohmann::json(row.text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    const bool is_one = output.layers_size() == 1;
    absl::StrAppend(&line_, ",\"layer\":", is_one ? "" : "[", absl::StrJoin(output.layers(), ","), is_one ? "" : "]");
    absl::StrAppend(&line_, ",\"pooling\":\"", PoolingName(output.pooling()), "\",\"tokens\":", row.tokens,
                    row.truncated ? ",\"truncated\":true" : "", ",\"embedding\":[");
    for (size_t i = 0; i < row.values.size(); ++i) {
      if (i > 0) line_ += ',';
      AppendFloat(&line_, row.values[i]);
    }
    line_ += "]}\n";
    out_->write(line_.data(), static_cast<std::streamsize>(line_.size()));
    return Output(*out_);
  }

  absl::Status Finish() override {
    out_->flush();
    return Output(*out_);
  }

 private:
  std::ostream* out_;
  std::string line_;  // kept for its memory
};

// Columns: text, tokens, layer, pooling, dimensions, first values.
class TableWriter : public RowWriter {
 public:
  explicit TableWriter(std::ostream* out) : out_(out) {}

  absl::Status Write(const Row& row) override {
    if (rows_ == 0) {
      *out_ << PadRight("text", kTextWidth) << "  tokens  layer  pooling        dims  first values\n";
    }
    ++rows_;
    const std::string text = Printable(row.text);
    std::string line = absl::StrCat(
        PadRight(Cut(text, kTextWidth), kTextWidth), "  ",
        PadLeft(absl::StrCat(row.tokens, row.truncated ? "*" : ""), 6), "  ", PadLeft(LayersName(*row.output), 5), "  ",
        PadRight(PoolingName(row.output->pooling()), 13), "  ", PadLeft(absl::StrCat(row.values.size()), 4), "  ");
    const size_t shown = std::min(kFirstValues, row.values.size());
    for (size_t i = 0; i < shown; ++i) absl::StrAppendFormat(&line, "%s%7.4f", i > 0 ? " " : "", row.values[i]);
    if (row.values.size() > shown) line += " …";
    *out_ << line << '\n';
    has_truncated_ |= row.truncated;
    if (rows_ <= kMatrixRows) {
      texts_.push_back(text);
      vectors_.emplace_back(row.values.begin(), row.values.end());
    }
    return Output(*out_);
  }

  absl::Status Finish() override {
    if (has_truncated_) *out_ << "\n* tokens were cut\n";
    if (rows_ >= 2 && rows_ <= kMatrixRows) WriteMatrix();
    out_->flush();
    return Output(*out_);
  }

 private:
  static constexpr size_t kTextWidth = 36;
  static constexpr size_t kFirstValues = 3;
  static constexpr size_t kMatrixRows = 12;
  static constexpr size_t kCellWidth = 7;

  void WriteMatrix() {
    const size_t n = vectors_.size();
    const size_t text_width = std::min<size_t>(kTextWidth, 100 - 4 - n * kCellWidth);
    *out_ << '\n' << PadRight("cosine", text_width + 4);
    for (size_t column = 0; column < n; ++column) *out_ << PadLeft(absl::StrCat(column + 1), kCellWidth);
    *out_ << '\n';
    for (size_t row = 0; row < n; ++row) {
      *out_ << PadLeft(absl::StrCat(row + 1), 2) << "  " << PadRight(Cut(texts_[row], text_width), text_width);
      for (size_t column = 0; column < n; ++column) {
        const double cosine = Cosine(vectors_[row], vectors_[column]);
        *out_ << PadLeft(std::isnan(cosine) ? "n/a" : absl::StrFormat("%.3f", cosine), kCellWidth);
      }
      *out_ << '\n';
    }
  }

  std::ostream* out_;
  size_t rows_ = 0;
  bool has_truncated_ = false;
  std::vector<std::string> texts_;           // of the first kMatrixRows rows, printable
  std::vector<std::vector<float>> vectors_;  // the same
};

}  // namespace

std::unique_ptr<RowWriter> MakeWriter(OutputFormat format, std::ostream* out, bool seekable) {
  switch (format) {
    case OutputFormat::kJson:
      return std::make_unique<JsonWriter>(out);
    case OutputFormat::kNpy:
      return std::make_unique<NpyWriter>(out, seekable);
    case OutputFormat::kTable:
      return std::make_unique<TableWriter>(out);
  }
  return nullptr;
}

}  // namespace midlayer::cli
