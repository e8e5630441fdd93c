// EmbedStream, against a server that does what it is told.
#include <algorithm>
#include <atomic>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "midlayer/client.h"
#include "tests/client/cpp/scripted_server.h"

namespace midlayer {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

// Texts one by one.
class Texts {
 public:
  explicit Texts(std::vector<std::string> texts) : texts_(std::move(texts)) {}
  std::optional<std::string> operator()() {
    if (taken_ == texts_.size()) return std::nullopt;
    return texts_[taken_++];
  }
  size_t taken() const { return taken_; }

 private:
  const std::vector<std::string> texts_;
  size_t taken_ = 0;
};

std::vector<std::string> Numbers(int count) {
  std::vector<std::string> texts;
  for (int i = 0; i < count; ++i) texts.push_back(std::to_string(i));
  return texts;
}

class StreamTest : public testing::Test {
 protected:
  // Results go to `rows_` and `firsts_`, errors to `errors_` where they are taken.
  absl::Status Run(Texts& texts, EmbedStreamOptions options = {}, const CallOptions& call = {}) {
    const auto on_result = [this](const Embeddings& result) {
      firsts_.push_back(result.first);
      for (size_t i = 0; i < result.size(); ++i) rows_.push_back(result.row(i)[0]);
      return after_result_ ? after_result_() : absl::OkStatus();
    };
    return client_.EmbedStream([&texts] { return texts(); }, on_result, options, call);
  }

  void ExpectAll(size_t count) const {
    ASSERT_EQ(rows_.size(), count);
    for (size_t i = 0; i < count; ++i) ASSERT_EQ(rows_[i], static_cast<float>(i));
  }

  ScriptedServer server_;
  Client client_{server_.target()};
  std::vector<float> rows_;
  std::vector<size_t> firsts_;
  std::function<absl::Status()> after_result_;
};

TEST_F(StreamTest, ResultsComeInOrderWithTheirPlaces) {
  Texts texts(Numbers(70));
  ASSERT_TRUE(Run(texts).ok());
  EXPECT_THAT(firsts_, ElementsAre(0, 32, 64));
  ExpectAll(70);
  Texts none({});
  EXPECT_TRUE(Run(none).ok());
}

TEST_F(StreamTest, ManyTextsInSmallMessages) {
  Texts texts(Numbers(5000));
  const absl::Status status = Run(texts, {.batch_size = 3});
  ASSERT_TRUE(status.ok()) << status;
  ExpectAll(5000);
  EXPECT_EQ(server_.service().most_texts, 3);
}

TEST_F(StreamTest, AtMostSixteenMessagesAreOnTheWay) {
  std::vector<std::string> input = Numbers(1000);
  input[0] = "slow";  // never answered: what is taken is on the way
  Texts texts(input);
  EXPECT_TRUE(absl::IsDeadlineExceeded(Run(texts, {.batch_size = 2}, {.timeout = absl::Seconds(2)})));
  EXPECT_EQ(texts.taken(), 32);
  EXPECT_TRUE(rows_.empty());
}

TEST_F(StreamTest, BadTextsAreToldByPlaceAndTheStreamGoesOn) {
  std::vector<std::string> input = Numbers(9);
  input[3] = "bad";
  input[5] = "\xFF";
  input[7] = std::string((1 << 20) + 1, 'x');
  Texts texts(input);
  std::vector<std::string> errors;
  std::vector<std::optional<size_t>> places;
  const auto on_error = [&](const StreamError& error) {
    errors.push_back(absl::StrCat(error.first, "+", error.count, " ", error.status.message()));
    places.push_back(error.text);
    EXPECT_TRUE(absl::IsInvalidArgument(error.status));
  };
  const absl::Status status = Run(texts, {.batch_size = 2, .on_error = on_error});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(errors, ElementsAre("2+2 texts[3]: expected good, found bad (texts 2 to 3 got no vectors)",
                                  "5+1 texts[5]: expected UTF-8, found a byte that is none at offset 0",
                                  "7+1 texts[7]: expected at most 1048576 bytes, found 1048577"));
  EXPECT_THAT(places, ElementsAre(3, 5, 7));
  EXPECT_THAT(rows_, ElementsAre(0, 1, 4, 6, 8));
  EXPECT_THAT(firsts_, ElementsAre(0, 4, 6, 8));
}

TEST_F(StreamTest, AnErrorThatNobodyTakesEndsTheStream) {
  Texts texts({"0", "bad", "2"});
  EXPECT_EQ(Run(texts, {.batch_size = 1}), absl::InvalidArgumentError("texts[1]: expected good, found bad"));
  EXPECT_THAT(rows_, ElementsAre(0));
}

TEST_F(StreamTest, TheReceiverEndsTheStream) {
  Texts texts(Numbers(1000));
  after_result_ = [] { return absl::DataLossError("the disk is full"); };
  EXPECT_EQ(Run(texts), absl::DataLossError("the disk is full"));
  EXPECT_EQ(firsts_.size(), 1);
}

TEST_F(StreamTest, AServerThatGoesAwayInTheMiddleIsSentAgainWhatHasNoAnswer) {
  server_.service().set_script([](int call, grpc::ServerContext*) {
    const bool is_gone = call % 10 == 0;
    return is_gone ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "shutting down") : grpc::Status::OK;
  });
  Texts texts(Numbers(100));
  const absl::Status status = Run(texts, {.batch_size = 3});
  ASSERT_TRUE(status.ok()) << status;
  ExpectAll(100);
}

TEST(StreamLifeTest, AServerThatIsKilledInTheMiddleAndStartedAgain) {
  auto server = std::make_optional<ScriptedServer>();
  const int port = server->port();
  Client client(server->target());
  Texts texts(Numbers(200));
  std::vector<float> rows;
  const absl::Status status = client.EmbedStream([&] { return texts(); },
                                                 [&](const Embeddings& result) {
                                                   if (result.first == 20) {
                                                     server.reset();
                                                     server.emplace(port);
                                                   }
                                                   for (size_t i = 0; i < result.size(); ++i)
                                                     rows.push_back(result.row(i)[0]);
                                                   return absl::OkStatus();
                                                 },
                                                 {.batch_size = 2});
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(rows.size(), 200);
  EXPECT_TRUE(std::is_sorted(rows.begin(), rows.end()));
}

TEST_F(StreamTest, AServerThatStaysAwayIsGivenUp) {
  server_.service().set_script(AlwaysFail(grpc::StatusCode::UNAVAILABLE, "shutting down"));
  Texts texts(Numbers(10));
  const absl::Status expected =
      absl::UnavailableError(server_.target() + " is not available (shutting down): try again later");
  EXPECT_EQ(Run(texts), expected);
  EXPECT_EQ(server_.service().calls, 5);
}

TEST_F(StreamTest, TheTimeoutIsThatOfOneAnswer) {
  Texts texts({"0", "slow"});
  EXPECT_TRUE(absl::IsDeadlineExceeded(Run(texts, {.batch_size = 1}, {.timeout = absl::Seconds(2)})));
  EXPECT_THAT(rows_, ElementsAre(0));
}

TEST_F(StreamTest, TheCallerStopsItBetweenTwoResults) {
  std::stop_source stop;
  Texts texts(Numbers(1000));
  after_result_ = [&] {
    stop.request_stop();
    return absl::OkStatus();
  };
  EXPECT_EQ(Run(texts, {.batch_size = 1}, {.stop = stop.get_token()}), absl::CancelledError("stopped by the caller"));
}

TEST_F(StreamTest, ABatchSizeThatIsNoneIsRefused) {
  Texts texts(Numbers(1));
  EXPECT_EQ(Run(texts, {.batch_size = 0}), absl::InvalidArgumentError("batch_size: expected 1 or more, found 0"));
}

}  // namespace
}  // namespace midlayer
