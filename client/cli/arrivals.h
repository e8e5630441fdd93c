// When the requests of a load begin.
#ifndef MIDLAYER_CLIENT_CLI_ARRIVALS_H_
#define MIDLAYER_CLIENT_CLI_ARRIVALS_H_

#include <cstdint>

#include "server/base/random.h"

namespace midlayer::cli {

// An open loop: requests begin at `rate` a second, whatever becomes of those before. Not thread-safe.
class Arrivals {
 public:
  enum class Spacing {
    kPoisson,   // independent of each other, as those of many users are: the gaps are exponentially distributed
    kConstant,  // all gaps are the same
  };
  // `rate` > 0.
  Arrivals(double rate, Spacing spacing, uint64_t seed) : rate_(rate), spacing_(spacing), random_(seed) {}

  // When the next one begins, in seconds since the start of the load.
  double Next();

 private:
  const double rate_;
  const Spacing spacing_;
  Random random_;
  double last_seconds_ = 0;
};

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_ARRIVALS_H_
