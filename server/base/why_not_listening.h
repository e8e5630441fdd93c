// Words for an address that cannot be listened on, where a library only says that it cannot.
#ifndef MIDLAYER_SERVER_BASE_WHY_NOT_LISTENING_H_
#define MIDLAYER_SERVER_BASE_WHY_NOT_LISTENING_H_

#include <string>

namespace midlayer {

// What the system says, for example "Address already in use"; empty where it can be listened on now, or is no
// HOST:PORT.
std::string WhyNotListening(const std::string& address);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_BASE_WHY_NOT_LISTENING_H_
