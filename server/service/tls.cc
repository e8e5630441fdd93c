#include "server/service/tls.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace midlayer {

namespace {

using File = std::unique_ptr<std::FILE, decltype(&std::fclose)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

absl::StatusOr<File> Open(const char* flag, const std::string& path) {
  File file(std::fopen(path.c_str(), "r"), &std::fclose);
  if (file == nullptr) return absl::NotFoundError(absl::StrCat(flag, ": ", path, ": file not found or not readable"));
  return file;
}

absl::StatusOr<Certificate> ReadCertificate(const char* flag, const std::string& path) {
  MIDLAYER_ASSIGN_OR_RETURN(const File file, Open(flag, path));
  Certificate certificate(PEM_read_X509(file.get(), nullptr, nullptr, nullptr), &X509_free);
  if (certificate == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(flag, ": ", path, ": expected a certificate in PEM, found none"));
  }
  return certificate;
}

absl::StatusOr<Key> ReadKey(const char* flag, const std::string& path) {
  MIDLAYER_ASSIGN_OR_RETURN(const File file, Open(flag, path));
  // No password: it would be asked for at the terminal.
  Key key(PEM_read_PrivateKey(file.get(), nullptr, [](char*, int, int, void*) { return -1; }, nullptr), &EVP_PKEY_free);
  if (key == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, ": ", path, ": expected a private key in PEM, without a password, found none"));
  }
  return key;
}

absl::Status Check(const TlsOptions& options) {
  if (options.certificate.empty() || options.key.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(options.certificate.empty() ? "--tls-cert" : "--tls-key",
                                                   ": expected a PEM file beside the other TLS flags, found none"));
  }
  MIDLAYER_ASSIGN_OR_RETURN(const Certificate certificate, ReadCertificate("--tls-cert", options.certificate));
  MIDLAYER_ASSIGN_OR_RETURN(const Key key, ReadKey("--tls-key", options.key));
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return absl::InvalidArgumentError(absl::StrCat("--tls-key: expected the key of the certificate in ",
                                                   options.certificate, ", found another in ", options.key));
  }
  if (options.client_ca.empty()) return absl::OkStatus();
  return ReadCertificate("--tls-client-ca", options.client_ca).status();
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(const TlsOptions& options) {
  if (options.certificate.empty() && options.key.empty() && options.client_ca.empty()) {
    return grpc::InsecureServerCredentials();
  }
  MIDLAYER_RETURN_IF_ERROR(Check(options));
  const auto seconds = static_cast<unsigned>(absl::ToInt64Seconds(options.reload));
  const auto provider = options.client_ca.empty()
                            ? std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
                                  options.key, options.certificate, seconds)
                            : std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
                                  options.key, options.certificate, options.client_ca, seconds);
  grpc::experimental::TlsServerCredentialsOptions tls(provider);
  tls.watch_identity_key_cert_pairs();
  if (!options.client_ca.empty()) {
    tls.watch_root_certs();
    tls.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(tls);
}

}  // namespace midlayer
