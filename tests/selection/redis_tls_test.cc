// The store in Redis over TLS, with certificates that the test makes.
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/selection/store.h"
#include "tests/selection/records.h"
#include "tests/selection/redis_server.h"

namespace midlayer {
namespace {

using testing::HasSubstr;
using testing::Not;

class RedisTlsTest : public testing::Test {
 protected:
  void SetUp() override {
    MIDLAYER_SKIP_WITHOUT_REDIS();
    if (std::system("openssl version >/dev/null 2>&1") != 0) GTEST_SKIP() << "openssl not found";
    for (const char* authority : {"ca", "other_ca"}) {
      Run(absl::StrCat("openssl req -x509 ", kNewKey, " -keyout ", authority, ".key -out ", authority,
                       ".crt -days 2 -subj /CN=", authority));
    }
    Certify("server", "subjectAltName=IP:127.0.0.1,DNS:redis.test");
    Certify("client", "extendedKeyUsage=clientAuth");
    redis_ =
        std::make_unique<RedisServer>(std::vector<std::string>{"--tls-cert-file", File("server.crt"), "--tls-key-file",
                                                               File("server.key"), "--tls-ca-cert-file", File("ca.crt"),
                                                               "--tls-auth-clients", "yes", "--requirepass", "hunter2"},
                                      RedisServer::Transport::kTls);
    ASSERT_TRUE(redis_->Ready());
  }

  std::string File(const std::string& name) const { return (dir_.path() / name).string(); }

  std::unique_ptr<SelectionStore> Open(const std::string& query, const std::string& scheme = "rediss") {
    StoreOptions options;
    options.connect_timeout = options.command_timeout = absl::Seconds(20);
    auto store = OpenStore(absl::StrCat(scheme, "://:hunter2@127.0.0.1:", redis_->port(), query), "scope", options);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

  std::string Query(const std::string& ca) const {
    return absl::StrCat("?ca=", File(ca), "&cert=", File("client.crt"), "&key=", File("client.key"));
  }

  TempDir dir_;
  std::unique_ptr<RedisServer> redis_;

 private:
  static constexpr char kNewKey[] = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

  void Run(const std::string& command) {
    ASSERT_EQ(std::system(absl::StrCat("cd ", dir_.path().string(), " && ", command, " 2>openssl.log").c_str()), 0)
        << command;
  }

  // NAME.crt and NAME.key, signed by ca.
  void Certify(const std::string& name, const std::string& extension) {
    dir_.Write(name + ".ext", extension);
    Run(absl::StrCat("openssl req ", kNewKey, " -keyout ", name, ".key -out ", name, ".csr -subj /CN=", name));
    Run(absl::StrCat("openssl x509 -req -in ", name, ".csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ",
                     name, ".ext -out ", name, ".crt"));
  }
};

TEST_F(RedisTlsTest, AllCallsWork) {
  const auto store = Open(Query("ca.crt")), other = Open(Query("ca.crt") + "&sni=redis.test");
  const std::string id = MakeRecord(1).id, report(100'000, 'r');
  const absl::Status put = store->Put(MakeRecord(1), report);
  ASSERT_TRUE(put.ok()) << put;
  const auto previous = other->Promote(id, "");
  ASSERT_TRUE(previous.ok()) << previous.status();
  EXPECT_EQ(*store->Promoted(), id);
  EXPECT_EQ(*other->Get(id), MakeRecord(1));
  EXPECT_EQ(*other->Report(id), report);
  EXPECT_EQ(store->List()->size(), 1u);
  EXPECT_EQ(other->Delete(id).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(store->name(), absl::StrCat("rediss://127.0.0.1:", redis_->port(), "/0"));
  store->WaitForChange(absl::Hours(1));  // subscribed
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(other->Put(MakeRecord(i), "").ok());
    store->WaitForChange(absl::Hours(1));  // told
  }
  redis_->Kill();
  store->WaitForChange(absl::Hours(1));  // lost
  EXPECT_EQ(store->Promoted().status().code(), absl::StatusCode::kUnavailable);
  redis_->Restart();
  EXPECT_TRUE(Eventually([&] { return store->Promoted().ok(); }));
  EXPECT_EQ(*store->Promoted(), id);
}

TEST_F(RedisTlsTest, WhoIsNotTrusted) {
  const std::string client = absl::StrCat("&cert=", File("client.crt"), "&key=", File("client.key"));
  const std::pair<std::string, const char*> cases[] = {
      {Query("other_ca.crt"), "certificate verify failed"},
      {"?" + client.substr(1), "certificate verify failed"},  // what the system trusts
      {Query("ca.crt") + "&sni=other.test", "certificate verify failed"},
      {"?ca=" + File("ca.crt"), ""},  // Redis wants a certificate of the client
  };
  for (const auto& [query, expected] : cases) {
    const absl::Status status = Open(query)->Promoted().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << query;
    EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat("rediss://127.0.0.1:", redis_->port(), "/0: ")));
    EXPECT_THAT(std::string(status.message()), HasSubstr(expected));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("hunter2")));
  }
  EXPECT_EQ(Open("", "redis")->Promoted().status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(RedisTlsTest, FilesThatCannotBeUsed) {
  const std::string none = File("none"), text = dir_.Write("text", "no certificate").string();
  const std::pair<std::string, std::string> cases[] = {
      {"?ca=" + none, none + ": No such file or directory"},
      {"?ca=" + text, text},
      {absl::StrCat("?cert=", none, "&key=", File("client.key")), none + ": No such file or directory"},
      {absl::StrCat("?cert=", File("client.crt"), "&key=", text), text},
      {absl::StrCat("?cert=", text, "&key=", File("client.key")), text},
      {absl::StrCat("?cert=", File("client.crt"), "&key=", File("server.key")), "private key"},
  };
  for (const auto& [query, expected] : cases) {
    const absl::Status status = OpenStore("rediss://:hunter2@host" + query, "scope").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << query;
    EXPECT_THAT(std::string(status.message()), HasSubstr(expected));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("hunter2")));
  }
}

}  // namespace
}  // namespace midlayer
