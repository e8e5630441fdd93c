// ParseEmbedRequest, against wire bytes that are written by hand here.
#include <google/protobuf/stubs/logging.h>
#include <grpcpp/support/byte_buffer.h>

#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/service/convert.h"

namespace midlayer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A field of bytes: tag, length, contents. Numbers are those of embedding.proto.
std::string Field(int number, std::string_view contents) {
  std::string bytes(1, static_cast<char>(number << 3 | 2));
  size_t length = contents.size();
  for (; length >= 0x80; length >>= 7) bytes.push_back(static_cast<char>(length | 0x80));
  bytes.push_back(static_cast<char>(length));
  return bytes.append(contents);
}
std::string Text(std::string_view text) { return Field(1, text); }
std::string PromptName(std::string_view name) { return Field(9, name); }
std::string Prompt(std::string_view prompt) { return Field(10, prompt); }
std::string InStream(std::string_view request) { return Field(1, request); }

// In slices of at most `slice` bytes, as a network would bring them.
grpc::ByteBuffer Buffer(const std::string& bytes, size_t slice = 1 << 20) {
  std::vector<grpc::Slice> slices;
  for (size_t i = 0; i < bytes.size(); i += slice) slices.emplace_back(bytes.substr(i, slice));
  return grpc::ByteBuffer(slices.data(), slices.size());
}

template <typename Message>
absl::Status Parse(const std::string& bytes, size_t slice = 1 << 20) {
  Message message;
  return ParseEmbedRequest(Buffer(bytes, slice), &message);
}

class ParseTest : public testing::Test {
 protected:
  // protobuf writes to standard error what the tests ask for on purpose.
  ParseTest() : handler_(google::protobuf::SetLogHandler(nullptr)) {}
  ~ParseTest() override { google::protobuf::SetLogHandler(handler_); }

 private:
  google::protobuf::LogHandler* const handler_;
};

TEST_F(ParseTest, GoodMessages) {
  const std::string bytes = Text("a") + Text("é👍") + Text(std::string_view("\0", 1)) + Prompt("p: ") + Field(13, "id");
  for (size_t slice : {1u, 2u, 7u, 1000u}) {
    SCOPED_TRACE(slice);
    v1::EmbedRequest request;
    ASSERT_EQ(ParseEmbedRequest(Buffer(bytes, slice), &request), absl::OkStatus());
    EXPECT_THAT(request.texts(), ElementsAre("a", "é👍", std::string("\0", 1)));
    EXPECT_EQ(request.prompt(), "p: ");
    EXPECT_EQ(request.expected_selection_id(), "id");
    v1::EmbedStreamRequest wrapped;
    ASSERT_EQ(ParseEmbedRequest(Buffer(InStream(bytes), slice), &wrapped), absl::OkStatus());
    EXPECT_EQ(wrapped.request().texts_size(), 3);
  }
}

TEST_F(ParseTest, EmptyBytesAreAnEmptyMessage) {
  v1::EmbedRequest request;
  EXPECT_EQ(ParseEmbedRequest(Buffer(""), &request), absl::OkStatus());
  EXPECT_TRUE(request.texts().empty());
}

TEST_F(ParseTest, UnknownFieldsAreSkipped) {
  const std::string unknown = Field(15, "\xFF") + std::string("\x78\x05", 2);  // field 15 as bytes, and as a number
  EXPECT_EQ(Parse<v1::EmbedRequest>(unknown + Text("a")), absl::OkStatus());
  EXPECT_THAT(std::string(Parse<v1::EmbedRequest>(unknown + Text("\xFF")).message()), HasSubstr("texts[0]: "));
}

TEST_F(ParseTest, StringsThatAreNotUtf8AreNamed) {
  const std::string good = Text("a") + Text("b") + Text("c");
  const struct {
    std::string bytes;
    const char* message;
  } cases[] = {
      {good + Text("abc\xFF"), "texts[3]: expected UTF-8, found a byte that is none at offset 3"},
      {good + Text("\xC3") + Text("\xFF"), "texts[3]: expected UTF-8, found a byte that is none at offset 0"},
      {Text("\xED\xA0\x80") + good, "texts[0]: expected UTF-8, found a byte that is none at offset 0"},  // a surrogate
      {Text("x\xC0\x80"), "texts[0]: expected UTF-8, found a byte that is none at offset 1"},            // overlong
      {good + Prompt("p\x80"), "prompt: expected UTF-8, found a byte that is none at offset 1"},
      {PromptName("\xFE") + good, "prompt_name: expected UTF-8, found a byte that is none at offset 0"},
      {good + Field(13, "\xFF"), "expected_selection_id: expected UTF-8"},
      {good + Field(14, "\xFF"), "expected_model_fingerprint: expected UTF-8"},
      {std::string("\x10\x03", 2) + Field(7, "\x08\x01") + Text("a") + Text("\xFF"), "texts[1]: expected UTF-8"},
  };
  for (const auto& test : cases) {
    SCOPED_TRACE(test.message);
    for (size_t slice : {1u, 1000u}) {
      const absl::Status status = Parse<v1::EmbedRequest>(test.bytes, slice);
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(std::string(status.message()), testing::StartsWith(test.message));
      const absl::Status wrapped = Parse<v1::EmbedStreamRequest>(InStream(test.bytes), slice);
      EXPECT_EQ(wrapped.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(std::string(wrapped.message()), testing::StartsWith(std::string("request.") + test.message));
    }
  }
}

TEST_F(ParseTest, BytesThatAreNoMessage) {
  const std::pair<const char*, std::string> cases[] = {
      {"text cut off", Text("abc").substr(0, 3)},
      {"length missing", "\x0A"},
      {"length without end", "\x0A\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"},
      {"length of 4 GiB", "\x0A\xFF\xFF\xFF\xFF\x0F" + std::string("abc")},
      {"length of 2 GiB - 1", "\x0A\xFF\xFF\xFF\xFF\x07" + std::string("abc")},
      {"number cut off", "\x10\x80"},
      {"field number 0", std::string("\x02\x01\x61", 3)},
      {"a wire type that does not exist", "\x0F"},
      {"end of a group that never began", "\x0C"},
      {"a group without end", "\x7B"},
      {"outputs that are none", Field(7, "\x0A\x05")},
      {"outputs that are none behind a good text", Text("a") + Field(7, "\x0A\x05")},
      {"text", "this is not a message"},
      {"groups in groups", std::string(100000, '\x7B')},
  };
  for (const auto& [what, bytes] : cases) {
    SCOPED_TRACE(what);
    const absl::Status status = Parse<v1::EmbedRequest>(bytes);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(std::string(status.message()), "request: expected a message as in midlayer/v1/embedding.proto, found " +
                                                 std::to_string(bytes.size()) + " bytes that are none");
    const absl::Status wrapped = Parse<v1::EmbedStreamRequest>(InStream(bytes));
    EXPECT_EQ(wrapped.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(wrapped.message()), HasSubstr("expected a message as in midlayer/v1/embedding.proto"));
  }
}

// A request that uses many fields.
std::string RichRequest() {
  v1::EmbedRequest request;
  for (const char* text : {"a", "é👍", "", "a longer text with words"}) request.add_texts(text);
  request.set_layer(-3);
  request.set_prompt_name("query");
  request.set_format(v1::VECTOR_FORMAT_INT8);
  request.set_expected_model_fingerprint("0123456789");
  v1::OutputSpec* output = request.add_outputs();
  for (int layer : {1, -1, 200}) output->add_layers(layer);
  for (float weight : {0.5f, 0.25f}) output->add_weights(weight);
  output->set_normalize(false);
  return request.SerializeAsString();
}

void ExpectOkOrExplained(const absl::Status& status) {
  if (status.ok()) return;
  ASSERT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  ASSERT_FALSE(status.message().empty());
}

TEST_F(ParseTest, EveryPrefixIsReadOrExplained) {
  const std::string bytes = RichRequest();
  int refused = 0;
  for (size_t size = 0; size < bytes.size(); ++size) {
    const absl::Status status = Parse<v1::EmbedRequest>(bytes.substr(0, size), 5);
    ExpectOkOrExplained(status);
    refused += status.ok() ? 0 : 1;
    EXPECT_FALSE(Parse<v1::EmbedStreamRequest>(InStream(bytes).substr(0, size + 1), 5).ok()) << size;
  }
  EXPECT_GT(refused, 20) << "cuts inside the fields";
}

TEST_F(ParseTest, RandomMutationsAreReadOrExplained) {
  const std::string original = InStream(RichRequest());
  std::mt19937 random(7);
  const auto below = [&](size_t end) { return std::uniform_int_distribution<size_t>(0, end - 1)(random); };
  int refused = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = original;
    for (size_t changes = 1 + below(5); changes > 0; --changes) {
      const size_t at = below(bytes.size());
      switch (below(3)) {
        case 0:
          bytes[at] = static_cast<char>(below(256));
          break;
        case 1:
          bytes.insert(at, 1, static_cast<char>(below(256)));
          break;
        default:
          bytes.erase(at, 1);
      }
    }
    const size_t slice = 1 + below(64);
    ExpectOkOrExplained(Parse<v1::EmbedRequest>(bytes, slice));
    const absl::Status status = Parse<v1::EmbedStreamRequest>(bytes, slice);
    ExpectOkOrExplained(status);
    refused += status.ok() ? 0 : 1;
  }
  EXPECT_GT(refused, 2000) << "the mutations do nothing";
}

}  // namespace
}  // namespace midlayer
