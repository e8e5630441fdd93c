// The parts of `midlayer bench`, and the command against a small server in the same process.
#include "client/cli/bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "client/cli/arrivals.h"
#include "client/cli/latency_histogram.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "server/base/random.h"
#include "tests/client/cli/fake_server.h"

namespace midlayer::cli {
namespace {

using ::testing::DoubleNear;
using ::testing::HasSubstr;

// The definition: the smallest value that at least so many do not exceed.
double ExactPercentile(std::vector<double> values, double percent) {
  std::ranges::sort(values);
  const auto wanted = static_cast<size_t>(std::ceil(percent / 100 * static_cast<double>(values.size())));
  return values[std::max<size_t>(wanted, 1) - 1];
}

TEST(LatencyHistogramTest, PercentilesAreThoseOfTheValuesUpToAThousandth) {
  Random random(7);
  LatencyHistogram histogram;
  std::vector<double> values;
  for (int i = 0; i < 20000; ++i) {
    values.push_back(std::pow(10, -5 + 6 * random.Uniform()));  // 10 microseconds to 10 seconds
    histogram.Record(values.back());
  }
  for (const double percent : {0.0, 1.0, 50.0, 90.0, 99.0, 99.9, 99.99, 100.0}) {
    const double exact = ExactPercentile(values, percent);
    EXPECT_THAT(histogram.Percentile(percent), DoubleNear(exact, exact * 1e-3 + 1e-6)) << percent;
  }
  EXPECT_EQ(histogram.count(), 20000);
  EXPECT_EQ(histogram.min(), *std::ranges::min_element(values));
  EXPECT_EQ(histogram.max(), *std::ranges::max_element(values));
}

// The rank is the percentile of the count, and not one more because 99.9 has no exact binary form.
TEST(LatencyHistogramTest, RanksAreExact) {
  LatencyHistogram histogram;
  for (int i = 1; i <= 1000; ++i) histogram.Record(1e-6 * i);
  EXPECT_THAT(histogram.Percentile(50), DoubleNear(500e-6, 1e-9));
  EXPECT_THAT(histogram.Percentile(99), DoubleNear(990e-6, 1e-9));
  EXPECT_THAT(histogram.Percentile(99.9), DoubleNear(999e-6, 1e-9));
  EXPECT_THAT(histogram.Percentile(99.99), DoubleNear(1000e-6, 1e-9));
}

TEST(LatencyHistogramTest, BucketsHoldEveryValueOnce) {
  LatencyHistogram histogram;
  for (const double seconds : {0.0, 1e-6, 2047e-6, 2048e-6, 2049e-6, 4095e-6, 4096e-6, 1.0, 1e9}) {
    histogram.Record(seconds);
    const auto buckets = histogram.Buckets();
    uint64_t sum = 0;
    for (const auto& bucket : buckets) sum += bucket.count;
    EXPECT_EQ(sum, histogram.count());
    const double up_to = std::min(seconds, std::pow(2, 36) * 1e-6);
    EXPECT_THAT(buckets.back().up_to_seconds, DoubleNear(up_to, up_to * 1e-3));
    EXPECT_EQ(histogram.CountBetween(-1, 1e9), histogram.count());
  }
  EXPECT_EQ(histogram.CountBetween(0, 2047e-6), 2);
}

TEST(LatencyHistogramTest, AddingIsRecordingBoth) {
  LatencyHistogram a, b, both;
  for (int i = 1; i <= 100; ++i) {
    (i % 3 == 0 ? a : b).Record(1e-3 * i);
    both.Record(1e-3 * i);
  }
  a.Add(b);
  a.Add(LatencyHistogram());
  EXPECT_EQ(a.count(), 100);
  EXPECT_EQ(a.Percentile(90), both.Percentile(90));
  EXPECT_EQ(a.min(), 1e-3);
  EXPECT_EQ(a.max(), 0.1);
  EXPECT_THAT(a.mean(), DoubleNear(0.0505, 1e-12));
  EXPECT_EQ(LatencyHistogram().Percentile(50), 0);
}

TEST(ArrivalsTest, ConstantOnesAreEvenlySpaced) {
  Arrivals arrivals(200, Arrivals::Spacing::kConstant, 1);
  for (int i = 1; i <= 1000; ++i) EXPECT_THAT(arrivals.Next(), DoubleNear(i / 200.0, 1e-9));
}

// The gaps of a Poisson process are exponential: mean and standard deviation are 1/rate, and 1 - 1/e of them are
// shorter than that. Bounds are four standard errors wide.
TEST(ArrivalsTest, PoissonOnesHaveExponentialGaps) {
  constexpr int kGaps = 40000;
  constexpr double kRate = 50;
  Arrivals arrivals(kRate, Arrivals::Spacing::kPoisson, 3);
  double last = 0, sum = 0, squares = 0;
  int shorter = 0;
  for (int i = 0; i < kGaps; ++i) {
    const double next = arrivals.Next(), gap = (next - last) * kRate;
    last = next;
    sum += gap;
    squares += gap * gap;
    shorter += gap < 1 ? 1 : 0;
  }
  const double error = 4 / std::sqrt(kGaps);
  EXPECT_THAT(sum / kGaps, DoubleNear(1, error));
  EXPECT_THAT(squares / kGaps, DoubleNear(2, error * std::sqrt(20)));
  EXPECT_THAT(static_cast<double>(shorter) / kGaps, DoubleNear(1 - std::exp(-1), error * 0.5));
}

class BenchTest : public testing::Test {
 protected:
  BenchTest() {
    options_.connection.target = server_.target();
    options_.warmup_seconds = 0;
    options_.duration_seconds = 60;  // the number of requests ends it
    options_.requests = 100;
    options_.layers = {1, 3, std::nullopt};
    options_.json = true;
  }

  int Run() { return RunBench(options_, {.in = &in_, .out = &out_, .err = &err_}); }
  nlohmann::json Result() const { return nlohmann::json::parse(out_.str()); }

  FakeServer server_;
  BenchOptions options_;
  std::istringstream in_;
  std::ostringstream out_, err_;
};

TEST_F(BenchTest, EveryRequestIsCountedOnceUnderItsLayer) {
  options_.texts = 3;
  EXPECT_EQ(Run(), kExitOk) << err_.str();
  const nlohmann::json result = Result();
  EXPECT_EQ(result["all"]["requests"], 100);
  EXPECT_EQ(result["texts"], 300);
  int sum = 0, buckets = 0;
  for (const char* layer : {"1", "3", "selected"}) {
    sum += result["layers"][layer]["requests"].get<int>();
    EXPECT_GT(result["layers"][layer]["requests"], 8) << layer;  // 33 on average
  }
  for (const auto& bucket : result["all"]["histogram"]) buckets += bucket[1].get<int>();
  EXPECT_EQ(sum, 100);
  EXPECT_EQ(buckets, 100);
  EXPECT_EQ(result["failures"], nlohmann::json::object());
  // One for each layer before the load, to see that it can be asked for.
  EXPECT_EQ(server_.service().messages, 103);
  EXPECT_EQ(server_.service().most_texts, 3);
}

TEST_F(BenchTest, AnOpenLoopSendsWhatItsRateSays) {
  options_.rate = 400;
  options_.spacing = Arrivals::Spacing::kConstant;
  options_.requests = 0;
  options_.duration_seconds = 0.5;
  options_.concurrency = 16;
  EXPECT_EQ(Run(), kExitOk) << err_.str();
  EXPECT_EQ(Result()["all"]["requests"], 199);  // at 2.5 ms, 5 ms, … 497.5 ms
  EXPECT_EQ(Result()["not_sent"], 0);
}

TEST_F(BenchTest, WaitingForAFreeThreadIsPartOfTheLatencyOfAnOpenLoop) {
  options_.input = "-";
  options_.layers = {1};
  options_.concurrency = 1;
  options_.rate = 1000;
  options_.requests = 0;
  options_.duration_seconds = 0.5;
  options_.connection.timeout_seconds = 0.2;
  in_.str("1\n1\n1\n1\nslow\n");  // one in five is answered by the deadline alone
  EXPECT_EQ(Run(), kExitFailed);
  const nlohmann::json result = Result();
  EXPECT_GT(result["late"], 0);
  EXPECT_GT(result["not_sent"], 0);
  EXPECT_GT(result["most_late_seconds"], 0.1);
  const nlohmann::json& failures = result["failures"]["DEADLINE_EXCEEDED"];
  EXPECT_GT(failures["count"], 0);
  EXPECT_GT(failures["latency_seconds"]["min"], 0);
  EXPECT_LE(failures["latency_seconds"]["percentiles"]["p50"], failures["latency_seconds"]["max"]);
}

TEST_F(BenchTest, AnOpenLoopEndsWhateverIsLeftOfIt) {
  options_.input = "-";
  options_.layers = {1};
  options_.concurrency = 1;
  options_.rate = 1000;
  options_.requests = 0;
  options_.warmup_seconds = 0.5;
  options_.duration_seconds = 0.1;
  options_.connection.timeout_seconds = 0.5;
  in_.str("1\n1\n1\nslow\n");  // a server that would be busy with the warm-up for a minute
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(Run(), kExitFailed);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  EXPECT_GT(Result()["not_sent"], 0);
}

TEST_F(BenchTest, FailuresAreCountedByTheirCodeAndTold) {
  options_.input = "-";
  options_.layers = {1};
  options_.json = false;
  options_.seed = 2;
  in_.str("7\n7\n7\nbad\n");
  const int code = Run();
  // Where the first of all is the bad one, the load does not begin.
  ASSERT_EQ(code, kExitFailed);
  ASSERT_EQ(err_.str(), "");
  EXPECT_THAT(out_.str(), HasSubstr(" ms: INVALID_ARGUMENT: texts[0]: expected good, found bad\n"));
}

TEST_F(BenchTest, WhatIsWrongWithTheRequestIsToldBeforeTheLoad) {
  options_.layers = {3, 99};
  EXPECT_EQ(Run(), kExitFailed);
  EXPECT_EQ(err_.str(), "midlayer: layer: expected 0 to 6, found 99\n");
  EXPECT_EQ(out_.str(), "");
  EXPECT_EQ(server_.service().messages, 2);
}

TEST_F(BenchTest, NoServer) {
  options_.connection.target = "127.0.0.1:1";
  EXPECT_EQ(Run(), kExitUnreachable);
  EXPECT_THAT(err_.str(), HasSubstr("cannot reach 127.0.0.1:1"));
}

}  // namespace
}  // namespace midlayer::cli
