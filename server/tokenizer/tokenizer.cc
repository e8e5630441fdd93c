#include "server/tokenizer/tokenizer.h"

#include <limits>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/base/utf8.h"
#include "server/ffi/midlayer_ffi.h"

namespace midlayer {
namespace {

const uint8_t* Bytes(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

// The message of a failed call into Rust, which it frees.
std::string TakeError(char* error) {
  std::string message = error == nullptr ? "no message" : error;
  midlayer_error_free(error);
  return message;
}

MidlayerTruncate ToFfi(Truncation truncation) {
  switch (truncation) {
    case Truncation::kNone:
      return MIDLAYER_TRUNCATE_NONE;
    case Truncation::kLeft:
      return MIDLAYER_TRUNCATE_LEFT;
    case Truncation::kRight:
      return MIDLAYER_TRUNCATE_RIGHT;
  }
  return MIDLAYER_TRUNCATE_NONE;
}

absl::Status TooLong(int max_tokens, size_t found) {
  return absl::InvalidArgumentError(
      absl::StrCat("expected at most ", max_tokens, " tokens, found ", found, "; set truncate or shorten the text"));
}

}  // namespace

void Tokenizer::Free::operator()(MidlayerTokenizer* tokenizer) const { midlayer_tokenizer_free(tokenizer); }

Tokenizer::Tokenizer(std::unique_ptr<MidlayerTokenizer, Free> tokenizer, const Options& options)
    : tokenizer_(std::move(tokenizer)),
      options_(options),
      vocab_size_(midlayer_tokenizer_info(tokenizer_.get()).max_id + 1),
      num_leading_(static_cast<int>(midlayer_tokenizer_info(tokenizer_.get()).num_leading)),
      num_trailing_(static_cast<int>(midlayer_tokenizer_info(tokenizer_.get()).num_trailing)) {}

Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(std::string_view tokenizer_json, const Options& options) {
  char* error = nullptr;
  std::unique_ptr<MidlayerTokenizer, Free> handle(
      midlayer_tokenizer_new(Bytes(tokenizer_json), tokenizer_json.size(), &error));
  if (handle == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("tokenizer.json: expected a tokenizer of the tokenizers library: ", TakeError(error)));
  }
  // vocab_size() is an int one above the largest id.
  if (midlayer_tokenizer_info(handle.get()).max_id == std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError("tokenizer.json: expected ids below 2147483647, found 2147483647");
  }
  auto tokenizer = std::unique_ptr<Tokenizer>(new Tokenizer(std::move(handle), options));
  const int num_special = tokenizer->num_leading_ + tokenizer->num_trailing_;
  if (options.max_tokens <= num_special) {
    return absl::InvalidArgumentError(absl::StrCat("max_tokens: expected more than the ", num_special,
                                                   " special tokens of the tokenizer, found ", options.max_tokens));
  }
  return tokenizer;
}

absl::StatusOr<Encoding> Tokenizer::EncodeOrEmpty(std::string_view text, Truncation truncation) const {
  size_t bad_offset = 0;
  if (!IsUtf8(text, &bad_offset)) {
    return absl::InvalidArgumentError(absl::StrCat("expected UTF-8, found an invalid sequence at byte ", bad_offset));
  }
  const MidlayerEncodeOptions options = {
      .truncate = ToFfi(truncation),
      .max_tokens = static_cast<size_t>(options_.max_tokens),
      .lowercase = options_.lowercase,
  };
  MidlayerEncoding ffi = {};
  char* error = nullptr;
  if (!midlayer_tokenizer_encode(tokenizer_.get(), Bytes(text), text.size(), &options, &ffi, &error)) {
    return absl::InternalError(absl::StrCat("the tokenizer failed: ", TakeError(error)));
  }
  const std::unique_ptr<MidlayerEncoding, decltype(&midlayer_encoding_free)> owner(&ffi, &midlayer_encoding_free);
  const size_t max_tokens = static_cast<size_t>(options_.max_tokens);
  if (ffi.size > max_tokens) return TooLong(options_.max_tokens, ffi.size);
  return Encoding{
      .ids = std::vector<int32_t>(ffi.ids, ffi.ids + ffi.size),
      .untruncated_tokens = static_cast<int>(ffi.untruncated_size),
      .truncated = ffi.untruncated_size > ffi.size,
  };
}

absl::StatusOr<Encoding> Tokenizer::Encode(std::string_view text, Truncation truncation) const {
  MIDLAYER_ASSIGN_OR_RETURN(Encoding encoding, EncodeOrEmpty(text, truncation));
  if (encoding.ids.empty()) return absl::InvalidArgumentError("expected at least 1 token, found 0");
  return encoding;
}

absl::StatusOr<int> Tokenizer::PromptTokens(std::string_view prompt) const {
  MIDLAYER_ASSIGN_OR_RETURN(const Encoding encoding, EncodeOrEmpty(prompt, Truncation::kNone));
  return static_cast<int>(encoding.ids.size()) - num_trailing_;
}

}  // namespace midlayer
