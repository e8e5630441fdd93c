// A curve in one line of text.
#ifndef MIDLAYER_CLIENT_CLI_SPARKLINE_H_
#define MIDLAYER_CLIENT_CLI_SPARKLINE_H_

#include <span>
#include <string>

namespace midlayer::cli {

// One of ▁▂▃▄▅▆▇█ a value, the lowest value ▁ and the highest █; a blank where a value is not finite, ▄ throughout
// where all are equal. More values than `width` are averaged in neighbouring groups, so that at most `width` (>= 1)
// columns are taken.
std::string Sparkline(std::span<const double> values, size_t width);

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_SPARKLINE_H_
