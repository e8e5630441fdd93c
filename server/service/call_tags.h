// How one call is told from the others: by its caller, and in the log.
#ifndef MIDLAYER_SERVER_SERVICE_CALL_TAGS_H_
#define MIDLAYER_SERVER_SERVICE_CALL_TAGS_H_

#include <grpcpp/grpcpp.h>

#include <string>
#include <string_view>

namespace midlayer {

struct CallTags {
  std::string request_id;
  std::string traceparent;  // of W3C Trace Context; empty where none came, or one that is not well formed
  std::string peer;         // the caller's address; empty where nothing is logged for each call
};

// The request id is the caller's x-request-id, where it is one (IsRequestId), else a new one; either way the call is
// answered with it, in the trailing metadata x-request-id. Before Finish().
CallTags TagCall(grpc::CallbackServerContext* call);

// The value of a name that the caller sent once; empty where it came not at all or more often. Valid as long as `call`.
std::string_view OnlyMetadata(const grpc::CallbackServerContext& call, const char* name);

// 1 to 128 letters, digits and -._:/+=@: what can stand in any log.
bool IsRequestId(std::string_view text);
// VERSION-TRACE-PARENT-FLAGS in lower-case hex, version 00 (https://www.w3.org/TR/trace-context/#traceparent-header).
bool IsTraceparent(std::string_view text);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SERVICE_CALL_TAGS_H_
