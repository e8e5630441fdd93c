#include "client/cli/dataset.h"

#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/csv_reader.h"
#include "client/cli/input_file.h"
#include "client/cli/json.h"
#include "client/cli/line_reader.h"
#include "nlohmann/json.hpp"
#include "server/base/status.h"
#include "server/base/utf8.h"

namespace midlayer::cli {
namespace {

struct FileOptions {
  std::string path;
  std::optional<DatasetFormat> format;
  FieldNames fields;
  bool has_passages = false;  // all examples are passages
};

// The examples of one file, as FileOptions says, which must outlive it. Errors are without the file's name and the
// line, which the caller adds.
class Records {
 public:
  virtual ~Records() = default;
  virtual absl::StatusOr<bool> Next(v1::Example* example) = 0;
  virtual int64_t line() const = 0;
};

class LineRecords : public Records {
 public:
  LineRecords(std::istream* in, DatasetFormat format, const FileOptions& options)
      : lines_(in, kMaxExampleBytes), format_(format), options_(options) {}

  absl::StatusOr<bool> Next(v1::Example* example) override {
    do {
      if (!lines_.Next(&line_)) return false;
    } while (IsBlank(line_) && !lines_.too_long());
    if (lines_.too_long()) {
      return absl::InvalidArgumentError(absl::StrCat("longer than ", kMaxExampleBytes / 1'000'000, " MB"));
    }
    size_t offset = 0;
    if (!IsUtf8(line_, &offset)) return absl::InvalidArgumentError(absl::StrCat("not UTF-8, at byte ", offset + 1));
    if (format_ == DatasetFormat::kText) {
      example->Clear();
      example->set_text(line_);
      example->set_passage(options_.has_passages);
      return true;
    }
    MIDLAYER_ASSIGN_OR_RETURN(const nlohmann::json object, ParseObject(line_));
    MIDLAYER_ASSIGN_OR_RETURN(*example, ParseExample(object, options_.fields, {.is_passage = options_.has_passages}));
    return true;
  }

  int64_t line() const override { return lines_.number(); }

 private:
  LineReader lines_;
  const DatasetFormat format_;
  const FileOptions& options_;
  std::string line_;
};

class CsvRecords : public Records {
 public:
  CsvRecords(std::istream* in, const FileOptions& options) : csv_(in, kMaxExampleBytes), options_(options) {}

  absl::StatusOr<bool> Next(v1::Example* example) override {
    if (header_.empty()) {
      MIDLAYER_ASSIGN_OR_RETURN(const bool has_header, csv_.Next(&header_));
      if (!has_header) return false;
    }
    std::vector<std::string> values;
    MIDLAYER_ASSIGN_OR_RETURN(const bool has_values, csv_.Next(&values));
    if (!has_values) return false;
    if (values.size() != header_.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("expected ", header_.size(), " fields, as the header has, found ", values.size()));
    }
    nlohmann::json record = nlohmann::json::object();
    for (size_t i = 0; i < values.size(); ++i) {
      size_t offset = 0;
      if (!IsUtf8(header_[i], &offset)) return absl::InvalidArgumentError("the header is not UTF-8");
      if (!IsUtf8(values[i], &offset)) {
        return absl::InvalidArgumentError(
            absl::StrCat("field \"", header_[i], "\": not UTF-8, at its byte ", offset + 1));
      }
      record[header_[i]] = std::move(values[i]);
    }
    MIDLAYER_ASSIGN_OR_RETURN(*example, ParseExample(record, options_.fields, {true, options_.has_passages}));
    return true;
  }

  int64_t line() const override { return csv_.line(); }

 private:
  CsvReader csv_;
  const FileOptions& options_;
  std::vector<std::string> header_;
};

DatasetFormat FormatOf(const std::string& path, std::istream& in) {
  if (path.ends_with(".jsonl") || path.ends_with(".ndjson")) return DatasetFormat::kJsonLines;
  if (path.ends_with(".csv")) return DatasetFormat::kCsv;
  return in.rdbuf()->sgetc() == '{' ? DatasetFormat::kJsonLines : DatasetFormat::kText;
}

// One file of a data set. The format is settled by the first Next(), which may wait for standard input.
class FileDataset : public Dataset {
 public:
  FileDataset(InputFile file, FileOptions options) : file_(std::move(file)), options_(std::move(options)) {}

  absl::StatusOr<bool> Next(v1::Example* example) override {
    if (records_ == nullptr) {
      const DatasetFormat format = options_.format.value_or(FormatOf(options_.path, *file_.in));
      if (format == DatasetFormat::kCsv) {
        records_ = std::make_unique<CsvRecords>(file_.in.get(), options_);
      } else {
        records_ = std::make_unique<LineRecords>(file_.in.get(), format, options_);
      }
    }
    const absl::StatusOr<bool> found = records_->Next(example);
    const std::string name = options_.path == "-" ? "standard input" : options_.path;
    if (!found.ok()) return Annotate(found.status(), absl::StrCat(name, ", line ", records_->line()));
    if (!*found) return count_ > 0 ? found : absl::InvalidArgumentError(absl::StrCat(name, ": no examples in it"));
    ++count_;
    return true;
  }

 private:
  InputFile file_;
  const FileOptions options_;
  std::unique_ptr<Records> records_;
  int64_t count_ = 0;
};

// One data set after the other.
class JoinedDataset : public Dataset {
 public:
  explicit JoinedDataset(std::vector<std::unique_ptr<Dataset>> parts) : parts_(std::move(parts)) {}

  absl::StatusOr<bool> Next(v1::Example* example) override {
    for (; next_ < parts_.size(); ++next_) {
      MIDLAYER_ASSIGN_OR_RETURN(const bool found, parts_[next_]->Next(example));
      if (found) return true;
    }
    return false;
  }

 private:
  std::vector<std::unique_ptr<Dataset>> parts_;
  size_t next_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> OpenDataset(const DatasetOptions& options, const Console& console) {
  std::vector<std::unique_ptr<Dataset>> parts;
  std::vector<FileOptions> files = {{options.dataset, options.format, options.fields}};
  if (!options.passages.empty()) files.push_back({options.passages, std::nullopt, options.fields, true});
  for (FileOptions& file : files) {
    MIDLAYER_ASSIGN_OR_RETURN(InputFile input, OpenInput(file.path, console));
    parts.push_back(std::make_unique<FileDataset>(std::move(input), std::move(file)));
  }
  return std::make_unique<JoinedDataset>(std::move(parts));
}

}  // namespace midlayer::cli
