// midlayer.v1.EmbeddingService over the engine, with gRPC's callback API: no thread is blocked while a request waits.
#ifndef MIDLAYER_SERVER_SERVICE_EMBEDDING_SERVICE_H_
#define MIDLAYER_SERVER_SERVICE_EMBEDDING_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include "midlayer/v1/embedding.grpc.pb.h"
#include "server/engine/dataset.h"
#include "server/engine/engine.h"
#include "server/engine/model_info.h"
#include "server/engine/scorer.h"
#include "server/service/call_tags.h"
#include "server/service/callers.h"
#include "server/service/convert.h"
#include "server/service/selections.h"
#include "server/telemetry/telemetry.h"

namespace midlayer {

// What scoring runs may take.
struct ScoreLimits {
  DatasetBuilder::Limits dataset;
  int runs = 2;           // at once; more are refused
  std::string directory;  // of data sets that may be named; empty: none
};

// What the calls share. All must outlive the gRPC server.
struct ServiceContext {
  Engine* engine = nullptr;
  Selections* selections = nullptr;
  Scorer* scorer = nullptr;
  const Callers* callers = nullptr;
  const ModelInfo* model = nullptr;
  Telemetry* telemetry = nullptr;
  RequestLimits limits;
  ScoreLimits score_limits;
};

// Embed and EmbedStream take raw bytes: so a string that is not UTF-8 gets an answer that names it (see
// ParseEmbedRequest), where gRPC itself would only say INTERNAL. Thread-safe.
class EmbeddingServiceImpl final
    : public v1::EmbeddingService::WithRawCallbackMethod_Embed<v1::EmbeddingService::WithRawCallbackMethod_EmbedStream<
          v1::EmbeddingService::WithCallbackMethod_GetModel<v1::EmbeddingService::Service>>> {
 public:
  explicit EmbeddingServiceImpl(const ServiceContext& context) : context_(context) {}

  grpc::ServerUnaryReactor* Embed(grpc::CallbackServerContext* call, const grpc::ByteBuffer* request,
                                  grpc::ByteBuffer* response) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* EmbedStream(grpc::CallbackServerContext* call) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* call, const v1::GetModelRequest* request,
                                     v1::GetModelResponse* response) override;

 private:
  const ServiceContext context_;
};

// Shared by the reactors.

// The call's deadline, InfiniteFuture for none.
absl::Time DeadlineOf(const grpc::CallbackServerContext& call);
// Why a call that gRPC reports as cancelled was ended: by its deadline, or by the client.
absl::Status CancelReason(const grpc::CallbackServerContext& call);
// An ended call, or message of a stream.
struct EndedCall {
  std::string_view method;
  absl::Status status;
  absl::Time start;
  int texts = 0;                    // that came
  std::vector<OutputSpec> outputs;  // that were asked for
};
// Counts it, its refusal, and its outputs where it was answered; logs it at debug, without anything that the caller
// wrote.
void RecordEnd(const ServiceContext& context, const CallTags& tags, const EndedCall& call);

// A stream that ends with `status` before anything is read. Counted as `method`.
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* NewRefusal(const ServiceContext& context,
                                                                        grpc::CallbackServerContext* call,
                                                                        std::string_view method,
                                                                        const absl::Status& status);

grpc::ServerUnaryReactor* NewEmbedReactor(const ServiceContext& context, grpc::CallbackServerContext* call,
                                          const grpc::ByteBuffer& request, grpc::ByteBuffer* response);
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* NewEmbedStreamReactor(const ServiceContext& context,
                                                                                   grpc::CallbackServerContext* call);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SERVICE_EMBEDDING_SERVICE_H_
