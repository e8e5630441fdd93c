// What a client is made with, and what every call takes.
#ifndef MIDLAYER_CLIENT_OPTIONS_H_
#define MIDLAYER_CLIENT_OPTIONS_H_

#include <optional>
#include <stop_token>
#include <string>

#include "absl/time/time.h"

namespace midlayer {

// A text, or the file that holds it, which is read once. Both empty: none.
struct TextOrFile {
  std::string text = {};
  std::string file = {};
};

// How a connection is encrypted. All of it is PEM.
struct Tls {
  // Roots to trust. None: the system's.
  TextOrFile ca = {};
  // A certificate to show to a server that asks for one (mutual TLS), those between it and its root behind it.
  TextOrFile certificate = {};
  // Its private key, without a password.
  TextOrFile key = {};
  // The name in the server's certificate, where it is not the host of the target.
  std::string server_name = {};
};

// What a Client or a channel is made with.
struct ClientOptions {
  // HOST:PORT. A name of several addresses (dns:///NAME:PORT) spreads calls over all of them in turn; also
  // ipv4:ADDRESS:PORT,ADDRESS:PORT and unix:PATH.
  std::string target = "127.0.0.1:50051";
  // Default: no encryption. Tls{} encrypts, and trusts the system's roots.
  std::optional<Tls> tls = {};
  // Sent with every call as a bearer token; of a file its first word. Without TLS it crosses the network for everybody
  // to read.
  TextOrFile token = {};
  // The longest that a call may take, unless it says otherwise. absl::InfiniteDuration(): no limit.
  absl::Duration timeout = absl::Seconds(60);
  // How often a call that only reads is tried while the server is unavailable, 1 to 5: with 5 over 1.5 s.
  int max_attempts = 5;
  // Between pings that find out whether a silent connection still is one, 30 s or more; an answer may take 20 s. So a
  // server that hangs is found before a call of the default timeout ends. absl::InfiniteDuration(): none.
  absl::Duration keepalive = absl::Seconds(30);
  // The largest answer in bytes; a larger one is RESOURCE_EXHAUSTED. 0: no limit.
  int max_answer_bytes = 0;
  // Sent before this library's own name, as gRPC's user agent: "indexer/2.1".
  std::string user_agent = {};
  // Whether clients of the same target and options share their connections; else this one has its own.
  bool is_shared = true;
};

// What every call takes.
struct CallOptions {
  // See the call. Default: ClientOptions::timeout.
  std::optional<absl::Duration> timeout = {};
  // Ends the call with CANCELLED, from any thread.
  std::stop_token stop = {};
};

}  // namespace midlayer

#endif  // MIDLAYER_CLIENT_OPTIONS_H_
