// TLS, mutual TLS and tokens, with certificates made here.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "midlayer/channel.h"
#include "midlayer/client.h"
#include "tests/client/cpp/certificates.h"
#include "tests/client/cpp/scripted_server.h"

namespace midlayer {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kToken[] = "a-secret-0123456789";

const Identity& Root() {
  static const Identity root("root");
  return root;
}

// Those of a server with a certificate for `host`.
std::shared_ptr<grpc::ServerCredentials> ServerCredentials(bool is_mutual, const char* host = "IP:127.0.0.1") {
  const Identity server("server", &Root(), host);
  grpc::SslServerCredentialsOptions options(is_mutual ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                                      : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  options.pem_root_certs = Root().certificate();
  options.pem_key_cert_pairs.push_back({server.key(), server.certificate()});
  return grpc::SslServerCredentials(options);
}

// One call over TLS.
absl::Status Call(const ScriptedServer& server, const Tls& tls) {
  Client client({.target = server.target(), .tls = tls, .max_attempts = 1});
  return client.GetModel().status();
}

// A file that is gone at the end of the test.
class File {
 public:
  File(const std::string& name, const std::string& content)
      : path_(std::filesystem::path(testing::TempDir()) / ("midlayer-" + std::to_string(getpid()) + "-" + name)) {
    std::ofstream(path_) << content;
  }
  ~File() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }

 private:
  const std::filesystem::path path_;
};

TEST(TlsTest, ARootOfOnesOwnAsTextAndAsFile) {
  const ScriptedServer server(0, ServerCredentials(false));
  const File file("ca.pem", Root().certificate());
  EXPECT_EQ(Call(server, {.ca = {.text = Root().certificate()}}), absl::OkStatus());
  EXPECT_EQ(Call(server, {.ca = {.file = file.path()}}), absl::OkStatus());
}

TEST(TlsTest, AWrongRootIsToldApartFromAServerThatIsNotThere) {
  const ScriptedServer server(0, ServerCredentials(false));
  const Identity other("other");
  for (const Tls& tls : {Tls{.ca = {.text = other.certificate()}}, Tls{}}) {
    const absl::Status status = Call(server, tls);
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("check that it is there and uses TLS, and that its certificate is valid"));
  }
}

TEST(TlsTest, TheNameInTheCertificate) {
  const ScriptedServer server(0, ServerCredentials(false, "DNS:midlayer.test"));
  const TextOrFile ca{.text = Root().certificate()};
  EXPECT_TRUE(absl::IsUnavailable(Call(server, {.ca = ca})));
  EXPECT_EQ(Call(server, {.ca = ca, .server_name = "midlayer.test"}), absl::OkStatus());
}

TEST(TlsTest, MutualTls) {
  const ScriptedServer server(0, ServerCredentials(true));
  const Identity client("client", &Root()), root("other"), stranger("client", &root);
  const TextOrFile ca{.text = Root().certificate()};
  const File key("client.key", client.key());
  EXPECT_EQ(Call(server, {.ca = ca, .certificate = {.text = client.certificate()}, .key = {.file = key.path()}}),
            absl::OkStatus());
  EXPECT_TRUE(absl::IsUnavailable(Call(server, {.ca = ca})));
  EXPECT_TRUE(absl::IsUnavailable(
      Call(server, {.ca = ca, .certificate = {.text = stranger.certificate()}, .key = {.text = stranger.key()}})));
}

TEST(TlsTest, EncryptedAndPlainDoNotMeet) {
  const ScriptedServer encrypted(0, ServerCredentials(false)), plain;
  Client client({.target = encrypted.target(), .max_attempts = 1});
  EXPECT_TRUE(absl::IsUnavailable(client.GetModel().status()));
  EXPECT_TRUE(absl::IsUnavailable(Call(plain, {.ca = {.text = Root().certificate()}})));
}

TEST(TlsTest, WhatIsNoCertificateIsNamedAndNotShown) {
  const Identity one("one", &Root()), other("other", &Root());
  const File empty("empty.pem", ""), text("text.pem", "secret text");
  const std::string pair =
      "tls.certificate, tls.key: expected a certificate and its key, in PEM and without a password, found ";
  const std::pair<Tls, std::string> cases[] = {
      {{.ca = {.file = text.path()}}, "tls.ca: expected certificates in PEM, found " + text.path()},
      {{.ca = {.text = "secret text"}}, "tls.ca: expected certificates in PEM, found another text"},
      {{.ca = {.file = empty.path()}}, "tls.ca: " + empty.path() + ": expected PEM, found nothing"},
      {{.ca = {.text = "a", .file = "b"}}, "tls.ca: expected a text or a file, found both"},
      {{.key = {.text = one.key()}}, "tls.certificate, tls.key: expected both or none, found one"},
      {{.certificate = {.text = one.certificate()}, .key = {.text = other.key()}},
       pair + "another text and another text"},
      {{.certificate = {.text = one.certificate()}, .key = {.file = text.path()}},
       pair + "another text and " + text.path()},
  };
  for (const auto& [tls, message] : cases) {
    EXPECT_EQ(MakeChannel({.tls = tls}).status(), absl::InvalidArgumentError(message));
  }
  EXPECT_EQ(MakeChannel({.tls = Tls{.ca = {.file = "/no/such.pem"}}}).status(),
            absl::NotFoundError("tls.ca: /no/such.pem: file not found or not readable"));
}

TEST(TokenTest, GoesWithEveryCallPlainAndEncrypted) {
  ScriptedServer plain;
  const File file("token", std::string(" ") + kToken + "\nmore\n");
  for (const TextOrFile& token : {TextOrFile{.text = kToken}, TextOrFile{.file = file.path()}}) {
    Client client({.target = plain.target(), .token = token});
    ASSERT_TRUE(client.Embed({"x"}).ok());
    EXPECT_EQ(plain.service().metadata("authorization"), std::string("Bearer ") + kToken);
  }
  ScriptedServer encrypted(0, ServerCredentials(false));
  Client client(
      {.target = encrypted.target(), .tls = Tls{.ca = {.text = Root().certificate()}}, .token = {.text = kToken}});
  int taken = 0;
  const auto next_text = [&] { return taken++ == 0 ? std::optional<std::string>("x") : std::nullopt; };
  ASSERT_TRUE(client.EmbedStream(next_text, [](const Embeddings&) { return absl::OkStatus(); }).ok());
  EXPECT_EQ(encrypted.service().metadata("authorization"), std::string("Bearer ") + kToken);
}

TEST(TokenTest, ABadOneIsRefusedAndNotShown) {
  const File empty("token", " \n");
  EXPECT_EQ(MakeChannel({.token = {.file = empty.path()}}).status(),
            absl::InvalidArgumentError("token: " + empty.path() + ": expected a token, found nothing"));
  EXPECT_EQ(MakeChannel({.token = {.text = "a secret"}}).status(),
            absl::InvalidArgumentError("token: expected printable ASCII without blanks, found something else"));
  ScriptedServer server;
  server.service().set_script(AlwaysFail(grpc::StatusCode::UNAUTHENTICATED, "expected a token of this server"));
  Client client({.target = server.target(), .token = {.text = kToken}});
  const absl::Status status = client.Embed({"x"}).status();
  EXPECT_EQ(status, absl::UnauthenticatedError("expected a token of this server"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr(kToken)));
}

}  // namespace
}  // namespace midlayer
