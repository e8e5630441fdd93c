// Scoring and selections for tests of the client: fakes that answer what they are told, and remember what they were
// asked.
#ifndef MIDLAYER_TESTS_CLIENT_CLI_FAKE_SCORING_H_
#define MIDLAYER_TESTS_CLIENT_CLI_FAKE_SCORING_H_

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "midlayer/v1/scoring.grpc.pb.h"
#include "midlayer/v1/selection.grpc.pb.h"

namespace midlayer::cli {

// Answers every data set with the same report, after two messages of progress. What a text means: "bad":
// INVALID_ARGUMENT at once; "slow": no answer until the call is cancelled; "nothing": OK without a report.
class FakeScoring : public v1::ScoringService::Service {
 public:
  struct Call {
    v1::ScoreOptions options;
    std::vector<v1::Example> examples;
    bool is_cancelled = false;
  };

  grpc::Status ScoreLayers(grpc::ServerContext* context,
                           grpc::ServerReaderWriter<v1::ScoreLayersResponse, v1::ScoreLayersRequest>* stream) override {
    Call call;
    const grpc::Status status = Answer(context, stream, &call);
    const std::lock_guard lock(mutex_);
    call_ = std::move(call);
    ++calls_;
    return status;
  }

  void set_report(v1::ScoreReport report) {
    const std::lock_guard lock(mutex_);
    report_ = std::move(report);
  }
  // What the last call was asked, once it has ended.
  Call call() const {
    const std::lock_guard lock(mutex_);
    return call_;
  }
  int calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }

 private:
  grpc::Status Answer(grpc::ServerContext* context,
                      grpc::ServerReaderWriter<v1::ScoreLayersResponse, v1::ScoreLayersRequest>* stream, Call* call) {
    v1::ScoreLayersRequest request;
    while (stream->Read(&request)) {
      if (request.has_options()) call->options = request.options();
      if (!request.has_example()) continue;
      if (request.example().text() == "bad") {
        return {grpc::StatusCode::INVALID_ARGUMENT, "examples[1].text: expected good, found bad"};
      }
      call->examples.push_back(request.example());
    }
    while (!call->examples.empty() && call->examples[0].text() == "slow" && !context->IsCancelled()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    call->is_cancelled = context->IsCancelled();
    v1::ScoreLayersResponse response;
    response.mutable_progress()->set_stage("forward");
    response.mutable_progress()->set_total(call->examples.size());
    for (const int part : {1, 2}) {
      response.mutable_progress()->set_done(call->examples.size() * part / 2);
      stream->Write(response);
    }
    if (!call->examples.empty() && call->examples[0].text() == "nothing") return grpc::Status::OK;
    const std::lock_guard lock(mutex_);
    *response.mutable_report() = report_;
    stream->Write(response);
    return grpc::Status::OK;
  }

  mutable std::mutex mutex_;
  v1::ScoreReport report_;  // guarded by mutex_, like all below
  Call call_;
  int calls_ = 0;
};

// A store of selections, as the wire describes it. Used by one client at a time.
class FakeSelections : public v1::SelectionService::Service {
 public:
  grpc::Status ListSelections(grpc::ServerContext*, const v1::ListSelectionsRequest*,
                              v1::ListSelectionsResponse* response) override {
    for (const v1::Selection& selection : selections) *response->add_selections() = selection;
    return grpc::Status::OK;
  }

  grpc::Status GetSelection(grpc::ServerContext*, const v1::GetSelectionRequest* request,
                            v1::GetSelectionResponse* response) override {
    for (const v1::Selection& selection : selections) {
      if (selection.id() != request->id()) continue;
      *response->mutable_selection() = selection;
      *response->mutable_report() = report;
      return grpc::Status::OK;
    }
    return {grpc::StatusCode::NOT_FOUND, "id: no such selection: " + request->id()};
  }

  grpc::Status PromoteSelection(grpc::ServerContext*, const v1::PromoteSelectionRequest* request,
                                v1::PromoteSelectionResponse* response) override {
    promotion = *request;
    for (v1::Selection& selection : selections) {
      if (selection.promoted()) response->set_previous_id(selection.id());
      selection.set_promoted(selection.id() == request->id());
      if (selection.promoted()) *response->mutable_selection() = selection;
    }
    return grpc::Status::OK;
  }

  grpc::Status DeleteSelection(grpc::ServerContext*, const v1::DeleteSelectionRequest* request,
                               v1::DeleteSelectionResponse*) override {
    const size_t before = selections.size();
    std::erase_if(selections, [&](const v1::Selection& selection) { return selection.id() == request->id(); });
    if (selections.size() < before) return grpc::Status::OK;
    return {grpc::StatusCode::NOT_FOUND, "id: no such selection: " + request->id()};
  }

  std::vector<v1::Selection> selections;
  v1::ScoreReport report;
  v1::PromoteSelectionRequest promotion;  // the last one
};

}  // namespace midlayer::cli

#endif  // MIDLAYER_TESTS_CLIENT_CLI_FAKE_SCORING_H_
