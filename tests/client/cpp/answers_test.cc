// What becomes of answers: formats, shapes, joining.
#include "client/cpp/answers.h"

#include <cmath>
#include <limits>
#include <string>
#include <string_view>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace midlayer::internal {
namespace {

using ::testing::ElementsAre;

v1::EmbedResponse Answer(v1::VectorFormat format, uint32_t dimensions) {
  v1::EmbedResponse answer;
  answer.set_format(format);
  answer.add_outputs()->add_layers(3);
  answer.mutable_outputs(0)->set_dimensions(dimensions);
  answer.mutable_outputs(0)->set_pooling(v1::POOLING_MEAN);
  answer.set_model_fingerprint("f");
  answer.add_embeddings()->add_vectors();
  return answer;
}

v1::Vector& VectorOf(v1::EmbedResponse& answer) { return *answer.mutable_embeddings(0)->mutable_vectors(0); }

std::vector<float> ValuesOf(const v1::EmbedResponse& answer) {
  const absl::StatusOr<Embeddings> result = ToEmbeddings(answer, 1, 0);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? result->values() : std::vector<float>();
}

TEST(AnswersTest, Float16OfEveryKind) {
  v1::EmbedResponse answer = Answer(v1::VECTOR_FORMAT_FLOAT16, 6);
  VectorOf(answer).set_data(std::string("\x00\x3C\x00\xC0\x01\x00\xFF\x7B\x00\xFC\x00\x00", 12));
  EXPECT_THAT(ValuesOf(answer),
              ElementsAre(1.0F, -2.0F, std::ldexp(1.0F, -24), 65504.0F, -std::numeric_limits<float>::infinity(), 0.0F));
}

TEST(AnswersTest, Bfloat16Int8AndBinary) {
  v1::EmbedResponse answer = Answer(v1::VECTOR_FORMAT_BFLOAT16, 2);
  VectorOf(answer).set_data(std::string("\x80\x3F\x00\xC0", 4));
  EXPECT_THAT(ValuesOf(answer), ElementsAre(1.0F, -2.0F));

  answer = Answer(v1::VECTOR_FORMAT_INT8, 3);
  VectorOf(answer).set_data(std::string("\x7F\x81\x02", 3));
  VectorOf(answer).set_scale(0.5F);
  EXPECT_THAT(ValuesOf(answer), ElementsAre(63.5F, -63.5F, 1.0F));

  answer = Answer(v1::VECTOR_FORMAT_BINARY, 10);
  VectorOf(answer).set_data(std::string("\xA0\x40", 2));
  EXPECT_THAT(ValuesOf(answer), ElementsAre(1, -1, 1, -1, -1, -1, -1, -1, -1, 1));
}

TEST(AnswersTest, AnAnswerThatIsNotWholeIsInternal) {
  const auto message = [](const v1::EmbedResponse& answer, size_t texts) {
    return std::string(ToEmbeddings(answer, texts, 0).status().message());
  };
  v1::EmbedResponse answer = Answer(v1::VECTOR_FORMAT_FLOAT32, 2);
  EXPECT_EQ(message(answer, 2), "the server sent 1 embeddings for 2 texts");
  EXPECT_EQ(message(answer, 1), "the server sent a vector of 0 numbers, not of 2");
  answer.set_format(v1::VECTOR_FORMAT_BINARY);
  EXPECT_EQ(message(answer, 1), "the server sent a vector of 0 bytes, not of 1");
  answer.set_format(static_cast<v1::VectorFormat>(9));
  EXPECT_EQ(message(answer, 1), "the server sent vectors in a format that is not known here: 9");
  answer.mutable_embeddings(0)->clear_vectors();
  EXPECT_EQ(message(answer, 1), "the server sent 0 vectors for 1 outputs");
  answer.clear_outputs();
  EXPECT_EQ(message(answer, 1), "the server sent no outputs");
  EXPECT_TRUE(absl::IsInternal(ToEmbeddings(answer, 1, 0).status()));
}

// 16 TB would be needed for what it says.
TEST(AnswersTest, NoMemoryIsTakenForWhatDidNotCome) {
  v1::EmbedResponse answer = Answer(v1::VECTOR_FORMAT_FLOAT32, UINT32_MAX);
  for (int i = 1; i < 1000; ++i) answer.add_embeddings()->add_vectors();
  EXPECT_EQ(ToEmbeddings(answer, 1000, 0).status().message(),
            "the server sent a vector of 0 numbers, not of 4294967295");
}

TEST(AnswersTest, JoinedInOrderUnlessTheyWereMadeOtherwise) {
  v1::EmbedResponse answer = Answer(v1::VECTOR_FORMAT_FLOAT32, 1);
  answer.mutable_timing()->set_queue_seconds(0.5);
  VectorOf(answer).add_values(1);
  Embeddings whole;
  ASSERT_TRUE(Append(*ToEmbeddings(answer, 1, 0), whole).ok());
  VectorOf(answer).set_values(0, 2);
  answer.mutable_timing()->set_queue_seconds(0.25);
  ASSERT_TRUE(Append(*ToEmbeddings(answer, 1, 1), whole).ok());
  EXPECT_THAT(whole.values(), ElementsAre(1, 2));
  EXPECT_EQ(whole.size(), 2);
  EXPECT_EQ(whole.output().rows, 2);
  EXPECT_EQ(whole.timing.queue, absl::Seconds(0.5));
  answer.set_selection_id("another");
  EXPECT_TRUE(absl::IsAborted(Append(*ToEmbeddings(answer, 1, 2), whole)));
}

}  // namespace
}  // namespace midlayer::internal
