// Reports for tests of what shows them.
#ifndef MIDLAYER_TESTS_CLIENT_CLI_SAMPLE_REPORT_H_
#define MIDLAYER_TESTS_CLIENT_CLI_SAMPLE_REPORT_H_

#include <cmath>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/json.h"
#include "gtest/gtest.h"
#include "midlayer/v1/scoring.pb.h"

namespace midlayer::cli {

inline constexpr char kSampleReport[] = MIDLAYER_SOURCE_DIR "/tests/client/cli/reports/minilm.json";

// A whole report as a server sends it: 7 layers, 15 metrics.
inline v1::ScoreReport SampleReport() {
  absl::StatusOr<v1::ScoreReport> report = ReadReport(kSampleReport, {});
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? *std::move(report) : v1::ScoreReport();
}

// A report of any size: waves, with NaN at every fifth layer of every third metric, and a metric that is NaN
// throughout.
inline v1::ScoreReport WaveReport(int layers, int metrics) {
  v1::ScoreReport report;
  report.set_model("wave");
  report.set_layers(layers - 1);
  for (int metric = 0; metric < metrics; ++metric) {
    v1::MetricCurve& curve = *report.add_curves();
    curve.set_metric(absl::StrCat("some_metric_of_waves_", metric));
    curve.set_evidence(static_cast<v1::Evidence>(1 + metric % 3));
    for (int layer = 0; layer < layers; ++layer) {
      v1::LayerScore& score = *curve.add_scores();
      const bool is_nan = metric == 1 || (metric % 3 == 2 && layer % 5 == 4);
      score.set_layer(layer);
      score.set_value(is_nan ? std::numeric_limits<double>::quiet_NaN()
                             : std::pow(10, metric % 7 - 3) * std::sin(0.2 * layer + metric));
      if (metric % 2 == 0) score.set_standard_error(std::pow(10, metric % 7 - 5));
      score.set_rank(is_nan ? 0 : layer + 1);
    }
  }
  report.mutable_selection()->set_layer(layers / 2);
  return report;
}

}  // namespace midlayer::cli

#endif  // MIDLAYER_TESTS_CLIENT_CLI_SAMPLE_REPORT_H_
