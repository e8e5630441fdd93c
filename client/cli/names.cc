#include "client/cli/names.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace midlayer::cli {

std::string PoolingName(v1::Pooling pooling) {
  for (const auto& [name, value] : kPoolings) {
    if (value == pooling) return name;
  }
  return absl::StrCat("pooling ", static_cast<int>(pooling));
}

std::string LayersName(const v1::OutputInfo& output) { return absl::StrJoin(output.layers(), "+"); }

std::string OutputName(const v1::OutputInfo& output) {
  return absl::StrCat("layer ", LayersName(output), " ", PoolingName(output.pooling()),
                      output.state() == v1::STATE_NORMED ? " normed" : "");
}

}  // namespace midlayer::cli
