#include "client/cli/arrivals.h"

#include <cmath>

namespace midlayer::cli {

double Arrivals::Next() {
  const double gap = spacing_ == Spacing::kConstant ? 1 : -std::log1p(-random_.Uniform());
  last_seconds_ += gap / rate_;
  return last_seconds_;
}

}  // namespace midlayer::cli
