// Helpers for absl::Status: early return, and messages that grow the name of the field on the way up.
#ifndef MIDLAYER_SERVER_BASE_STATUS_H_
#define MIDLAYER_SERVER_BASE_STATUS_H_

#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace midlayer {

// `status` with its message changed to "prefix: message"; code and payloads stay. An OK status comes back as it is.
absl::Status Annotate(const absl::Status& status, std::string_view prefix);

// Debian builds Abseil with a string_view of its own, which does not convert from the standard one.
inline absl::string_view ToAbsl(std::string_view text) { return absl::string_view(text.data(), text.size()); }

}  // namespace midlayer

// Returns from the function if `expr` (an absl::Status) is not OK.
#define MIDLAYER_RETURN_IF_ERROR(expr)                                                        \
  do {                                                                                        \
    if (absl::Status midlayer_status = (expr); !midlayer_status.ok()) return midlayer_status; \
  } while (false)

// Returns from the function if `expr` (an absl::StatusOr) is not OK, otherwise moves its value into `lhs`, which may be
// a declaration. Commas in `lhs` need parentheses or a name for the type.
#define MIDLAYER_ASSIGN_OR_RETURN(lhs, expr) \
  MIDLAYER_ASSIGN_OR_RETURN_IMPL(MIDLAYER_STATUS_CONCAT(midlayer_status_or_, __LINE__), lhs, expr)

#define MIDLAYER_ASSIGN_OR_RETURN_IMPL(status_or, lhs, expr) \
  auto status_or = (expr);                                   \
  if (!status_or.ok()) return std::move(status_or).status(); \
  lhs = *std::move(status_or)

#define MIDLAYER_STATUS_CONCAT(a, b) MIDLAYER_STATUS_CONCAT_IMPL(a, b)
#define MIDLAYER_STATUS_CONCAT_IMPL(a, b) a##b

#endif  // MIDLAYER_SERVER_BASE_STATUS_H_
