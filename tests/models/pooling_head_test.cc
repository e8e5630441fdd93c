// Pooling heads from files: one that tools/convert_pooling_head.py made, and everything that is refused.
#include "server/models/pooling_head.h"

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/nn/pooling_fixtures.h"
#include "tests/weights/test_files.h"

namespace midlayer {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr char kToQuery[] = "cross_attend_blocks.0.fn.to_q.weight";
constexpr char kToKeyValue[] = "cross_attend_blocks.0.fn.to_kv.weight";
constexpr char kMlpOut[] = "cross_attend_blocks.1.fn.net.2.weight";

std::filesystem::path Converted() {
  return std::filesystem::path(MIDLAYER_SOURCE_DIR) / "tests" / "golden" / "pooling" / "head.safetensors";
}

// --- what the converter wrote ----------------------------------------------------------------------------------------

TEST(PoolingHeadTest, PoolsWithAConvertedHead) {
  const auto head = PoolingHead::Load(Converted(), {.hidden = 8, .layers = 4});
  ASSERT_TRUE(head.ok()) << head.status();
  EXPECT_EQ((*head)->design(), PoolingDesign::kMultiLayerCausal);
  EXPECT_EQ((*head)->table_rows(), 4);
  const json fixture = PoolingFixtures().at("converted");
  const at::Tensor got_BD = (*head)->pool().PoolBatch(TensorOf(fixture.at("x"), at::kFloat));
  EXPECT_EQ(got_BD.scalar_type(), at::kFloat);
  EXPECT_LT(LargestDifference(got_BD, TensorOf(fixture.at("expected"), at::kDouble)), 2e-5);
}

TEST(PoolingHeadTest, TakesAModelOfFewerLayersThanTheTable) {
  const auto head = PoolingHead::Load(Converted(), {.hidden = 8, .layers = 3});
  ASSERT_TRUE(head.ok()) << head.status();
  EXPECT_EQ((*head)->table_rows(), 4);
}

// --- files made here -------------------------------------------------------------------------------------------------

// A head of zeros as a test would have it; what is taken away or changed makes the test.
struct FileSpec {
  std::map<std::string, std::string> metadata = {
      {"format", "midlayer.pooling_head"}, {"version", "1"}, {"design", "3"}, {"heads", "2"}};
  std::map<std::string, std::vector<int64_t>> shapes =
      PoolingHeadShapes({.hidden = 4, .latents = 3, .inner = 6, .mlp = 5, .table_rows = 2});
  std::string dtype = "F32";
  char byte = 0;

  std::string Bytes() const {
    json header = {{"__metadata__", metadata}};
    size_t end = 0;
    for (const auto& [name, shape] : shapes) {
      const size_t begin = end;
      size_t size = dtype == "F64" || dtype == "I64" ? 8 : dtype == "F32" ? 4 : 2;
      for (int64_t extent : shape) size *= static_cast<size_t>(extent);
      end += size;
      header[name] = {{"dtype", dtype}, {"shape", shape}, {"data_offsets", {begin, end}}};
    }
    return SafetensorsBytes(header.dump(), std::string(end, byte));
  }
};

absl::StatusOr<std::unique_ptr<const PoolingHead>> LoadSpec(const TempDir& dir, const FileSpec& spec) {
  return PoolingHead::Load(dir.Write("head.safetensors", spec.Bytes()), {.hidden = 4, .layers = 2});
}

FileSpec OfDesign(int design) {
  FileSpec spec;
  spec.metadata["design"] = absl::StrCat(design);
  if (design == 2 || design == 4) spec.shapes.erase("pos_emb.weight");
  return spec;
}

TEST(PoolingHeadTest, TheDesignSaysWhatIsPooled) {
  const struct {
    int design;
    bool multi_layer, bidirectional;
    std::optional<Pooling> token_pooling;
    int64_t table_rows;
  } cases[] = {
      {2, false, false, Pooling::kLast, 0},
      {3, true, false, Pooling::kLast, 2},
      {4, false, true, std::nullopt, 0},
      {5, true, true, Pooling::kMean, 2},
  };
  const TempDir dir;
  for (const auto& test : cases) {
    const auto head = LoadSpec(dir, OfDesign(test.design));
    ASSERT_TRUE(head.ok()) << head.status();
    EXPECT_EQ(static_cast<int>((*head)->design()), test.design);
    EXPECT_EQ((*head)->multi_layer(), test.multi_layer) << test.design;
    EXPECT_EQ((*head)->bidirectional(), test.bidirectional) << test.design;
    EXPECT_EQ((*head)->token_pooling(), test.token_pooling) << test.design;
    EXPECT_EQ((*head)->table_rows(), test.table_rows) << test.design;
  }
}

TEST(PoolingHeadTest, TheDigestKnowsEverythingThatChangesAVector) {
  const TempDir dir;
  const auto digest = [&](const FileSpec& spec) { return LoadSpec(dir, spec).value()->digest(); };
  const std::string expected = digest(FileSpec());
  EXPECT_EQ(expected.size(), 64u);
  FileSpec same;
  same.metadata["note"] = "who trained it";
  EXPECT_EQ(digest(same), expected);
  FileSpec heads, values, type;
  heads.metadata["heads"] = "3";
  values.byte = 1;
  type.dtype = "F64";
  for (const FileSpec& other : {OfDesign(5), heads, values, type}) EXPECT_NE(digest(other), expected);
}

TEST(PoolingHeadTest, ReadsEveryFloatType) {
  const TempDir dir;
  for (const char* dtype : {"F64", "F16", "BF16"}) {
    FileSpec spec;
    spec.dtype = dtype;
    const auto head = LoadSpec(dir, spec);
    EXPECT_TRUE(head.ok()) << head.status();
  }
}

TEST(PoolingHeadTest, RefusesWhatIsNoHead) {
  const struct {
    std::function<void(FileSpec&)> change;
    std::string message;  // after "head.safetensors: "
  } cases[] = {
      {[](FileSpec& f) { f.metadata.clear(); },
       "metadata format: expected midlayer.pooling_head, as tools/convert_pooling_head.py writes it, found none"},
      {[](FileSpec& f) { f.metadata["format"] = "pt"; },
       "metadata format: expected midlayer.pooling_head, as tools/convert_pooling_head.py writes it, found pt"},
      {[](FileSpec& f) { f.metadata["version"] = "2"; }, "metadata version: expected 1, found 2"},
      {[](FileSpec& f) { f.metadata.erase("version"); }, "metadata version: expected 1, found none"},
      {[](FileSpec& f) { f.metadata["design"] = "1"; }, "metadata design: expected 2, 3, 4 or 5, found 1"},
      {[](FileSpec& f) { f.metadata["design"] = "6"; }, "metadata design: expected 2, 3, 4 or 5, found 6"},
      {[](FileSpec& f) { f.metadata["design"] = "three"; }, "metadata design: expected 2, 3, 4 or 5, found three"},
      {[](FileSpec& f) { f.metadata.erase("design"); }, "metadata design: expected 2, 3, 4 or 5, found none"},
      {[](FileSpec& f) { f.metadata["heads"] = "0"; }, "metadata heads: expected a number from 1 on, found 0"},
      {[](FileSpec& f) { f.metadata["heads"] = "-2"; }, "metadata heads: expected a number from 1 on, found -2"},
      {[](FileSpec& f) { f.metadata["heads"] = "99999999999"; },
       "metadata heads: expected a number from 1 on, found 99999999999"},
      {[](FileSpec& f) { f.metadata.erase("heads"); }, "metadata heads: expected a number from 1 on, found none"},
      {[](FileSpec& f) { f.metadata["heads"] = "4"; },
       absl::StrCat("tensor ", kToQuery, ": expected rows that 4 heads divide, found 6")},
      {[](FileSpec& f) { f.shapes = PoolingHeadShapes({.hidden = 8, .latents = 3, .inner = 6, .mlp = 5}); },
       "tensor latents: expected rows of 4 numbers, the model's hidden size, found 8: a head for models of another "
       "width"},
      {[](FileSpec& f) { f.shapes["pos_emb.weight"] = {1, 4}; },
       "tensor pos_emb.weight: expected at least 2 rows, one for each layer of the model, found 1"},
      {[](FileSpec& f) { f.shapes["pos_emb.weight"] = {2, 3}; },
       "tensor pos_emb.weight: expected [2, 4], found [2, 3]"},
      {[](FileSpec& f) { f.shapes.erase("pos_emb.weight"); }, "tensor pos_emb.weight: expected a matrix, found none"},
      {[](FileSpec& f) { f.metadata["design"] = "5", f.shapes.erase("pos_emb.weight"); },
       "tensor pos_emb.weight: expected a matrix, found none"},
      {[](FileSpec& f) { f.metadata["design"] = "2"; },
       "tensor pos_emb.weight: expected none in design 2, found one: a head of design 3 or 5"},
      {[](FileSpec& f) { f.metadata["design"] = "4"; },
       "tensor pos_emb.weight: expected none in design 4, found one: a head of design 3 or 5"},
      {[](FileSpec& f) { f.shapes.clear(); }, "tensor latents: expected a matrix, found none"},
      {[](FileSpec& f) { f.shapes["latents"] = {12}; }, "tensor latents: expected a matrix, found [12]"},
      {[](FileSpec& f) { f.shapes["latents"] = {0, 4}; }, "tensor latents: expected a matrix, found [0, 4]"},
      {[](FileSpec& f) { f.shapes[kToQuery] = {6, 4, 1}; },
       absl::StrCat("tensor ", kToQuery, ": expected a matrix, found [6, 4, 1]")},
      {[](FileSpec& f) { f.shapes["extra.weight"] = {2, 2}; },
       "tensor extra.weight: expected none of this name in a pooling head, found [2, 2]"},
      {[](FileSpec& f) { f.dtype = "I64"; },
       "tensor latents: expected a tensor of type F32, F16, BF16 or F64, found I64"},
  };
  const TempDir dir;
  for (const auto& test : cases) {
    FileSpec spec;
    test.change(spec);
    const absl::Status status = LoadSpec(dir, spec).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << test.message;
    EXPECT_EQ(std::string(status.message()),
              absl::StrCat((dir.path() / "head.safetensors").string(), ": ", test.message));
  }
}

// Each tensor, missing and of another shape.
TEST(PoolingHeadTest, EveryTensorIsNeededInItsShape) {
  const TempDir dir;
  for (const auto& [name, shape] : FileSpec().shapes) {
    SCOPED_TRACE(name);
    FileSpec missing, grown;
    missing.shapes.erase(name);
    EXPECT_THAT(std::string(LoadSpec(dir, missing).status().message()),
                HasSubstr(absl::StrCat("tensor ", name, ": expected ")));
    // Another size of these three is not wrong in itself: the tensors beside them do not fit.
    const bool sets_a_size = name == "latents" || name == kToQuery || name == "pos_emb.weight";
    if (sets_a_size) continue;
    grown.shapes[name][0] += 2;
    EXPECT_THAT(std::string(LoadSpec(dir, grown).status().message()),
                HasSubstr(absl::StrCat("tensor ", name, ": expected [", absl::StrJoin(shape, ", "), "], found [")));
  }
  FileSpec inner;
  inner.shapes[kToQuery] = {8, 4};
  EXPECT_THAT(std::string(LoadSpec(dir, inner).status().message()),
              HasSubstr(absl::StrCat("tensor ", kToKeyValue, ": expected [16, 4], found [12, 4]")));
  FileSpec mlp;
  mlp.shapes[kMlpOut] = {4, 6};
  EXPECT_THAT(std::string(LoadSpec(dir, mlp).status().message()),
              HasSubstr("tensor cross_attend_blocks.1.fn.net.0.bias: expected [12], found [10]"));
}

TEST(PoolingHeadTest, RefusesWhatIsNoFile) {
  const TempDir dir;
  const auto load = [&](const std::filesystem::path& path) {
    return PoolingHead::Load(path, {.hidden = 4, .layers = 2}).status();
  };
  EXPECT_EQ(load(dir.path() / "none.safetensors").code(), absl::StatusCode::kNotFound);
  const absl::Status broken = load(dir.Write("attn_pool.pt", "PK\003\004 a pickle in a zip file"));
  EXPECT_EQ(broken.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(broken.message()), HasSubstr("attn_pool.pt: expected a safetensors file"));
}

}  // namespace
}  // namespace midlayer
