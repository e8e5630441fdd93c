// From text to token ids, by the official `tokenizers` crate.
#ifndef MIDLAYER_SERVER_TOKENIZER_TOKENIZER_H_
#define MIDLAYER_SERVER_TOKENIZER_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

struct MidlayerTokenizer;  // server/ffi/midlayer_ffi.h

namespace midlayer {

// What to do with a text of too many tokens: refuse it, drop tokens at its start, or drop tokens at its end. The
// special tokens around the text always stay.
enum class Truncation { kNone, kLeft, kRight };

struct Encoding {
  std::vector<int32_t> ids;    // Special tokens included; never empty.
  int untruncated_tokens = 0;  // How many there would be without truncation.
  bool truncated = false;
};

// A tokenizer.json, ready for use. The file's own truncation and padding are ignored: lengths are the server's
// business.
//
// Thread-safety: all methods are const and may be called from any number of threads.
class Tokenizer {
 public:
  struct Options {
    int max_tokens = 0;      // The longest encoding, special tokens included.
    bool lowercase = false;  // Lowercase (Unicode) before the tokenizer's own normalisation.
  };

  // Errors: InvalidArgument if the JSON is not a tokenizer that midlayer can use, or if max_tokens leaves no room for a
  // token of text.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(std::string_view tokenizer_json, const Options& options);

  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Errors do not name the text, the caller does (Annotate). InvalidArgument: not UTF-8 (with the offset), too many
  // tokens for Truncation::kNone (with both numbers), no tokens at all (an empty text where there are no special
  // tokens). Internal: the tokenizer itself failed.
  absl::StatusOr<Encoding> Encode(std::string_view text, Truncation truncation) const;

  // How many tokens `prompt` takes at the start of an encoding: leading special tokens and its own. (That is what
  // pooling skips if it leaves out the prompt.) Errors as for Encode() without truncation, but no tokens at all are 0.
  absl::StatusOr<int> PromptTokens(std::string_view prompt) const;

  // The largest id that Encode() can give, plus 1: the model must have at least so many word embeddings.
  int vocab_size() const { return vocab_size_; }
  int max_tokens() const { return options_.max_tokens; }
  // Special tokens before and after the tokens of every text.
  int num_leading() const { return num_leading_; }
  int num_trailing() const { return num_trailing_; }

 private:
  struct Free {
    void operator()(MidlayerTokenizer* tokenizer) const;
  };

  Tokenizer(std::unique_ptr<MidlayerTokenizer, Free> tokenizer, const Options& options);

  // Encode(), but no tokens at all are fine.
  absl::StatusOr<Encoding> EncodeOrEmpty(std::string_view text, Truncation truncation) const;

  // Constant after construction.
  const std::unique_ptr<MidlayerTokenizer, Free> tokenizer_;
  const Options options_;
  const int vocab_size_;
  const int num_leading_;   // Special tokens before a text ...
  const int num_trailing_;  // ... and after it.
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_TOKENIZER_TOKENIZER_H_
