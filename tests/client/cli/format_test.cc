// What people read: widths, progress, similarity, model, cosine.
#include <sstream>
#include <string>
#include <vector>

#include "client/cli/cosine.h"
#include "client/cli/info.h"
#include "client/cli/progress.h"
#include "client/cli/similarity.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/base/help_formatter.h"
#include "server/base/text_width.h"

namespace midlayer::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(TextWidthTest, Width) {
  const struct {
    std::string text;
    size_t width;
  } cases[] = {{"", 0},           {"abc", 3},    {"gr\u00fc\u00df", 4}, {"\u4e2d\u6587", 4}, {"e\u0301", 1},
               {"\U0001f600", 2}, {"\uac00", 2}, {"\u2026", 1},         {"\u0440\u0443", 2}};
  for (const auto& test : cases) EXPECT_EQ(Width(test.text), test.width) << test.text;
}

TEST(TextWidthTest, Cut) {
  EXPECT_EQ(Cut("abcdef", 6), "abcdef");
  EXPECT_EQ(Cut("abcdef", 5), "abcd…");
  EXPECT_EQ(Cut("abcdef", 1), "…");
  EXPECT_EQ(Cut("\u4e2d\u6587\u4e2d", 6), "\u4e2d\u6587\u4e2d");
  EXPECT_EQ(Cut("\u4e2d\u6587\u4e2d", 5), "\u4e2d\u6587…");
  EXPECT_EQ(Cut("\u4e2d\u6587\u4e2d", 4), "\u4e2d…");
}

TEST(TextWidthTest, PadAndPrintable) {
  EXPECT_EQ(PadRight("\u4e2d", 4) + "|", "\u4e2d  |");
  EXPECT_EQ(PadLeft("abc", 5), "  abc");
  EXPECT_EQ(PadLeft("abcdef", 5), "abcdef");
  EXPECT_EQ(Printable("a\tb\r\n\x1b[31mc\u202e\u0085"), "a b   [31mc  ");
  EXPECT_EQ(Printable("a\xFF\xC3z\xE4\xB8"), "a??z??");
}

TEST(ProgressTest, Format) {
  const struct {
    ProgressState state;
    const char* expected;
  } cases[] = {
      {{1200, 400, 1000, 4}, "[########------------]  40%  1200 texts  300/s  0:06 left"},
      {{1200, 0, 0, 4}, "1200 texts  300/s"},
      {{3, 10, 20, 2}, "[##########----------]  50%  3 texts  1.5/s  0:02 left"},
      {{5, 20, 20, 0}, "[####################] 100%  5 texts"},
      {{9, 30, 20, 1}, "[####################] 100%  9 texts  9.0/s  0:00 left"},
      {{7000, 1, 1001, 7}, "[--------------------]   0%  7000 texts  1000/s  1:56:40 left"},
      {{0, 0, 10, 1}, "[--------------------]   0%  0 texts  0.0/s"},
  };
  for (const auto& test : cases) EXPECT_EQ(FormatProgress(test.state), test.expected);
}

TEST(ProgressTest, DrawsAndClearsOnlyWhereEnabled) {
  std::ostringstream silent;
  Progress(&silent, false).Update({.texts = 1});
  EXPECT_EQ(silent.str(), "");
  std::ostringstream out;
  {
    Progress progress(&out, true);
    progress.Update({.texts = 1});
    progress.Update({.texts = 2});  // too soon
    progress.Clear();
    progress.Clear();
  }
  EXPECT_THAT(out.str(), HasSubstr("\r\x1b[K1 texts"));
  EXPECT_THAT(out.str(), Not(HasSubstr("2 texts")));
  EXPECT_EQ(out.str().find("\r\x1b[K", 1), out.str().size() - 4);
}

TEST(CosineTest, Values) {
  const std::vector<float> x = {2, 0};
  const std::vector<float> y = {0, 3};
  const std::vector<float> diagonal = {1, 1};
  const std::vector<float> zero = {0, 0};
  EXPECT_EQ(FormatCosine(Cosine(x, x)), "1.0000");
  EXPECT_EQ(FormatCosine(Cosine(x, y)), "0.0000");
  EXPECT_EQ(FormatCosine(Cosine(x, diagonal)), "0.7071");
  EXPECT_EQ(FormatCosine(Cosine(x, zero)), "n/a");
  EXPECT_EQ(FormatCosine(-0.00001), "0.0000");
}

// `outputs` layers, and for each text a vector that differs by layer.
v1::EmbedResponse Response(int texts, int outputs) {
  v1::EmbedResponse response;
  for (int output = 0; output < outputs; ++output) {
    v1::OutputInfo& info = *response.add_outputs();
    info.add_layers(output * 3);
    info.set_pooling(output % 2 == 0 ? v1::POOLING_MEAN : v1::POOLING_WEIGHTED_MEAN);
  }
  for (int text = 0; text < texts; ++text) {
    v1::Embedding& embedding = *response.add_embeddings();
    embedding.set_tokens(5);
    for (int output = 0; output < outputs; ++output) {
      v1::Vector& vector = *embedding.add_vectors();
      vector.add_values(1);
      vector.add_values(static_cast<float>(text * output));
    }
  }
  response.mutable_timing()->set_tokenize_seconds(0.0002);
  response.mutable_timing()->set_queue_seconds(0.001);
  response.mutable_timing()->set_forward_seconds(0.0125);
  return response;
}

TEST(SimilarityTest, Table) {
  EXPECT_EQ(FormatSimilarity({"A man eats.", "gr\u00fcn", "x\ny"}, Response(3, 2), 0.0151),
            "text         text         layer 0 mean  layer 3 weighted_mean\n"
            "A man eats.  gr\u00fcn               1.0000                 0.7071\n"
            "A man eats.  x y                1.0000                 0.4472\n"
            "gr\u00fcn         x y                1.0000                 0.9487\n"
            "\n"
            "3 texts, 15 tokens; tokenize 0.2 ms, queue 1.0 ms, forward 12.5 ms, whole call 15.1 ms\n");
}

TEST(SimilarityTest, NeverWiderThanALine) {
  const std::vector<std::string> texts = {std::string(200, 'a'), std::string(200, 'b')};
  for (int outputs = 1; outputs <= 20; ++outputs) {
    const std::string table = FormatSimilarity(texts, Response(2, outputs), 0);
    std::istringstream lines(table);
    int columns = 0;
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LE(Width(line), 100) << line;
      for (size_t at = line.find("layer"); at != std::string::npos; at = line.find("layer", at + 1)) ++columns;
    }
    EXPECT_EQ(columns, outputs);
  }
}

TEST(InfoTest, Block) {
  v1::GetModelResponse model;
  model.set_name("all-MiniLM-L6-v2");
  model.set_architecture("bert");
  model.set_layers(6);
  model.set_max_layer(4);
  model.set_hidden_size(384);
  model.set_default_pooling(v1::POOLING_MEAN);
  for (const v1::Pooling pooling : {v1::POOLING_CLS, v1::POOLING_MEAN, v1::POOLING_LAST}) model.add_poolings(pooling);
  model.set_attention("bidirectional");
  (*model.mutable_prompts())["query"] = "query: ";
  model.set_default_prompt_name("query");
  model.add_fingerprints("abc");
  EXPECT_THAT(FormatModel(model), HasSubstr("model         all-MiniLM-L6-v2 (bert)\n"
                                            "layers        0 (embeddings) to 4 are loaded, of 6\n"
                                            "dimensions    384\n"
                                            "attention     bidirectional\n"
                                            "pooling       mean; also cls, last\n"));
  EXPECT_THAT(FormatModel(model), HasSubstr("prompt        query (default): \"query: \"\n"));
  EXPECT_THAT(FormatModel(model), HasSubstr("selection     none: requests without a layer get layer 4\n"));
  model.mutable_selection()->set_layer(3);
  model.mutable_selection()->set_pooling(v1::POOLING_CLS);
  model.mutable_selection()->set_criterion("silhouette");
  model.mutable_selection()->set_id("42");
  EXPECT_THAT(FormatModel(model), HasSubstr("selection     layer 3 cls by silhouette, id 42\n"));
}

TEST(HelpTest, Wrap) {
  EXPECT_EQ(Wrap("one two three\n  kept  as it is\n\nend", 2, 9), "  one two\n  three\n    kept  as it is\n\n  end\n");
}

}  // namespace
}  // namespace midlayer::cli
