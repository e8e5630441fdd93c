#include "client/cpp/window.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/cpp/answers.h"
#include "server/base/status.h"

namespace midlayer::internal {
namespace {

constexpr size_t kMaxMessages = 16;
constexpr size_t kMaxBytes = size_t{16} << 20;  // of texts

// The number in "texts[NUMBER]rest", and the rest; nothing where `message` does not begin so.
std::optional<std::pair<size_t, absl::string_view>> TextOf(absl::string_view message) {
  if (!absl::ConsumePrefix(&message, "texts[")) return std::nullopt;
  const size_t end = message.find(']');
  size_t number = 0;
  if (end == absl::string_view::npos || !absl::SimpleAtoi(message.substr(0, end), &number)) return std::nullopt;
  return std::pair(number, message.substr(end + 1));
}

// An error with the places of the input in place of those of the message.
StreamError Refused(size_t first, size_t count, absl::StatusCode code, const std::string& message) {
  StreamError error{.first = first, .count = count};
  std::string moved = message;
  if (const auto text = TextOf(message); text.has_value()) {
    error.text = first + text->first;
    moved = absl::StrCat("texts[", *error.text, "]", text->second);
  }
  if (count > 1) absl::StrAppend(&moved, " (texts ", first, " to ", first + count - 1, " got no vectors)");
  error.status = absl::Status(code, moved);
  return error;
}

// A code that this library does not know, or none, is UNKNOWN.
absl::StatusCode CodeOf(int number) {
  const bool is_known = number > 0 && number <= static_cast<int>(absl::StatusCode::kUnauthenticated);
  return is_known ? static_cast<absl::StatusCode>(number) : absl::StatusCode::kUnknown;
}

}  // namespace

bool Window::is_full() const { return sent_.size() >= kMaxMessages || bytes_ >= kMaxBytes; }

const v1::EmbedStreamRequest* Window::Push(Chunk chunk) {
  Sent& sent = sent_.emplace_back();
  sent.first = chunk.first;
  sent.count = chunk.texts.size();
  sent.bytes = chunk.bytes;
  sent.fault = std::move(chunk.fault);
  bytes_ += sent.bytes;
  if (!sent.fault.empty()) return nullptr;
  v1::EmbedRequest& request = *sent.message.emplace().mutable_request();
  request = request_;
  for (std::string& text : chunk.texts) request.add_texts(std::move(text));
  return &*sent.message;
}

std::vector<const v1::EmbedStreamRequest*> Window::Unanswered() const {
  std::vector<const v1::EmbedStreamRequest*> messages;
  for (const Sent& sent : sent_) {
    if (sent.message.has_value()) messages.push_back(&*sent.message);
  }
  return messages;
}

absl::StatusOr<std::variant<Embeddings, StreamError>> Window::Take(const v1::EmbedStreamResponse* answer) {
  const Sent sent = std::move(sent_.front());
  sent_.pop_front();
  bytes_ -= sent.bytes;
  if (answer == nullptr) {
    return Refused(sent.first, sent.count, absl::StatusCode::kInvalidArgument, absl::StrCat("texts[0]: ", sent.fault));
  }
  if (answer->has_response()) {
    MIDLAYER_ASSIGN_OR_RETURN(Embeddings result, ToEmbeddings(answer->response(), sent.count, sent.first));
    return result;
  }
  return Refused(sent.first, sent.count, CodeOf(answer->error().code()), answer->error().message());
}

Patience::Patience(absl::Duration timeout, int max_attempts, bool is_per_answer, Clock::time_point now)
    : timeout_(timeout), max_attempts_(max_attempts), is_per_answer_(is_per_answer), deadline_(After(now, timeout)) {}

void Patience::Asked(Clock::time_point now) {
  if (is_per_answer_ && attempts_ == 1) deadline_ = After(now, timeout_);
}

void Patience::Answered() {
  has_answer_ = true;
  attempts_ = 1;
}

absl::StatusOr<absl::Duration> Patience::Pause(const absl::Status& error, Clock::time_point now) {
  const bool is_over = attempts_ >= max_attempts_ && !has_answer_;
  if (!absl::IsUnavailable(error) || max_attempts_ == 1 || is_over) return error;
  absl::Duration pause = kFirstRetry;
  for (int attempt = 1; attempt < attempts_ && pause < kLongestRetry; ++attempt) pause *= 2;
  pause = std::min(pause, kLongestRetry);
  if (now + absl::ToChronoNanoseconds(pause) > deadline_) return error;
  ++attempts_;
  return pause;
}

}  // namespace midlayer::internal
