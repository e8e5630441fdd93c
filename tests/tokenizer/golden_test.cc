// Token ids against those of the Python tokenizers library (tests/golden/generate.py wrote them).
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "server/base/digest.h"
#include "server/tokenizer/tokenizer.h"

namespace midlayer {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(MIDLAYER_SOURCE_DIR) / "tests" / "golden";

std::string ReadFile(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
}

// The text of a case: as it is, or `unit`, `repeat` times.
std::string TextOf(const nlohmann::json& test) {
  if (test.contains("text")) return test["text"].get<std::string>();
  std::string text;
  for (int i = 0; i < test["repeat"].get<int>(); ++i) text += test["unit"].get<std::string>();
  return text;
}

// The digest of the ids as little-endian int32.
std::string DigestOf(const std::vector<int32_t>& ids) {
  Sha256 sha;
  sha.Update(std::as_bytes(std::span(ids)));
  return sha.Finish();
}

// Both directions of truncation keep the ends that `ids` (untruncated) has. One special token stands at either end.
void CheckTruncation(const Tokenizer& tokenizer, const std::string& text, const std::vector<int32_t>& ids) {
  const int max = tokenizer.max_tokens();
  if (ids.size() <= static_cast<size_t>(max)) return;
  std::vector<int32_t> right(ids.begin(), ids.begin() + max - 1);
  right.push_back(ids.back());
  std::vector<int32_t> left(ids.end() - (max - 1), ids.end());
  left.insert(left.begin(), ids.front());
  EXPECT_EQ(tokenizer.Encode(text, Truncation::kRight)->ids, right) << text.substr(0, 100);
  EXPECT_EQ(tokenizer.Encode(text, Truncation::kLeft)->ids, left) << text.substr(0, 100);
}

void CheckGolden(const fs::path& model_dir, const fs::path& token_ids) {
  const std::string json = ReadFile(model_dir / "tokenizer.json");
  const auto tokenizer = Tokenizer::Load(json, {.max_tokens = 1 << 20});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto short_tokenizer = Tokenizer::Load(json, {.max_tokens = 6}).value();
  const nlohmann::json cases = nlohmann::json::parse(ReadFile(token_ids), nullptr, /*allow_exceptions=*/false);
  ASSERT_TRUE(cases.is_array() && !cases.empty()) << token_ids;
  for (const nlohmann::json& test : cases) {
    const std::string text = TextOf(test);
    const absl::StatusOr<Encoding> encoding = (*tokenizer)->Encode(text, Truncation::kNone);
    ASSERT_TRUE(encoding.ok()) << encoding.status() << " " << text.substr(0, 100);
    if (test.contains("ids")) {
      EXPECT_EQ(encoding->ids, test["ids"].get<std::vector<int32_t>>()) << text.substr(0, 100);
      CheckTruncation(*short_tokenizer, text, encoding->ids);
    } else {
      EXPECT_EQ(encoding->ids.size(), test["length"].get<size_t>()) << text.substr(0, 100);
      EXPECT_EQ(DigestOf(encoding->ids), test["sha256"].get<std::string>()) << text.substr(0, 100);
    }
  }
}

TEST(TokenizerGoldenTest, MiniLm) {
  const char* const given = std::getenv("MIDLAYER_TEST_MODEL");
  const fs::path model_dir = given != nullptr ? given : fs::path(MIDLAYER_SOURCE_DIR) / "models" / "all-MiniLM-L6-v2";
  if (!fs::is_directory(model_dir)) {
    GTEST_SKIP() << "no model in " << model_dir << ": fetch it, or set MIDLAYER_TEST_MODEL";
  }
  CheckGolden(model_dir, kGolden / "minilm" / "token_ids.json");
}

TEST(TokenizerGoldenTest, Roberta) {
  CheckGolden(kGolden / "models" / "roberta", kGolden / "models" / "roberta" / "token_ids.json");
}

TEST(TokenizerGoldenTest, XlmRoberta) {
  CheckGolden(kGolden / "models" / "xlm_roberta", kGolden / "models" / "xlm_roberta" / "token_ids.json");
}

}  // namespace
}  // namespace midlayer
