// TLS of the gRPC port.
#ifndef MIDLAYER_SERVER_SERVICE_TLS_H_
#define MIDLAYER_SERVER_SERVICE_TLS_H_

#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace midlayer {

struct TlsOptions {
  std::string certificate;  // PEM file: the server's certificate, then those between it and the root; empty: no TLS
  std::string key;          // PEM file: its private key
  std::string client_ca;    // PEM file: roots of the clients' certificates, which are then required; empty: none are
  absl::Duration reload = absl::Seconds(10);  // how often the files are read again, whole seconds
};

// Credentials that follow their files: connections that are made after a renewal get the new certificate, those that
// stand keep theirs. NOT_FOUND, or INVALID_ARGUMENT that names file and fault: not PEM, a key of another certificate,
// only one of certificate and key, client_ca without them.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(const TlsOptions& options);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SERVICE_TLS_H_
