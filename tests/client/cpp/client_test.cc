// Calls with one result, against a server that does what it is told.
#include "midlayer/client.h"

#include <atomic>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/cpp/scripted_server.h"

namespace midlayer {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

std::vector<std::string> Numbers(int count) {
  std::vector<std::string> texts;
  for (int i = 0; i < count; ++i) texts.push_back(std::to_string(i));
  return texts;
}

// The vectors of Numbers() are (number, layer, 0.1).
void ExpectNumbers(const Embeddings& found, size_t count, size_t first = 0) {
  ASSERT_EQ(found.size(), count);
  ASSERT_EQ(found.values().size(), count * found.dimensions());
  for (size_t i = 0; i < count; ++i) ASSERT_EQ(found.row(i)[0], static_cast<float>(first + i));
}

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

class ClientTest : public testing::Test {
 protected:
  ScriptedServer server_;
  Client client_{server_.target()};
};

TEST_F(ClientTest, EmbedGivesAMatrixAndWhatItIs) {
  const absl::StatusOr<Embeddings> found = client_.Embed({"7", "ab"}, {.layer = 3, .pooling = Pooling::kCls});
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_THAT(found->values(), ElementsAre(7, 3, 0.1F, 2, 3, 0.1F));
  EXPECT_THAT(found->row(1), ElementsAre(2, 3, 0.1F));
  EXPECT_EQ(found->size(), 2);
  EXPECT_EQ(found->dimensions(), 3);
  EXPECT_EQ(found->layer(), 3);
  EXPECT_EQ(found->pooling(), Pooling::kCls);
  EXPECT_THAT(found->tokens, ElementsAre(1, 2));
  EXPECT_THAT(found->truncated, ElementsAre(false, false));
}

TEST_F(ClientTest, SeveralOutputsFromOnePass) {
  const absl::StatusOr<Embeddings> found =
      client_.Embed({"7"}, {.outputs = {{.layers = {1}}, {.layers = {2, 4}, .fusion = Fusion::kMean}}});
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->outputs.size(), 2);
  EXPECT_THAT(found->outputs[1].row(0), ElementsAre(7, 2, 0.1F));
  EXPECT_EQ(server_.service().calls, 1);
  EXPECT_EQ(server_.service().request().outputs(1).fusion(), v1::FUSION_MEAN);
  EXPECT_FALSE(server_.service().request().has_normalize());  // beside `outputs` it would be refused
}

TEST_F(ClientTest, ManyTextsAreCutByNumberAndComeBackInOrder) {
  server_.service().max_texts = 10;
  const absl::StatusOr<Embeddings> found = client_.Embed(Numbers(1005));
  ASSERT_TRUE(found.ok()) << found.status();
  ExpectNumbers(*found, 1005);
  EXPECT_EQ(server_.service().calls, 101);
  EXPECT_EQ(server_.service().most_texts, 10);
}

TEST_F(ClientTest, LongTextsAreCutByBytes) {
  const std::vector<std::string> texts(7, std::string(400 << 10, 'x'));
  const absl::StatusOr<Embeddings> found = client_.Embed(texts);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->size(), 7);
  EXPECT_EQ(server_.service().calls, 3);
  EXPECT_EQ(server_.service().most_texts, 3);
}

TEST_F(ClientTest, TheServersMessagesAreKept) {
  EXPECT_EQ(client_.Embed({"x"}, {.layer = 99}).status(),
            absl::InvalidArgumentError("layer: expected 0 to 6, found 99"));
}

TEST_F(ClientTest, ABadTextIsNamedByItsPlaceInTheInput) {
  server_.service().max_texts = 2;
  EXPECT_EQ(client_.Embed({"0", "1", "2", "bad"}).status(),
            absl::InvalidArgumentError("texts[3]: expected good, found bad (texts 2 to 3 got no vectors)"));
  EXPECT_EQ(client_.Embed({"a\xFF"}).status(),
            absl::InvalidArgumentError("texts[0]: expected UTF-8, found a byte that is none at offset 1"));
  EXPECT_EQ(client_.Embed({"0", std::string((1 << 20) + 1, 'x')}).status(),
            absl::InvalidArgumentError("texts[1]: expected at most 1048576 bytes, found 1048577"));
}

TEST_F(ClientTest, ASlowServerIsGivenUp) {
  const CallOptions soon{.timeout = absl::Milliseconds(200)};
  const std::string message = "no answer from " + server_.target() + " within 0.2 s: wait longer with timeout";
  EXPECT_EQ(client_.Embed({"slow"}, {}, soon).status(), absl::DeadlineExceededError(message));
  server_.service().max_texts = 1;
  client_ = Client({.target = server_.target(), .timeout = absl::Milliseconds(200)});
  EXPECT_EQ(client_.Embed({"1", "slow"}).status(), absl::DeadlineExceededError(message));
  EXPECT_EQ(client_.ScoreLayers({{.text = "slow"}}).status(), absl::DeadlineExceededError(message));
  EXPECT_EQ(client_.Embed({"1"}, {}, {.timeout = absl::ZeroDuration()}).status(),
            absl::InvalidArgumentError("timeout: expected more than 0 s, found 0 s"));
}

TEST_F(ClientTest, TheCallerStopsACallFromAnotherThread) {
  const std::vector<std::vector<std::string>> inputs = {{"slow"}, {"1", "slow"}};
  server_.service().max_texts = 1;
  for (const std::vector<std::string>& texts : inputs) {
    std::stop_source stop;
    // Stopped while the server is at work on it.
    server_.service().set_script([stop](int, grpc::ServerContext*) {
      std::stop_source(stop).request_stop();
      return grpc::Status::OK;
    });
    EXPECT_EQ(client_.Embed(texts, {}, {.stop = stop.get_token()}).status(),
              absl::CancelledError("stopped by the caller"));
    // And before it began.
    EXPECT_TRUE(absl::IsCancelled(client_.Embed(texts, {}, {.stop = stop.get_token()}).status()));
  }
}

TEST_F(ClientTest, WhatOnlyReadsIsTriedFiveTimes) {
  server_.service().set_script([](int call, grpc::ServerContext*) {
    return call < 5 ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "shutting down") : grpc::Status::OK;
  });
  const absl::StatusOr<Embeddings> found = client_.Embed({"7"});
  EXPECT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(server_.service().calls, 5);
}

TEST_F(ClientTest, ADrainingServerIsGivenUpAfterTheTries) {
  server_.service().set_script(AlwaysFail(grpc::StatusCode::UNAVAILABLE, "shutting down"));
  const absl::Status expected =
      absl::UnavailableError(server_.target() + " is not available (shutting down): try again later");
  EXPECT_EQ(client_.Embed({"7"}).status(), expected);
  EXPECT_EQ(server_.service().calls, 5);
  Client once({.target = server_.target(), .max_attempts = 1});
  EXPECT_EQ(once.Embed({"7"}).status(), expected);
  EXPECT_EQ(server_.service().calls, 6);
}

TEST_F(ClientTest, AFullServerIsNotTriedAgain) {
  server_.service().set_script(AlwaysFail(grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue is full: 1 of 1 texts"));
  EXPECT_EQ(client_.Embed({"7"}).status(), absl::ResourceExhaustedError("the queue is full: 1 of 1 texts"));
  EXPECT_EQ(server_.service().calls, 1);
}

TEST(ClientLifeTest, AServerThatIsKilledAndComesBackIsFoundAgain) {
  auto server = std::make_optional<ScriptedServer>();
  const int port = server->port();
  Client client(server->target());
  ASSERT_TRUE(client.Embed({"7"}).ok());
  server.reset();
  std::thread starter([&] { server.emplace(port); });
  const absl::StatusOr<Embeddings> found = client.Embed({"7"});
  starter.join();
  EXPECT_TRUE(found.ok()) << found.status();
}

TEST(ClientLifeTest, NobodyThereSaysWhatToDo) {
  const std::string target = ScriptedServer().target();
  Client client({.target = target, .max_attempts = 1});
  EXPECT_EQ(client.Embed({"x"}).status(),
            absl::UnavailableError("cannot reach " + target +
                                   " (connection refused): is midlayer-server running? start it with "
                                   "midlayer-server --model=DIRECTORY, or name another target"));
  Client nowhere("no.such.host.invalid:50051");
  EXPECT_THAT(MessageOf(nowhere.GetModel().status()), StartsWith("cannot reach no.such.host.invalid:50051 ("));
}

TEST(ClientLifeTest, TwoServersTakeTurnsAndOneMayDie) {
  ScriptedServer stays;
  auto dies = std::make_optional<ScriptedServer>();
  Client client("ipv4:" + stays.target() + "," + dies->target());
  // Until both are connected.
  while (stays.service().calls == 0 || dies->service().calls == 0) ASSERT_TRUE(client.Embed({"x"}).ok());
  const int before = stays.service().calls, before_other = dies->service().calls;
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(client.Embed({"x"}).ok());
  EXPECT_EQ(stays.service().calls - before, 10);
  EXPECT_EQ(dies->service().calls - before_other, 10);
  dies.reset();
  for (int i = 0; i < 20; ++i) {
    const absl::Status status = client.Embed({"x"}).status();
    ASSERT_TRUE(status.ok()) << status;
  }
}

TEST(ClientLifeTest, ATargetMayHaveAScheme) {
  const ScriptedServer server;
  Client client("dns:///" + server.target());  // no name: Debian's c-ares leaks that of localhost
  EXPECT_TRUE(client.GetModel().ok());
}

TEST_F(ClientTest, MovesAndServesManyThreads) {
  Client client = std::move(client_);
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 25; ++i) {
        const absl::StatusOr<Embeddings> found = client.Embed({std::to_string(i)});
        if (found.ok() && found->values()[0] == static_cast<float>(i)) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 200);
}

TEST_F(ClientTest, BadOptionsAreTheErrorOfEveryCall) {
  Client client({.target = server_.target(), .max_attempts = 9});
  const absl::Status expected = absl::InvalidArgumentError("max_attempts: expected 1 to 5, found 9");
  EXPECT_EQ(client.status(), expected);
  EXPECT_EQ(client.Embed({"x"}).status(), expected);
  EXPECT_EQ(client.ScoreLayers({}).status(), expected);
  EXPECT_EQ(client.selections().List().status(), expected);
  EXPECT_EQ(client.Health().status(), expected);
  EXPECT_EQ(client.EmbedStream([] { return std::nullopt; }, [](const Embeddings&) { return absl::OkStatus(); }),
            expected);
}

TEST_F(ClientTest, TheLargestAnswerAndTheUserAgent) {
  Client client({.target = server_.target(), .max_answer_bytes = 200, .user_agent = "indexer/2.1"});
  EXPECT_TRUE(client.Embed({"x"}).ok());
  EXPECT_THAT(server_.service().metadata("user-agent"), StartsWith("indexer/2.1 midlayer-cpp/"));
  EXPECT_TRUE(absl::IsResourceExhausted(client.Embed(Numbers(100)).status()));
}

TEST_F(ClientTest, ConnectionsAreSharedUnlessAClientWantsItsOwn) {
  const auto peers = std::make_shared<std::vector<std::string>>();
  server_.service().set_script([peers](int, grpc::ServerContext* context) {
    peers->push_back(context->peer());
    return grpc::Status::OK;
  });
  Client sharing(server_.target()), other({.target = server_.target(), .is_shared = false});
  for (Client* client : {&client_, &sharing, &other}) ASSERT_TRUE(client->Embed({"x"}).ok());
  EXPECT_EQ(peers->at(0), peers->at(1));
  EXPECT_NE(peers->at(0), peers->at(2));
}

TEST_F(ClientTest, ModelAndHealth) {
  const absl::StatusOr<v1::GetModelResponse> model = client_.GetModel();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->name(), "fake");
  EXPECT_EQ(*client_.Health(), ServingStatus::kServing);
  EXPECT_TRUE(absl::IsNotFound(client_.Health("no.such.Service").status()));
}

TEST_F(ClientTest, LimitsOfAServerThatWasReplacedAreAskedForAgain) {
  ASSERT_TRUE(client_.Embed(Numbers(20)).ok());
  server_.service().max_texts = 10;
  server_.service().set_script([&](int, grpc::ServerContext*) {
    const bool is_many = server_.service().request().texts_size() > 10;
    return is_many ? grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "texts: too many") : grpc::Status::OK;
  });
  EXPECT_FALSE(client_.Embed(Numbers(20)).ok());
  EXPECT_TRUE(client_.Embed(Numbers(20)).ok());
}

}  // namespace
}  // namespace midlayer
