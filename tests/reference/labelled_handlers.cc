#include "tests/reference/golden.h"

namespace midlayer::reference {

const std::map<std::string, Handler>& LabelledHandlers() {
  static const std::map<std::string, Handler> handlers = {};
  return handlers;
}

}  // namespace midlayer::reference
