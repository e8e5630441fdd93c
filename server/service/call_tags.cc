#include "server/service/call_tags.h"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <random>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "server/base/log.h"
#include "server/base/random.h"

namespace midlayer {

namespace {

constexpr char kRequestId[] = "x-request-id";
constexpr size_t kMaxRequestId = 128;

// Different for each call of this process, and by chance of all others.
std::string NewRequestId() {
  static const uint64_t process = (uint64_t{std::random_device()()} << 32) | std::random_device()();
  static std::atomic<uint64_t> calls = 0;
  return absl::StrCat(absl::Hex(Random::SubSeed(process, calls++), absl::kZeroPad16));
}

bool IsLowerHex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool IsZero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }

}  // namespace

std::string_view OnlyMetadata(const grpc::CallbackServerContext& call, const char* name) {
  const auto [begin, end] = call.client_metadata().equal_range(name);
  if (begin == end || std::next(begin) != end) return {};
  return {begin->second.data(), begin->second.size()};
}

bool IsRequestId(std::string_view text) {
  constexpr std::string_view kMarks = "-._:/+=@";
  return !text.empty() && text.size() <= kMaxRequestId && std::ranges::all_of(text, [kMarks](unsigned char c) {
    return absl::ascii_isalnum(c) || kMarks.find(static_cast<char>(c)) != std::string_view::npos;
  });
}

bool IsTraceparent(std::string_view text) {
  // 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
  if (text.size() != 55 || !text.starts_with("00-") || text[35] != '-' || text[52] != '-') return false;
  const std::string_view trace = text.substr(3, 32), parent = text.substr(36, 16), flags = text.substr(53);
  return IsLowerHex(trace) && IsLowerHex(parent) && IsLowerHex(flags) && !IsZero(trace) && !IsZero(parent);
}

CallTags TagCall(grpc::CallbackServerContext* call) {
  CallTags tags;
  const std::string_view sent = OnlyMetadata(*call, kRequestId);
  tags.request_id = IsRequestId(sent) ? std::string(sent) : NewRequestId();
  call->AddTrailingMetadata(kRequestId, tags.request_id);
  if (!LogsDebug()) return tags;
  const std::string_view traceparent = OnlyMetadata(*call, "traceparent");
  if (IsTraceparent(traceparent)) tags.traceparent = traceparent;
  tags.peer = call->peer();
  return tags;
}

}  // namespace midlayer
