#include "server/base/digest.h"

#include <array>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/escaping.h"

namespace midlayer {
namespace {

// OpenSSL's SHA-256 fails only without memory or where a policy forbids it: then there is nothing to go on with.
void CheckOk(int result, const char* what) {
  if (result == 1) return;
  std::fprintf(stderr, "midlayer: OpenSSL: %s failed\n", what);
  std::abort();
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  CheckOk(context_ != nullptr, "EVP_MD_CTX_new");
  CheckOk(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr), "EVP_DigestInit_ex");
}

void Sha256::Update(std::span<const std::byte> data) {
  CheckOk(EVP_DigestUpdate(context_.get(), data.data(), data.size()), "EVP_DigestUpdate");
}

void Sha256::Update(std::string_view data) { Update(std::as_bytes(std::span(data))); }

std::string Sha256::Finish() {
  std::array<char, 32> digest;
  CheckOk(EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr),
          "EVP_DigestFinal_ex");
  context_.reset();
  return absl::BytesToHexString(absl::string_view(digest.data(), digest.size()));
}

}  // namespace midlayer
