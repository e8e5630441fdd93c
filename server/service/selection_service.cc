#include "server/service/selection_service.h"

#include <optional>
#include <utility>

#include "absl/time/clock.h"
#include "server/base/status.h"
#include "server/service/scoring_convert.h"

namespace midlayer {

// gRPC keeps request and response until Finish().
grpc::ServerUnaryReactor* SelectionServiceImpl::Answer(grpc::CallbackServerContext* call, std::string_view method,
                                                       Callers::Right right, Work work) {
  grpc::ServerUnaryReactor* reactor = call->DefaultReactor();
  const absl::Time start = absl::Now();
  pool_.Schedule([this, call, reactor, method, start, right, work = std::move(work)] {
    const absl::StatusOr<std::string> caller = context_.callers->Authorize(*call, right);
    const absl::Status status = caller.ok() ? work(*caller) : caller.status();
    RecordEnd(context_, TagCall(call), {.method = method, .status = status, .start = start});
    reactor->Finish(ToGrpc(status));
  });
  return reactor;
}

grpc::ServerUnaryReactor* SelectionServiceImpl::ListSelections(grpc::CallbackServerContext* call,
                                                               const v1::ListSelectionsRequest*,
                                                               v1::ListSelectionsResponse* response) {
  return Answer(call, "ListSelections", Callers::Right::kUse, [this, response](const std::string&) -> absl::Status {
    MIDLAYER_ASSIGN_OR_RETURN(const std::string promoted, context_.selections->store().Promoted());
    MIDLAYER_ASSIGN_OR_RETURN(const std::vector<SelectionRecord> records, context_.selections->store().List());
    for (const SelectionRecord& record : records) {
      *response->add_selections() = FromRecord(record, record.id == promoted);
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* SelectionServiceImpl::GetSelection(grpc::CallbackServerContext* call,
                                                             const v1::GetSelectionRequest* request,
                                                             v1::GetSelectionResponse* response) {
  return Answer(call, "GetSelection", Callers::Right::kUse,
                [this, request, response](const std::string&) -> absl::Status {
                  SelectionStore& store = context_.selections->store();
                  MIDLAYER_ASSIGN_OR_RETURN(const SelectionRecord record, store.Get(request->id()));
                  MIDLAYER_ASSIGN_OR_RETURN(const std::string promoted, store.Promoted());
                  MIDLAYER_ASSIGN_OR_RETURN(const std::string report, store.Report(request->id()));
                  *response->mutable_selection() = FromRecord(record, record.id == promoted);
                  if (!response->mutable_report()->ParseFromString(report)) {
                    return absl::DataLossError("report: expected a ScoreReport in the store, found other bytes");
                  }
                  *response->mutable_report()->mutable_selection() = response->selection();
                  return absl::OkStatus();
                });
}

grpc::ServerUnaryReactor* SelectionServiceImpl::PromoteSelection(grpc::CallbackServerContext* call,
                                                                 const v1::PromoteSelectionRequest* request,
                                                                 v1::PromoteSelectionResponse* response) {
  return Answer(
      call, "PromoteSelection", Callers::Right::kChangeSelections,
      [this, request, response](const std::string& caller) -> absl::Status {
        std::optional<std::string> expected;
        if (request->has_expected_current_id()) expected = request->expected_current_id();
        MIDLAYER_ASSIGN_OR_RETURN(const std::string previous,
                                  context_.selections->Promote(request->id(), expected, request->force(), caller));
        response->set_previous_id(previous);
        if (request->id().empty()) return absl::OkStatus();
        MIDLAYER_ASSIGN_OR_RETURN(const SelectionRecord record, context_.selections->store().Get(request->id()));
        *response->mutable_selection() = FromRecord(record, true);
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* SelectionServiceImpl::DeleteSelection(grpc::CallbackServerContext* call,
                                                                const v1::DeleteSelectionRequest* request,
                                                                v1::DeleteSelectionResponse*) {
  return Answer(call, "DeleteSelection", Callers::Right::kChangeSelections, [this, request](const std::string& caller) {
    return context_.selections->Delete(request->id(), caller);
  });
}

}  // namespace midlayer
