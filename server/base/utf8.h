// UTF-8 validation, for whatever comes from outside.
#ifndef MIDLAYER_SERVER_BASE_UTF8_H_
#define MIDLAYER_SERVER_BASE_UTF8_H_

#include <cstddef>
#include <string_view>

namespace midlayer {

// Whether `text` is UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF, nothing cut
// off. NUL is a character like any other. If not, *bad_offset (may be null) is where the first bad sequence starts.
bool IsUtf8(std::string_view text, size_t* bad_offset);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_BASE_UTF8_H_
