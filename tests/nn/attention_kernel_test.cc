// The kernel against its definition in double precision, with each set of vector instructions that this machine has, at
// lengths and sizes around those of a vector. The memory of a task ends where it ends: AddressSanitizer sees what is
// read or written beyond.
#include "server/nn/attention_kernel.h"

#include <cmath>
#include <limits>
#include <random>
#include <tuple>
#include <vector>

#include "tests/nn/kernel_fixtures.h"

namespace midlayer {
namespace {

template <typename Element>
bool Sees(const AttentionTask<Element>& task, int64_t query, int64_t key) {
  return (!task.causal || key <= query) && (task.window == 0 || std::abs(query - key) < task.window);
}

// What one query of one head is to get.
template <typename Element>
std::vector<double> Expected(const AttentionTask<Element>& task, int64_t query, int64_t head) {
  std::vector<double> out(static_cast<size_t>(task.head_size));
  double sum = 0;
  for (int64_t key = 0; key < task.tokens; ++key) {
    if (!Sees(task, query, key)) continue;
    double score = 0;
    for (int64_t h = 0; h < task.head_size; ++h) {
      score +=
          Value(task.q[query * task.q_stride + head * task.head_size + h]) * Value(task.k[key * task.k_stride + h]);
    }
    score *= static_cast<double>(task.scale);
    if (task.added != nullptr) score += Value(task.added[(head * task.tokens + query) * task.tokens + key]);
    const double weight = std::exp(score);
    sum += weight;
    for (int64_t h = 0; h < task.head_size; ++h) out[h] += weight * Value(task.v[key * task.v_stride + h]);
  }
  for (double& x : out) x /= sum;
  return out;
}

struct Shape {
  int64_t tokens;
  int64_t head_size;
  int64_t heads;
  int64_t window;
  bool causal;
  bool added;
};

template <typename Element>
void ExpectAttention(const Shape& shape, double relative, std::mt19937& random) {
  const int64_t width = shape.heads * shape.head_size;
  const std::vector<Element> q = Random<Element>(shape.tokens * width, random);
  const std::vector<Element> k = Random<Element>(shape.tokens * shape.head_size, random);
  const std::vector<Element> v = Random<Element>(shape.tokens * shape.head_size, random);
  const std::vector<float> added = Random<float>(shape.heads * shape.tokens * shape.tokens, random);
  std::vector<Element> out(q.size());
  const AttentionTask<Element> task{.q = q.data(),
                                    .k = k.data(),
                                    .v = v.data(),
                                    .out = out.data(),
                                    .q_stride = width,
                                    .k_stride = shape.head_size,
                                    .v_stride = shape.head_size,
                                    .out_stride = width,
                                    .tokens = shape.tokens,
                                    .head_size = shape.head_size,
                                    .query_heads = shape.heads,
                                    .scale = 0.3F,
                                    .causal = shape.causal,
                                    .window = shape.window,
                                    .added = shape.added ? added.data() : nullptr};
  Attend(task);
  for (int64_t query = 0; query < shape.tokens; ++query) {
    for (int64_t head = 0; head < shape.heads; ++head) {
      const std::vector<double> expected = Expected(task, query, head);
      for (int64_t h = 0; h < shape.head_size; ++h) {
        const double got = Value(out[query * width + head * shape.head_size + h]);
        ASSERT_NEAR(got, expected[h], 1e-5 + relative * std::abs(expected[h]))
            << "query " << query << ", head " << head << ", number " << h;
      }
    }
  }
}

class AttentionKernelTest : public KernelTest {};
INSTANTIATE_TEST_SUITE_P(Targets, AttentionKernelTest, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         TargetName);

TEST_P(AttentionKernelTest, IsTheSoftmaxOverTheKeysThatAreSeen) {
  std::mt19937 random(1);
  for (const int64_t tokens : {1, 7, 9, 16, 31, 33, 64, 80}) {
    for (const int64_t head_size : {1, 16, 20, 32}) {
      for (const auto& [window, causal, added] :
           {std::tuple(0, false, false), {0, true, false}, {5, false, true}, {3, true, false}}) {
        const Shape shape{tokens, head_size, /*heads=*/1 + tokens % 2, window, causal, added};
        SCOPED_TRACE(testing::Message() << tokens << " tokens, heads of " << head_size << ", window " << window);
        ExpectAttention<float>(shape, 0, random);
        ExpectAttention<uint16_t>(shape, 1.0 / 256, random);
      }
    }
  }
}

// Two tokens of one number each.
template <typename Element>
std::vector<Element> AttendTwo(const std::vector<Element>& q, const std::vector<Element>& k,
                               const std::vector<Element>& v) {
  std::vector<Element> out(2);
  Attend(AttentionTask<Element>{.q = q.data(),
                                .k = k.data(),
                                .v = v.data(),
                                .out = out.data(),
                                .q_stride = 1,
                                .k_stride = 1,
                                .v_stride = 1,
                                .out_stride = 1,
                                .tokens = 2,
                                .head_size = 1});
  return out;
}

// A score far above the others leaves them nothing, and one far below nothing is lost by it.
TEST_P(AttentionKernelTest, LargeScoresNeitherOverflowNorVanish) {
  for (const float size : {1e2F, 1e4F, 1e18F}) {
    EXPECT_EQ(AttendTwo<float>({size, size}, {size, -size}, {3, 5}), (std::vector<float>{3, 3})) << size;
  }
}

// What is no number stays visible.
TEST_P(AttentionKernelTest, NanStaysNan) {
  const std::vector<uint16_t> ones(2, 0x3F80), nan(2, 0x7FC0);
  const std::vector<uint16_t> out = AttendTwo<uint16_t>(ones, ones, nan);
  EXPECT_TRUE(std::isnan(Value(out[0])) && std::isnan(Value(out[1])));
}

}  // namespace
}  // namespace midlayer
