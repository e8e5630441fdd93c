// A line on a terminal that says how far the work is.
#ifndef MIDLAYER_CLIENT_CLI_PROGRESS_H_
#define MIDLAYER_CLIENT_CLI_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <ostream>
#include <string>

#include "midlayer/v1/scoring.pb.h"

namespace midlayer::cli {

// How far the work is.
struct ProgressState {
  int64_t texts = 0;    // texts answered
  double position = 0;  // how much of the input that is, in the unit of `total`
  double total = 0;     // the whole input, 0 where unknown
  double seconds = 0;   // since the start
};

// For example "[########------------]  40%  1200 texts  310/s  0:06 left"; without bar, percent and time left where the
// total is unknown.
std::string FormatProgress(const ProgressState& state);

// For example "[########------------]  40%  forward: 1,200 of 3,000 texts  0:06 left".
std::string FormatProgress(const v1::ScoreProgress& progress);

// Draws such a line over and over in the same place. Not thread-safe.
class Progress {
 public:
  // Nothing is drawn where `enabled` is false. `out` must outlive the object.
  Progress(std::ostream* out, bool enabled);
  ~Progress() { Clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Draws, ten times a second at most. `state.seconds` is filled in here.
  void Update(ProgressState state);
  void Update(const v1::ScoreProgress& progress);

  // Removes the line, so that something else can be printed in its place.
  void Clear();

 private:
  using Clock = std::chrono::steady_clock;

  bool IsDue() const;
  void Draw(const std::string& line);

  std::ostream* out_;
  const bool enabled_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point drawn_at_;
  bool is_drawn_ = false;
};

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_PROGRESS_H_
