#include "client/cli/text_source.h"

#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "client/cli/json.h"
#include "client/cli/line_reader.h"
#include "nlohmann/json.hpp"
#include "server/base/status.h"
#include "server/base/utf8.h"

namespace midlayer::cli {
namespace {

absl::Status CheckUtf8(std::string_view text) {
  size_t offset = 0;
  if (IsUtf8(text, &offset)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("not UTF-8, at byte ", offset + 1));
}

absl::StatusOr<std::string> TextOfJson(const std::string& line) {
  MIDLAYER_ASSIGN_OR_RETURN(nlohmann::json object, ParseObject(line));
  const auto text = object.find("text");
  if (text == object.end()) return absl::InvalidArgumentError("no member \"text\"");
  if (!text->is_string()) {
    return absl::InvalidArgumentError(absl::StrCat("\"text\": expected a string, found ", text->type_name()));
  }
  return std::move(text->get_ref<std::string&>());
}

class ListSource : public TextSource {
 public:
  explicit ListSource(std::vector<SourceText> texts) : texts_(std::move(texts)) {}

  bool Next(SourceText* text) override {
    if (next_ == texts_.size()) return false;
    *text = std::move(texts_[next_++]);
    return true;
  }

  bool HasMoreNow() override { return next_ < texts_.size(); }
  double position() const override { return static_cast<double>(next_); }
  double total() const override { return static_cast<double>(texts_.size()); }

 private:
  std::vector<SourceText> texts_;
  size_t next_ = 0;
};

class LineSource : public TextSource {
 public:
  LineSource(std::shared_ptr<std::istream> in, InputFormat format, double total_bytes)
      : in_(std::move(in)), lines_(in_.get(), kMaxLineBytes), format_(format), total_bytes_(total_bytes) {}

  bool Next(SourceText* text) override {
    do {
      if (!lines_.Next(&line_)) return false;
    } while (IsBlank(line_) && !lines_.too_long());
    text->line = lines_.number();
    text->text.clear();
    text->status = lines_.too_long()
                       ? absl::InvalidArgumentError(absl::StrCat("longer than ", kMaxLineBytes >> 20, " MiB"))
                       : CheckUtf8(line_);
    if (!text->status.ok()) return true;
    if (format_ == InputFormat::kText) {
      text->text = std::move(line_);
    } else if (absl::StatusOr<std::string> member = TextOfJson(line_); member.ok()) {
      text->text = *std::move(member);
    } else {
      text->status = member.status();
    }
    return true;
  }

  bool HasMoreNow() override { return in_->rdbuf()->in_avail() > 0; }
  double position() const override { return lines_.position(); }
  double total() const override { return total_bytes_; }

 private:
  const std::shared_ptr<std::istream> in_;
  LineReader lines_;
  const InputFormat format_;
  const double total_bytes_;
  std::string line_;  // kept for its memory
};

}  // namespace

std::unique_ptr<TextSource> TextsFromArguments(std::vector<std::string> texts) {
  std::vector<SourceText> list;
  for (std::string& text : texts) {
    absl::Status status = CheckUtf8(text);
    if (!status.ok()) text.clear();
    list.push_back({static_cast<int64_t>(list.size() + 1), std::move(text), std::move(status)});
  }
  return std::make_unique<ListSource>(std::move(list));
}

std::unique_ptr<TextSource> TextsAgain(std::vector<SourceText> texts) {
  return std::make_unique<ListSource>(std::move(texts));
}

std::unique_ptr<TextSource> TextsFromLines(std::shared_ptr<std::istream> in, InputFormat format, double total_bytes) {
  return std::make_unique<LineSource>(std::move(in), format, total_bytes);
}

}  // namespace midlayer::cli
