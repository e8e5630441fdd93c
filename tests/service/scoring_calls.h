// For tests of scoring: calls of ScoreLayers and of SelectionService, and small data sets.
#ifndef MIDLAYER_TESTS_SERVICE_SCORING_CALLS_H_
#define MIDLAYER_TESTS_SERVICE_SCORING_CALLS_H_

#include <google/protobuf/text_format.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "midlayer/v1/scoring.grpc.pb.h"
#include "midlayer/v1/selection.grpc.pb.h"
#include "tests/service/calls.h"

namespace midlayer {

inline v1::ScoreOptions Options(const std::string& text_format = "") {
  v1::ScoreOptions options;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text_format, &options)) << text_format;
  return options;
}

inline v1::Example ExampleOf(const std::string& text_format) {
  v1::Example example;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text_format, &example)) << text_format;
  return example;
}

// Texts of 5 to 14 words of the golden vocabulary, the same on every call; `more`: further fields of each, by its
// number.
inline std::vector<v1::Example> Texts(int count, const std::function<std::string(int)>& more = nullptr) {
  static constexpr const char* kWords[] = {"the",  "layer", "model", "small",  "server", "vector",
                                           "text", "token", "last",  "middle", "reads",  "weights"};
  std::vector<v1::Example> examples;
  uint32_t state = 1;
  for (int i = 0; i < count; ++i) {
    std::string text;
    for (int word = 0; word < 5 + i % 10; ++word) {
      state = state * 1664525 + 1013904223;
      absl::StrAppend(&text, word == 0 ? "" : " ", kWords[(state >> 16) % 12]);
    }
    examples.push_back(ExampleOf(absl::StrCat("text: '", text, " ", i, "' ", more == nullptr ? "" : more(i))));
  }
  return examples;
}

struct ScoreOutcome {
  grpc::Status status;
  std::vector<v1::ScoreProgress> progress;
  v1::ScoreReport report;
};

inline v1::ScoreLayersRequest Part(const v1::ScoreOptions& options) {
  v1::ScoreLayersRequest request;
  *request.mutable_options() = options;
  return request;
}
inline v1::ScoreLayersRequest Part(const v1::Example& example) {
  v1::ScoreLayersRequest request;
  *request.mutable_example() = example;
  return request;
}

// A call of ScoreLayers under way.
struct ScoreCall {
  explicit ScoreCall(const LiveServer& live, absl::Duration timeout = absl::Seconds(100))
      : context(NewContext(timeout)),
        stub(v1::ScoringService::NewStub(live.channel())),
        rpc(stub->ScoreLayers(context.get())) {}

  void Send(const v1::ScoreOptions& options, const std::vector<v1::Example>& examples) const {
    bool open = rpc->Write(Part(options));
    for (const v1::Example& example : examples) open = open && rpc->Write(Part(example));
    rpc->WritesDone();
  }
  ScoreOutcome Finish() const {
    ScoreOutcome outcome;
    for (v1::ScoreLayersResponse response; rpc->Read(&response);) {
      if (response.has_progress()) outcome.progress.push_back(response.progress());
      if (response.has_report()) outcome.report = response.report();
    }
    outcome.status = rpc->Finish();
    return outcome;
  }

  const std::unique_ptr<grpc::ClientContext> context;
  const std::unique_ptr<v1::ScoringService::Stub> stub;
  const std::unique_ptr<grpc::ClientReaderWriter<v1::ScoreLayersRequest, v1::ScoreLayersResponse>> rpc;
};

inline ScoreOutcome Score(const LiveServer& live, const v1::ScoreOptions& options,
                          const std::vector<v1::Example>& examples) {
  const ScoreCall call(live);
  call.Send(options, examples);
  return call.Finish();
}

inline grpc::Status Promote(const LiveServer& live, const std::string& id, v1::PromoteSelectionResponse* response,
                            const std::string& more = "") {
  v1::PromoteSelectionRequest request;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(more, &request)) << more;
  request.set_id(id);
  return v1::SelectionService::NewStub(live.channel())->PromoteSelection(NewContext().get(), request, response);
}

inline const v1::MetricCurve* CurveOf(const v1::ScoreReport& report, const std::string& metric,
                                      v1::Pooling pooling = v1::POOLING_UNSPECIFIED) {
  for (const v1::MetricCurve& curve : report.curves()) {
    if (curve.metric() == metric && (pooling == v1::POOLING_UNSPECIFIED || curve.pooling() == pooling)) return &curve;
  }
  return nullptr;
}

}  // namespace midlayer

#endif  // MIDLAYER_TESTS_SERVICE_SCORING_CALLS_H_
