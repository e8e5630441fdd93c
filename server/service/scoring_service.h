// midlayer.v1.ScoringService: examples in, progress and a report out.
#ifndef MIDLAYER_SERVER_SERVICE_SCORING_SERVICE_H_
#define MIDLAYER_SERVER_SERVICE_SCORING_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <atomic>

#include "midlayer/v1/scoring.grpc.pb.h"
#include "server/engine/worker_pool.h"
#include "server/service/embedding_service.h"

namespace midlayer {

// Runs are worked on by threads of its own, one each. Takes raw bytes, so that a string that is not UTF-8 gets an
// answer that names the example, where gRPC itself would only say INTERNAL. Thread-safe.
class ScoringServiceImpl final
    : public v1::ScoringService::WithRawCallbackMethod_ScoreLayers<v1::ScoringService::Service> {
 public:
  explicit ScoringServiceImpl(const ServiceContext& context) : context_(context), pool_(context.score_limits.runs) {}

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ScoreLayers(grpc::CallbackServerContext* call) override;

 private:
  const ServiceContext context_;
  std::atomic<int> runs_ = 0;  // calls under way
  WorkerPool pool_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SERVICE_SCORING_SERVICE_H_
