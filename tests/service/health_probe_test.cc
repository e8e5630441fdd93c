// The health probe on an engine whose model can be stopped and made to fail.
#include "server/service/health_probe.h"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/fake_model.h"
#include "tests/engine/golden_tokenizer.h"

namespace midlayer {
namespace {

class HealthProbeTest : public testing::Test {
 protected:
  HealthProbeTest() {
    std::vector<std::unique_ptr<Runner>> runners;
    runners.push_back(std::make_unique<FakeRunner>(&model_));
    // The probe's text comes again and again: kept, it would say nothing about the model.
    engine_ = std::make_unique<Engine>(Engine::Options{.cache_entries = 100}, &GoldenTokenizer(), std::move(runners),
                                       &telemetry_);
  }
  ~HealthProbeTest() override { model_.Open(); }

  void Start(absl::Duration interval, absl::Duration timeout) {
    probe_ =
        std::make_unique<HealthProbe>(engine_.get(), HealthProbe::Options{.interval = interval, .timeout = timeout},
                                      [this](const absl::Status& health) {
                                        std::lock_guard lock(mutex_);
                                        reports_.push_back(health);
                                        changed_.notify_all();
                                      });
  }

  // The n-th report, from 0.
  absl::Status Report(size_t n) {
    std::unique_lock lock(mutex_);
    const bool there = changed_.wait_for(lock, std::chrono::seconds(60), [&] { return reports_.size() > n; });
    return there ? reports_[n] : absl::UnknownError("nothing was reported");
  }

  FakeModel model_;
  Telemetry telemetry_;
  std::unique_ptr<Engine> engine_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<absl::Status> reports_;
  std::unique_ptr<HealthProbe> probe_;
};

TEST_F(HealthProbeTest, AModelThatHangsIsToldAndItsReturnToo) {
  model_.Close();
  Start(absl::Milliseconds(1), absl::Milliseconds(20));
  const absl::Status hangs = Report(0);
  EXPECT_EQ(hangs.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(hangs.message(), "a text of one word was not computed within 20ms");
  model_.Open();
  EXPECT_EQ(Report(1), absl::OkStatus());
}

TEST_F(HealthProbeTest, AModelThatFailsIsTold) {
  model_.most_rows = 0;
  Start(absl::Milliseconds(1), absl::Seconds(1));
  EXPECT_EQ(Report(0).code(), absl::StatusCode::kResourceExhausted);
  {
    std::lock_guard lock(model_.mutex);
    model_.most_rows = 10;
  }
  EXPECT_EQ(Report(1), absl::OkStatus());
}

TEST_F(HealthProbeTest, WhereTextsAreComputedNoneIsSent) {
  Start(absl::Hours(1), absl::Hours(1));
  probe_.reset();
  EXPECT_THAT(model_.RowsOfBatches(), testing::IsEmpty());
}

}  // namespace
}  // namespace midlayer
