// SHA-256 of bytes that come in pieces.
#ifndef MIDLAYER_SERVER_BASE_DIGEST_H_
#define MIDLAYER_SERVER_BASE_DIGEST_H_

#include <openssl/evp.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace midlayer {

// Usage: Update() any number of times, then Finish() once. After Finish() and after being moved from, the object may
// only be destroyed or assigned to. Not thread-safe.
//
// Lengths are not part of the digest: who hashes several fields adds separators.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) = default;
  Sha256& operator=(Sha256&&) = default;

  void Update(std::span<const std::byte> data);
  void Update(std::string_view data);

  // 64 lower-case hexadecimal digits.
  std::string Finish();

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_BASE_DIGEST_H_
