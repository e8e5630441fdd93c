// The bearer tokens of a file. No gRPC.
#ifndef MIDLAYER_SERVER_SERVICE_TOKEN_TABLE_H_
#define MIDLAYER_SERVER_SERVICE_TOKEN_TABLE_H_

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace midlayer {

// Who calls, and what they may do.
struct Caller {
  std::string name;    // for logs
  bool admin = false;  // may change selections
};

// Const methods may be called from any number of threads.
class TokenTable {
 public:
  // One token a line: NAME TOKEN, or NAME TOKEN admin. Empty lines and those that begin with # count for nothing. A
  // name may have several tokens, so that they can be changed without a gap. INVALID_ARGUMENT names the line, never a
  // token: fewer or more words, a token of fewer than 16 or more than 512 characters, or of others than letters, digits
  // and
  // -._~+/= (RFC 6750), a token twice, no token at all.
  static absl::StatusOr<TokenTable> Parse(std::string_view text);

  // Null where nobody has this token. Tokens are kept and compared as SHA-256 digests: how long it takes tells nothing
  // about them.
  const Caller* Find(std::string_view token) const;

 private:
  std::map<std::string, Caller, std::less<>> callers_;  // by the digest of the token
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SERVICE_TOKEN_TABLE_H_
