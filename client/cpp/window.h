// Which messages of a stream of texts are on the way, and when to give up. No I/O, no clock.
#ifndef MIDLAYER_CLIENT_CPP_WINDOW_H_
#define MIDLAYER_CLIENT_CPP_WINDOW_H_

#include <deque>
#include <optional>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cpp/cutter.h"
#include "client/cpp/settings.h"
#include "midlayer/embedding.h"
#include "midlayer/v1/embedding.pb.h"

namespace midlayer::internal {

// The messages of one stream that have no answer yet, oldest first.
class Window {
 public:
  // `request` is what all messages have beside their texts.
  explicit Window(v1::EmbedRequest request) : request_(std::move(request)) {}

  bool is_empty() const { return sent_.empty(); }
  // Whether no more may be sent before an answer comes.
  bool is_full() const;
  // Whether the next result comes from the server.
  bool awaits_answer() const { return !sent_.empty() && sent_.front().message.has_value(); }

  // The message to send for it; null where it cannot be sent. Valid until it is taken.
  const v1::EmbedStreamRequest* Push(Chunk chunk);
  // What has to be sent again where a stream broke.
  std::vector<const v1::EmbedStreamRequest*> Unanswered() const;
  // What became of the oldest message. `answer` is the server's, null unless awaits_answer(). INTERNAL where it is not
  // whole.
  absl::StatusOr<std::variant<Embeddings, StreamError>> Take(const v1::EmbedStreamResponse* answer);

 private:
  struct Sent {
    size_t first = 0;
    size_t count = 0;
    size_t bytes = 0;
    std::string fault;
    std::optional<v1::EmbedStreamRequest> message;  // nothing where it cannot be sent
  };

  const v1::EmbedRequest request_;
  std::deque<Sent> sent_;
  size_t bytes_ = 0;
};

// How long a stream waits for an answer, and whether it is made anew where it broke.
class Patience {
 public:
  // `timeout` is that of each answer, or of all.
  Patience(absl::Duration timeout, int max_attempts, bool is_per_answer, Clock::time_point now);

  // A wait begins.
  void Asked(Clock::time_point now);
  // An answer came.
  void Answered();
  // When the wait is over.
  Clock::time_point deadline() const { return deadline_; }

  // How long to wait before a new stream is made after `error`, or `error` where that is no use.
  //
  // A server that never answered gets as many tries as any call. One that did is being restarted, or replaced by
  // another: it gets all the time that there is.
  absl::StatusOr<absl::Duration> Pause(const absl::Status& error, Clock::time_point now);

 private:
  const absl::Duration timeout_;
  const int max_attempts_;
  const bool is_per_answer_;
  bool has_answer_ = false;
  int attempts_ = 1;
  Clock::time_point deadline_;
};

}  // namespace midlayer::internal

#endif  // MIDLAYER_CLIENT_CPP_WINDOW_H_
