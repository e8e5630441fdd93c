#include "midlayer/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/client_interceptor.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cpp/credentials.h"
#include "client/cpp/settings.h"
#include "server/base/status.h"
#include "server/base/version.h"

namespace midlayer {
namespace {

constexpr int kKeepaliveTimeoutMs = 20'000;
constexpr int kRetryBufferBytes = 8 << 20;  // larger requests are not tried again

// Adds the token to every call. gRPC's call credentials would do the same, but over TLS only.
class TokenInterceptor final : public grpc::experimental::Interceptor {
 public:
  explicit TokenInterceptor(std::string authorization) : authorization_(std::move(authorization)) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(grpc::experimental::InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      methods->GetSendInitialMetadata()->insert({"authorization", authorization_});
    }
    methods->Proceed();
  }

 private:
  const std::string authorization_;
};

class TokenInterceptorFactory final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit TokenInterceptorFactory(const std::string& token) : authorization_("Bearer " + token) {}
  grpc::experimental::Interceptor* CreateClientInterceptor(grpc::experimental::ClientRpcInfo*) override {
    return new TokenInterceptor(authorization_);
  }

 private:
  const std::string authorization_;
};

// $http_proxy is for the way out; a server on this machine is not reached through it.
bool IsLocal(std::string_view target) {
  for (const std::string_view scheme : {"dns:///", "ipv4:", "ipv6:"}) {
    if (target.starts_with(scheme)) target.remove_prefix(scheme.size());
  }
  constexpr std::string_view kLocal[] = {"127.", "localhost", "[::1]", "unix:"};
  return std::any_of(std::begin(kLocal), std::end(kLocal), [&](auto local) { return target.starts_with(local); });
}

// How calls are spread over servers, and which are tried again. Promoting and deleting are not: where the first try did
// its work and its answer was lost, the second would say that it cannot be done.
std::string ServiceConfig(int max_attempts) {
  const std::string balancing = R"({"loadBalancingConfig": [{"round_robin": {}}])";
  if (max_attempts == 1) return balancing + "}";
  return absl::StrFormat(
      R"(%s, "methodConfig": [{
        "name": [{"service": "midlayer.v1.EmbeddingService", "method": "Embed"},
                 {"service": "midlayer.v1.EmbeddingService", "method": "GetModel"},
                 {"service": "midlayer.v1.SelectionService", "method": "ListSelections"},
                 {"service": "midlayer.v1.SelectionService", "method": "GetSelection"}],
        "waitForReady": false,
        "retryPolicy": {"maxAttempts": %d, "initialBackoff": "%gs", "maxBackoff": "%gs", "backoffMultiplier": 2,
                        "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"]}}]})",
      balancing, max_attempts, absl::ToDoubleSeconds(internal::kFirstRetry),
      absl::ToDoubleSeconds(internal::kLongestRetry));
}

int Milliseconds(absl::Duration duration) { return static_cast<int>(absl::ToInt64Milliseconds(duration)); }

void SetKeepalive(absl::Duration keepalive, grpc::ChannelArguments& arguments) {
  if (keepalive == absl::InfiniteDuration()) return;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(std::min(keepalive, absl::Hours(24))));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
}

grpc::ChannelArguments ArgumentsOf(const ClientOptions& options) {
  grpc::ChannelArguments arguments;
  const std::string_view blank = options.user_agent.empty() ? "" : " ";
  arguments.SetUserAgentPrefix(absl::StrCat(options.user_agent, ToAbsl(blank), "midlayer-cpp/", kVersion));
  arguments.SetServiceConfigJSON(ServiceConfig(options.max_attempts));
  arguments.SetMaxReceiveMessageSize(options.max_answer_bytes > 0 ? options.max_answer_bytes : -1);
  arguments.SetInt(GRPC_ARG_PER_RPC_RETRY_BUFFER_SIZE, kRetryBufferBytes);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, Milliseconds(internal::kFirstRetry));
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, Milliseconds(internal::kLongestRetry));
  SetKeepalive(options.keepalive, arguments);
  if (!options.is_shared) arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (IsLocal(options.target)) arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  if (options.tls.has_value() && !options.tls->server_name.empty()) {
    arguments.SetSslTargetNameOverride(options.tls->server_name);
  }
  return arguments;
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ClientOptions& options) {
  MIDLAYER_RETURN_IF_ERROR(internal::Check(options));
  MIDLAYER_ASSIGN_OR_RETURN(const auto credentials, internal::MakeCredentials(options.tls));
  MIDLAYER_ASSIGN_OR_RETURN(const std::string token, internal::ReadToken(options.token));
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> interceptors;
  if (!token.empty()) interceptors.push_back(std::make_unique<TokenInterceptorFactory>(token));
  return grpc::experimental::CreateCustomChannelWithInterceptors(options.target, credentials, ArgumentsOf(options),
                                                                 std::move(interceptors));
}

}  // namespace midlayer
