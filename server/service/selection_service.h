// midlayer.v1.SelectionService over the store.
#ifndef MIDLAYER_SERVER_SERVICE_SELECTION_SERVICE_H_
#define MIDLAYER_SERVER_SERVICE_SELECTION_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <string_view>

#include "midlayer/v1/selection.grpc.pb.h"
#include "server/engine/worker_pool.h"
#include "server/service/embedding_service.h"

namespace midlayer {

// The store may block for a second or two: calls are answered on a thread of their own, in order. Thread-safe.
class SelectionServiceImpl final : public v1::SelectionService::CallbackService {
 public:
  explicit SelectionServiceImpl(const ServiceContext& context) : context_(context), pool_(1) {}

  grpc::ServerUnaryReactor* ListSelections(grpc::CallbackServerContext* call, const v1::ListSelectionsRequest* request,
                                           v1::ListSelectionsResponse* response) override;
  grpc::ServerUnaryReactor* GetSelection(grpc::CallbackServerContext* call, const v1::GetSelectionRequest* request,
                                         v1::GetSelectionResponse* response) override;
  grpc::ServerUnaryReactor* PromoteSelection(grpc::CallbackServerContext* call,
                                             const v1::PromoteSelectionRequest* request,
                                             v1::PromoteSelectionResponse* response) override;
  grpc::ServerUnaryReactor* DeleteSelection(grpc::CallbackServerContext* call,
                                            const v1::DeleteSelectionRequest* request,
                                            v1::DeleteSelectionResponse* response) override;

 private:
  // caller: as Callers calls it.
  using Work = std::function<absl::Status(const std::string& caller)>;
  grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* call, std::string_view method, Callers::Right right,
                                   Work work);

  const ServiceContext context_;
  WorkerPool pool_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SERVICE_SELECTION_SERVICE_H_
