#include "client/cli/channel.h"

#include <grpcpp/support/client_interceptor.h>

#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/read_file.h"
#include "server/base/status.h"

namespace midlayer::cli {
namespace {

constexpr int kReconnectMilliseconds = 100;

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
  explicit TokenInterceptorFactory(std::string token) : authorization_("Bearer " + std::move(token)) {}
  grpc::experimental::Interceptor* CreateClientInterceptor(grpc::experimental::ClientRpcInfo*) override {
    return new TokenInterceptor(authorization_);
  }

 private:
  const std::string authorization_;
};

// The error names the flag too.
absl::StatusOr<std::string> ReadFileOf(const char* flag, const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return Annotate(text.status(), flag);
  return text;
}

absl::StatusOr<std::string> ReadPem(const char* flag, const std::string& path) {
  if (path.empty()) return std::string();
  MIDLAYER_ASSIGN_OR_RETURN(std::string text, ReadFileOf(flag, path));
  if (text.find("-----BEGIN ") != std::string::npos) return text;
  return absl::InvalidArgumentError(absl::StrCat(flag, ": ", path, ": expected PEM, found something else"));
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  MIDLAYER_ASSIGN_OR_RETURN(const std::string text, ReadFileOf("--bearer-token-file", path));
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("--bearer-token-file: ", path, ": expected a token, found nothing"));
  }
  return text.substr(begin, text.find_first_of(kSpace, begin) - begin);
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeCredentials(const ConnectionOptions& options) {
  const bool encrypted =
      options.tls || !options.tls_ca.empty() || !options.tls_certificate.empty() || !options.tls_key.empty();
  if (!encrypted) return grpc::InsecureChannelCredentials();
  if (options.tls_certificate.empty() != options.tls_key.empty()) {
    return absl::InvalidArgumentError("--tls-client-cert, --tls-client-key: expected both or none, found one");
  }
  grpc::SslCredentialsOptions tls;
  MIDLAYER_ASSIGN_OR_RETURN(tls.pem_root_certs, ReadPem("--tls-ca", options.tls_ca));
  MIDLAYER_ASSIGN_OR_RETURN(tls.pem_cert_chain, ReadPem("--tls-client-cert", options.tls_certificate));
  MIDLAYER_ASSIGN_OR_RETURN(tls.pem_private_key, ReadPem("--tls-client-key", options.tls_key));
  return grpc::SslCredentials(tls);
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const ConnectionOptions& options) {
  MIDLAYER_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ChannelCredentials> credentials, MakeCredentials(options));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  if (!options.is_shared) arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // $http_proxy is for the way out; a server on this machine is not reached through it.
  for (const std::string_view local : {"127.", "localhost", "[::1]", "unix:"}) {
    if (options.target.starts_with(local)) arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  }
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMilliseconds);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kReconnectMilliseconds);
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> interceptors;
  if (!options.token_file.empty()) {
    MIDLAYER_ASSIGN_OR_RETURN(std::string token, ReadToken(options.token_file));
    interceptors.push_back(std::make_unique<TokenInterceptorFactory>(std::move(token)));
  }
  return grpc::experimental::CreateCustomChannelWithInterceptors(options.target, credentials, arguments,
                                                                 std::move(interceptors));
}

}  // namespace midlayer::cli
