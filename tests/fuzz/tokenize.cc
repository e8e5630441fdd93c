// Texts to tokens, by the first byte with one of the golden models' tokenizers: ids that the model has, cut exactly.
#include <iterator>
#include <map>
#include <vector>

#include "server/base/read_file.h"
#include "server/base/utf8.h"
#include "server/tokenizer/tokenizer.h"
#include "tests/fuzz/fuzz.h"

namespace midlayer {
namespace {

using fuzz::Require;

// WordPiece, Unigram and BPE, with and without normalizers.
constexpr const char* kModels[] = {"bert",  "camembert",  "gemma3", "gpt2",
                                   "llama", "modernbert", "mpnet",  "xlm_roberta"};
constexpr int kLong = 1 << 20, kShort = 8;

struct Tokenizers {
  std::unique_ptr<Tokenizer> whole, cutting;
};

Tokenizers LoadBoth(const char* model, bool lowercase) {
  const std::filesystem::path folder = std::filesystem::path(MIDLAYER_SOURCE_DIR) / "tests/golden/models" / model;
  const std::string json = *ReadFile(folder / "tokenizer.json");
  return {*Tokenizer::Load(json, {.max_tokens = kLong, .lowercase = lowercase}),
          *Tokenizer::Load(json, {.max_tokens = kShort, .lowercase = lowercase})};
}

const Tokenizers& Choose(uint8_t choice) {
  static std::map<int, Tokenizers> loaded;
  const int key = choice % (2 * static_cast<int>(std::size(kModels)));
  const auto [found, is_new] = loaded.try_emplace(key);
  if (is_new) found->second = LoadBoth(kModels[key / 2], key % 2 == 1);
  return found->second;
}

// What `all` is cut to: special tokens stay, of the others `room` at either end.
std::vector<int32_t> Cut(const Tokenizer& tokenizer, const std::vector<int32_t>& all, Truncation truncation) {
  const auto leading = all.begin() + tokenizer.num_leading(), trailing = all.end() - tokenizer.num_trailing();
  const auto room = kShort - tokenizer.num_leading() - tokenizer.num_trailing();
  std::vector<int32_t> cut(all.begin(), leading);
  if (truncation == Truncation::kLeft) {
    cut.insert(cut.end(), trailing - room, trailing);
  } else {
    cut.insert(cut.end(), leading, leading + room);
  }
  cut.insert(cut.end(), trailing, all.end());
  return cut;
}

void CheckCut(const Tokenizer& tokenizer, std::string_view text, const Encoding& all) {
  const bool too_long = all.ids.size() > kShort;
  const absl::StatusOr<Encoding> refused = tokenizer.Encode(text, Truncation::kNone);
  Require(refused.ok() != too_long, "a text that is too long is refused");
  for (const Truncation truncation : {Truncation::kLeft, Truncation::kRight}) {
    const absl::StatusOr<Encoding> cut = tokenizer.Encode(text, truncation);
    Require(cut.ok() && cut->truncated == too_long, "cut where it is too long");
    Require(cut->untruncated_tokens == static_cast<int>(all.ids.size()), "how many there would be");
    Require(cut->ids == (too_long ? Cut(tokenizer, all.ids, truncation) : all.ids), "the tokens of one end");
  }
}

void Check(std::string_view text) {
  const Tokenizers& tokenizers = Choose(fuzz::TakeByte(text));
  const absl::StatusOr<Encoding> all = tokenizers.whole->Encode(text, Truncation::kNone);
  if (!all.ok()) {
    fuzz::RequireError(all.status(), {absl::StatusCode::kInvalidArgument},
                       "^expected (UTF-8, found an invalid sequence at byte \\d+|at least 1 token, found 0)$");
    return;
  }
  Require(IsUtf8(text, nullptr), "an error where it is not UTF-8");
  for (const int32_t id : all->ids) Require(id >= 0 && id < tokenizers.whole->vocab_size(), "ids that the model has");
  CheckCut(*tokenizers.cutting, text, *all);
}

}  // namespace
}  // namespace midlayer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  midlayer::Check(midlayer::fuzz::View(data, size));
  return 0;
}
