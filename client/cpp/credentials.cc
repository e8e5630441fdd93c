#include "client/cpp/credentials.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "server/base/read_file.h"
#include "server/base/status.h"

namespace midlayer::internal {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

absl::StatusOr<std::string> Read(const char* field, const TextOrFile& source) {
  if (source.file.empty()) return source.text;
  if (!source.text.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": expected a text or a file, found both"));
  }
  absl::StatusOr<std::string> text = ReadFile(source.file);
  if (!text.ok()) return Annotate(text.status(), field);
  return text;
}

// What an error calls it: its file. Nothing of a text is shown.
std::string NameOf(const TextOrFile& source) { return source.file.empty() ? "another text" : source.file; }

Bio Open(const std::string& pem) { return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free); }

Certificate ParseCertificate(const std::string& pem) {
  const Bio bio = Open(pem);
  return Certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), &X509_free);
}

// No password: it would be asked for at the terminal.
Key ParseKey(const std::string& pem) {
  const Bio bio = Open(pem);
  const auto no_password = [](char*, int, int, void*) { return -1; };
  return Key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr), &EVP_PKEY_free);
}

bool IsPair(const std::string& certificate_pem, const std::string& key_pem) {
  const Certificate certificate = ParseCertificate(certificate_pem);
  const Key key = ParseKey(key_pem);
  const bool is_pair =
      certificate != nullptr && key != nullptr && X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  return is_pair;
}

// gRPC would take any texts, and fail with every connection.
absl::Status Check(const Tls& tls, const grpc::SslCredentialsOptions& pems) {
  if (!pems.pem_root_certs.empty() && ParseCertificate(pems.pem_root_certs) == nullptr) {
    ERR_clear_error();
    return absl::InvalidArgumentError(absl::StrCat("tls.ca: expected certificates in PEM, found ", NameOf(tls.ca)));
  }
  if (pems.pem_cert_chain.empty() != pems.pem_private_key.empty()) {
    return absl::InvalidArgumentError("tls.certificate, tls.key: expected both or none, found one");
  }
  if (pems.pem_cert_chain.empty() || IsPair(pems.pem_cert_chain, pems.pem_private_key)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "tls.certificate, tls.key: expected a certificate and its key, in PEM and without a password, found ",
      NameOf(tls.certificate), " and ", NameOf(tls.key)));
}

// A file that is empty is as good as one that is not PEM; only a field that is not set means none.
absl::StatusOr<std::string> ReadPem(const char* field, const TextOrFile& source) {
  MIDLAYER_ASSIGN_OR_RETURN(std::string pem, Read(field, source));
  if (!source.file.empty() && pem.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": ", source.file, ": expected PEM, found nothing"));
  }
  return pem;
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeCredentials(const std::optional<Tls>& tls) {
  if (!tls.has_value()) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions pems;
  MIDLAYER_ASSIGN_OR_RETURN(pems.pem_root_certs, ReadPem("tls.ca", tls->ca));
  MIDLAYER_ASSIGN_OR_RETURN(pems.pem_cert_chain, ReadPem("tls.certificate", tls->certificate));
  MIDLAYER_ASSIGN_OR_RETURN(pems.pem_private_key, ReadPem("tls.key", tls->key));
  MIDLAYER_RETURN_IF_ERROR(Check(*tls, pems));
  return grpc::SslCredentials(pems);
}

absl::StatusOr<std::string> ReadToken(const TextOrFile& source) {
  MIDLAYER_ASSIGN_OR_RETURN(std::string token, Read("token", source));
  if (!source.file.empty()) {
    constexpr std::string_view kSpace = " \t\r\n";
    const size_t begin = std::min(token.find_first_not_of(kSpace), token.size());
    token = token.substr(begin, token.find_first_of(kSpace, begin) - begin);
    if (token.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("token: ", source.file, ": expected a token, found nothing"));
    }
  }
  // gRPC would show it in its own error.
  if (!std::all_of(token.begin(), token.end(), [](char c) { return c >= '!' && c <= '~'; })) {
    return absl::InvalidArgumentError("token: expected printable ASCII without blanks, found something else");
  }
  return token;
}

}  // namespace midlayer::internal
