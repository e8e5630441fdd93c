#include "client/cpp/connection.h"
#include "client/cpp/requests.h"
#include "midlayer/client.h"
#include "server/base/status.h"

namespace midlayer {

absl::StatusOr<std::vector<v1::Selection>> Selections::List(const CallOptions& call) const {
  v1::ListSelectionsResponse answer;
  MIDLAYER_RETURN_IF_ERROR(connection_->Call(call, [&](grpc::ClientContext* context) {
    return connection_->selection().ListSelections(context, v1::ListSelectionsRequest(), &answer);
  }));
  return std::vector<v1::Selection>(answer.selections().begin(), answer.selections().end());
}

absl::StatusOr<v1::GetSelectionResponse> Selections::Get(const std::string& id, const CallOptions& call) const {
  v1::GetSelectionRequest request;
  request.set_id(id);
  v1::GetSelectionResponse answer;
  MIDLAYER_RETURN_IF_ERROR(connection_->Call(call, [&](grpc::ClientContext* context) {
    return connection_->selection().GetSelection(context, request, &answer);
  }));
  return answer;
}

absl::StatusOr<v1::PromoteSelectionResponse> Selections::Promote(const std::string& id, const PromoteOptions& options,
                                                                 const CallOptions& call) const {
  v1::PromoteSelectionRequest request;
  request.set_id(internal::ToWireId(id));
  request.set_force(options.force);
  if (options.expected_current.has_value()) {
    request.set_expected_current_id(internal::ToWireId(*options.expected_current));
  }
  v1::PromoteSelectionResponse answer;
  MIDLAYER_RETURN_IF_ERROR(connection_->Call(call, [&](grpc::ClientContext* context) {
    return connection_->selection().PromoteSelection(context, request, &answer);
  }));
  return answer;
}

absl::Status Selections::Delete(const std::string& id, const CallOptions& call) const {
  v1::DeleteSelectionRequest request;
  request.set_id(id);
  v1::DeleteSelectionResponse answer;
  return connection_->Call(call, [&](grpc::ClientContext* context) {
    return connection_->selection().DeleteSelection(context, request, &answer);
  });
}

}  // namespace midlayer
