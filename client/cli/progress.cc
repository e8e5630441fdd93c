#include "client/cli/progress.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/report_words.h"
#include "server/base/text_width.h"

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

// "[########------------]  40%  ".
std::string FormatBar(double done) {
  const int filled = static_cast<int>(done * kBarWidth);
  return absl::StrFormat("[%s%s] %3d%%  ", std::string(filled, '#'), std::string(kBarWidth - filled, '-'),
                         static_cast<int>(done * 100));
}

}  // namespace

std::string FormatProgress(const ProgressState& state) {
  const double done = state.total > 0 ? std::clamp(state.position / state.total, 0.0, 1.0) : 0;
  std::string line = absl::StrCat(state.total > 0 ? FormatBar(done) : "", state.texts, " texts");
  if (state.seconds <= 0) return line;
  absl::StrAppendFormat(&line, "  %.*f/s", state.texts < 10 * state.seconds ? 1 : 0,
                        static_cast<double>(state.texts) / state.seconds);
  if (done > 0) absl::StrAppend(&line, "  ", FormatDuration(state.seconds / done * (1 - done)), " left");
  return line;
}

std::string FormatProgress(const v1::ScoreProgress& progress) {
  const double total = static_cast<double>(progress.total());
  std::string line = total > 0 ? FormatBar(std::clamp(static_cast<double>(progress.done()) / total, 0.0, 1.0)) : "";
  absl::StrAppend(&line, Printable(progress.stage()), ": ", WithCommas(progress.done()));
  if (total > 0) absl::StrAppend(&line, " of ", WithCommas(progress.total()));
  absl::StrAppend(&line, progress.stage() == "metrics" ? " layers" : " tokens");
  if (progress.remaining_seconds() > 0) {
    absl::StrAppend(&line, "  ", FormatDuration(progress.remaining_seconds()), " left");
  }
  return line;
}

Progress::Progress(std::ostream* out, bool enabled) : out_(out), enabled_(enabled) {}

bool Progress::IsDue() const { return enabled_ && (!is_drawn_ || Clock::now() - drawn_at_ >= kRedrawAfter); }

void Progress::Draw(const std::string& line) {
  *out_ << "\r\x1b[K" << line << std::flush;
  drawn_at_ = Clock::now();
  is_drawn_ = true;
}

void Progress::Update(ProgressState state) {
  if (!IsDue()) return;
  state.seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  Draw(FormatProgress(state));
}

void Progress::Update(const v1::ScoreProgress& progress) {
  if (IsDue()) Draw(FormatProgress(progress));
}

void Progress::Clear() {
  if (is_drawn_) *out_ << "\r\x1b[K" << std::flush;
  is_drawn_ = false;
}

}  // namespace midlayer::cli
