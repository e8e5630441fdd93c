#include "server/nn/rope.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>

namespace midlayer {
namespace {

constexpr double kTwoPi = 2 * std::numbers::pi;

// Llama 3.1: long waves are stretched by the factor, short ones stay, those between are blended.
double Llama3(const RopeSpec& spec, double frequency) {
  const double turns = spec.original_positions * frequency / kTwoPi;  // in a text of the training's length
  const double blend = (turns - spec.low_frequency_factor) / (spec.high_frequency_factor - spec.low_frequency_factor);
  const double kept = std::clamp(blend, 0.0, 1.0);
  return (1 - kept) * frequency / spec.factor + kept * frequency;
}

// YaRN: the same with a ramp over the pairs instead of the frequencies.
class YarnRamp {
 public:
  explicit YarnRamp(const RopeSpec& spec) : spec_(spec) {
    low_ = PairWithTurns(spec.beta_fast);
    high_ = PairWithTurns(spec.beta_slow);
    if (spec.truncate) {
      low_ = std::floor(low_);
      high_ = std::ceil(high_);
    }
    low_ = std::max(low_, 0.0);
    high_ = std::min(high_, spec.dims - 1.0);
    if (low_ == high_) high_ += 0.001;
  }
  double operator()(int pair, double frequency) const {
    const double stretched = std::clamp((pair - low_) / (high_ - low_), 0.0, 1.0);
    return stretched * frequency / spec_.factor + (1 - stretched) * frequency;
  }

 private:
  // The pair that makes so many turns in a text of the training's length.
  double PairWithTurns(double turns) const {
    return spec_.dims * std::log(spec_.original_positions / (turns * kTwoPi)) / (2 * std::log(spec_.theta));
  }

  const RopeSpec& spec_;
  double low_ = 0, high_ = 0;
};

// What becomes of a pair's frequency. Refers to `spec`.
std::function<double(int pair, double frequency)> Scaling(const RopeSpec& spec) {
  switch (spec.scaling) {
    case RopeScaling::kLinear:
      return [&spec](int, double frequency) { return frequency / spec.factor; };
    case RopeScaling::kLlama3:
      return [&spec](int, double frequency) { return Llama3(spec, frequency); };
    case RopeScaling::kYarn:
      return YarnRamp(spec);
    case RopeScaling::kNone:
    case RopeScaling::kDynamic:  // changes the base
      break;
  }
  return [](int, double frequency) { return frequency; };
}

// The base for a text longer than those of the training.
double DynamicTheta(const RopeSpec& spec, int64_t tokens) {
  const double length = std::max<double>(static_cast<double>(tokens), spec.original_positions);
  const double stretch = spec.factor * length / spec.original_positions - (spec.factor - 1);
  return spec.theta * std::pow(stretch, spec.dims / (spec.dims - 2.0));
}

// (T, R): position * frequency, in float32 as transformers computes it.
std::vector<float> Angles(const RopeSpec& spec, int64_t tokens) {
  std::vector<float> angles;
  const std::vector<double> frequencies = RopeFrequencies(spec, tokens);
  angles.reserve(static_cast<size_t>(tokens) * frequencies.size());
  for (int64_t position = 0; position < tokens; ++position) {
    for (const double frequency : frequencies) {
      angles.push_back(static_cast<float>(position) * static_cast<float>(frequency));
    }
  }
  return angles;
}

}  // namespace

std::vector<double> RopeFrequencies(const RopeSpec& spec, int64_t tokens) {
  const double theta = spec.scaling == RopeScaling::kDynamic ? DynamicTheta(spec, tokens) : spec.theta;
  const std::function<double(int, double)> scaled = Scaling(spec);
  std::vector<double> frequencies;
  for (int pair = 0; pair < spec.dims / 2; ++pair) {
    frequencies.push_back(scaled(pair, std::pow(theta, -2.0 * pair / spec.dims)));
  }
  return frequencies;
}

RopeTable RowsOf(const RopeTable& table, const at::Tensor& positions_P) {
  return {.cos_PR = table.cos_PR.index_select(0, positions_P), .sin_PR = table.sin_PR.index_select(0, positions_P)};
}

RopeTable MakeRopeTable(const RopeSpec& spec, absl::Span<const int64_t> offsets, at::Device device) {
  const int64_t pairs = spec.dims / 2;
  std::vector<float> angles;
  std::vector<float> longest;  // of any row so far: rows share a beginning, but for kDynamic
  for (size_t row = 0; row + 1 < offsets.size(); ++row) {
    const int64_t tokens = offsets[row + 1] - offsets[row];
    const auto count = static_cast<size_t>(tokens * pairs);
    if (longest.size() < count || spec.scaling == RopeScaling::kDynamic) longest = Angles(spec, tokens);
    angles.insert(angles.end(), longest.begin(), longest.begin() + static_cast<std::ptrdiff_t>(count));
  }
  const at::Tensor angles_PR = at::from_blob(angles.data(), {offsets.back() - offsets.front(), pairs}, at::kFloat)
                                   .to(device, at::kFloat, false, true);
  return {.cos_PR = at::cos(angles_PR) * spec.attention_factor, .sin_PR = at::sin(angles_PR) * spec.attention_factor};
}

at::Tensor ApplyRope(const RopeTable& table, bool interleaved, const at::Tensor& x_PNH) {
  const int64_t tokens = x_PNH.size(0), pairs = table.cos_PR.size(1), head_size = x_PNH.size(2);
  const at::Tensor cos = table.cos_PR.narrow(0, 0, tokens).unsqueeze(1),
                   sin = table.sin_PR.narrow(0, 0, tokens).unsqueeze(1);
  const at::Tensor turned = x_PNH.narrow(2, 0, 2 * pairs).to(at::kFloat);
  const at::Tensor a = interleaved ? turned.slice(2, 0, 2 * pairs, 2) : turned.narrow(2, 0, pairs);
  const at::Tensor b = interleaved ? turned.slice(2, 1, 2 * pairs, 2) : turned.narrow(2, pairs, pairs);
  const at::Tensor first = a * cos - b * sin, second = b * cos + a * sin;
  std::vector<at::Tensor> parts;
  if (interleaved) {
    parts.push_back(at::stack({first, second}, 3).flatten(2));
  } else {
    parts = {first, second};
  }
  for (at::Tensor& part : parts) part = part.to(x_PNH.scalar_type());
  if (2 * pairs < head_size) parts.push_back(x_PNH.narrow(2, 2 * pairs, head_size - 2 * pairs));
  return parts.size() == 1 ? parts[0] : at::cat(parts, 2);
}

}  // namespace midlayer
