// The services of the wire format that this version does not answer yet: UNIMPLEMENTED, with a message that says so.
#ifndef MIDLAYER_SERVER_SERVICE_UNIMPLEMENTED_SERVICES_H_
#define MIDLAYER_SERVER_SERVICE_UNIMPLEMENTED_SERVICES_H_

#include <grpcpp/grpcpp.h>

#include "midlayer/v1/scoring.grpc.pb.h"
#include "midlayer/v1/selection.grpc.pb.h"
#include "server/base/version.h"

namespace midlayer {

inline grpc::Status NotInThisVersion(const std::string& method) {
  return {grpc::StatusCode::UNIMPLEMENTED,
          method + ": not in midlayer " + kVersion + "; Embed takes a layer by its number"};
}

class ScoringServiceImpl final : public v1::ScoringService::CallbackService {
 public:
  grpc::ServerBidiReactor<v1::ScoreLayersRequest, v1::ScoreLayersResponse>* ScoreLayers(
      grpc::CallbackServerContext*) override {
    class Refusal final : public grpc::ServerBidiReactor<v1::ScoreLayersRequest, v1::ScoreLayersResponse> {
     public:
      Refusal() { Finish(NotInThisVersion("ScoreLayers")); }
      void OnDone() override { delete this; }
    };
    return new Refusal;
  }
};

class SelectionServiceImpl final : public v1::SelectionService::CallbackService {
 public:
  grpc::ServerUnaryReactor* ListSelections(grpc::CallbackServerContext* call, const v1::ListSelectionsRequest*,
                                           v1::ListSelectionsResponse*) override {
    return Refuse(call, "ListSelections");
  }
  grpc::ServerUnaryReactor* GetSelection(grpc::CallbackServerContext* call, const v1::GetSelectionRequest*,
                                         v1::GetSelectionResponse*) override {
    return Refuse(call, "GetSelection");
  }
  grpc::ServerUnaryReactor* PromoteSelection(grpc::CallbackServerContext* call, const v1::PromoteSelectionRequest*,
                                             v1::PromoteSelectionResponse*) override {
    return Refuse(call, "PromoteSelection");
  }
  grpc::ServerUnaryReactor* DeleteSelection(grpc::CallbackServerContext* call, const v1::DeleteSelectionRequest*,
                                            v1::DeleteSelectionResponse*) override {
    return Refuse(call, "DeleteSelection");
  }

 private:
  static grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext* call, const std::string& method) {
    grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
    reactor->Finish(NotInThisVersion(method));
    return reactor;
  }
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SERVICE_UNIMPLEMENTED_SERVICES_H_
