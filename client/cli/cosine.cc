#include "client/cli/cosine.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_format.h"

namespace midlayer::cli {

double Cosine(std::span<const float> a, std::span<const float> b) {
  double dot = 0;
  double a_squared = 0;
  double b_squared = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    dot += double{a[i]} * b[i];
    a_squared += double{a[i]} * a[i];
    b_squared += double{b[i]} * b[i];
  }
  if (a_squared == 0 || b_squared == 0) return std::numeric_limits<double>::quiet_NaN();
  return std::clamp(dot / std::sqrt(a_squared * b_squared), -1.0, 1.0);
}

std::string FormatCosine(double cosine) {
  if (std::isnan(cosine)) return "n/a";
  const std::string text = absl::StrFormat("%.4f", cosine);
  return text == "-0.0000" ? "0.0000" : text;
}

}  // namespace midlayer::cli
