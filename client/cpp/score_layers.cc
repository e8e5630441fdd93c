#include "client/cpp/score_layers.h"

#include <optional>
#include <utility>

#include "client/cpp/duplex.h"
#include "client/cpp/requests.h"
#include "server/base/status.h"

namespace midlayer::internal {
namespace {

using Run = Duplex<v1::ScoreLayersRequest, v1::ScoreLayersResponse>;

constexpr size_t kExamplesAhead = 64;  // that wait to be sent

// Each wait for room is a wait for the server.
absl::Status SendAll(Run& run, const ScoreOptions& options, const std::vector<Example>& examples,
                     absl::Duration timeout) {
  v1::ScoreLayersRequest message;
  *message.mutable_options() = ToWire(options);
  MIDLAYER_RETURN_IF_ERROR(run.Send(message, kExamplesAhead, After(Clock::now(), timeout)));
  for (size_t place = 0; place < examples.size() && !run.is_over(); ++place) {
    MIDLAYER_ASSIGN_OR_RETURN(*message.mutable_example(), ToWire(examples[place], place));
    MIDLAYER_RETURN_IF_ERROR(run.Send(message, kExamplesAhead, After(Clock::now(), timeout)));
  }
  run.Finish();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::ScoreReport> RunScoring(Connection& connection, const std::vector<Example>& examples,
                                           const ScoreOptions& options,
                                           const std::function<void(const v1::ScoreProgress&)>& on_progress,
                                           const CallOptions& call) {
  MIDLAYER_RETURN_IF_ERROR(connection.status());
  MIDLAYER_ASSIGN_OR_RETURN(const absl::Duration timeout, TimeoutOf(connection.settings(), call));
  Run run(connection.settings(), call, timeout, [&](grpc::ClientContext* context, auto* reactor) {
    connection.scoring().async()->ScoreLayers(context, reactor);
  });
  MIDLAYER_RETURN_IF_ERROR(SendAll(run, options, examples, timeout));
  std::optional<v1::ScoreReport> report;
  while (true) {
    MIDLAYER_ASSIGN_OR_RETURN(std::optional<v1::ScoreLayersResponse> answer, run.Receive(After(Clock::now(), timeout)));
    if (!answer.has_value()) break;
    if (answer->has_progress() && on_progress) on_progress(answer->progress());
    if (answer->has_report()) report = std::move(*answer->mutable_report());
  }
  if (!report.has_value()) return absl::InternalError("the server sent no report");
  return *std::move(report);
}

}  // namespace midlayer::internal

namespace midlayer {

const v1::MetricCurve* FindCurve(const v1::ScoreReport& report, const std::string& metric, Pooling pooling) {
  for (const v1::MetricCurve& curve : report.curves()) {
    const bool fits = pooling == Pooling::kDefault || curve.pooling() == static_cast<v1::Pooling>(pooling);
    if (fits && curve.metric() == metric) return &curve;
  }
  return nullptr;
}

}  // namespace midlayer
