#include "client/cpp/cutter.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/utf8.h"

namespace midlayer::internal {
namespace {

// Why a text cannot be sent; empty where it can.
std::string FaultOf(const std::string& text, size_t max_bytes) {
  size_t offset = 0;
  if (!IsUtf8(text, &offset)) return absl::StrCat("expected UTF-8, found a byte that is none at offset ", offset);
  if (text.size() > max_bytes) {
    return absl::StrCat("expected at most ", max_bytes, " bytes, found ", text.size());
  }
  return "";
}

}  // namespace

Limits LimitsOf(const v1::GetModelResponse& model) {
  return {static_cast<size_t>(std::max(1, model.max_texts())),
          static_cast<size_t>(std::max(0, model.max_text_bytes()))};
}

std::optional<Chunk> Cutter::Next() {
  while (ready_.empty() && has_more_) {
    std::optional<std::string> text = next_text_();
    has_more_ = text.has_value();
    if (has_more_) {
      Add(*std::move(text));
    } else {
      CloseChunk();
    }
  }
  if (ready_.empty()) return std::nullopt;
  Chunk chunk = std::move(ready_.front());
  ready_.pop_front();
  return chunk;
}

void Cutter::Add(std::string text) {
  std::string fault = FaultOf(text, limits_.text_bytes);
  if (!fault.empty()) CloseChunk();
  open_.bytes += text.size();
  open_.texts.push_back(std::move(text));
  open_.fault = std::move(fault);
  if (!open_.fault.empty() || open_.texts.size() >= limits_.texts || open_.bytes >= kMessageBytes) CloseChunk();
}

void Cutter::CloseChunk() {
  if (open_.texts.empty()) return;
  Chunk next{.first = open_.first + open_.texts.size()};
  ready_.push_back(std::exchange(open_, std::move(next)));
}

}  // namespace midlayer::internal
