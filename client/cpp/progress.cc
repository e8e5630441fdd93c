#include "client/cpp/progress.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace midlayer::cli {
namespace {

constexpr int kBarWidth = 20;
constexpr std::chrono::milliseconds kRedrawAfter(100);

// "0:06", "12:34", "2:00:00".
std::string FormatDuration(double seconds) {
  const auto whole = static_cast<int64_t>(std::ceil(seconds));
  if (whole < 3600) return absl::StrFormat("%d:%02d", whole / 60, whole % 60);
  return absl::StrFormat("%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60);
}

}  // namespace

std::string FormatProgress(const ProgressState& state) {
  std::string line;
  const double done = state.total > 0 ? std::clamp(state.position / state.total, 0.0, 1.0) : 0;
  if (state.total > 0) {
    const int filled = static_cast<int>(done * kBarWidth);
    line = absl::StrFormat("[%s%s] %3d%%  ", std::string(filled, '#'), std::string(kBarWidth - filled, '-'),
                           static_cast<int>(done * 100));
  }
  absl::StrAppend(&line, state.texts, " texts");
  if (state.seconds <= 0) return line;
  absl::StrAppendFormat(&line, "  %.*f/s", state.texts < 10 * state.seconds ? 1 : 0,
                        static_cast<double>(state.texts) / state.seconds);
  if (done > 0) absl::StrAppend(&line, "  ", FormatDuration(state.seconds / done * (1 - done)), " left");
  return line;
}

Progress::Progress(std::ostream* out, bool enabled) : out_(out), enabled_(enabled) {}

void Progress::Update(ProgressState state) {
  const Clock::time_point now = Clock::now();
  if (!enabled_ || (is_drawn_ && now - drawn_at_ < kRedrawAfter)) return;
  state.seconds = std::chrono::duration<double>(now - start_).count();
  *out_ << "\r\x1b[K" << FormatProgress(state) << std::flush;
  drawn_at_ = now;
  is_drawn_ = true;
}

void Progress::Clear() {
  if (is_drawn_) *out_ << "\r\x1b[K" << std::flush;
  is_drawn_ = false;
}

}  // namespace midlayer::cli
