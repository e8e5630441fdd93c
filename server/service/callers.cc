#include "server/service/callers.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/base/read_file.h"
#include "server/base/status.h"
#include "server/service/call_tags.h"
#include "spdlog/spdlog.h"

namespace midlayer {

namespace {

constexpr absl::string_view kScheme = "Bearer ";

// The token of a call; empty where there is none.
std::string_view TokenOf(const grpc::CallbackServerContext& call) {
  const std::string_view value = OnlyMetadata(call, "authorization");
  if (!absl::StartsWithIgnoreCase(ToAbsl(value), kScheme)) return {};
  return value.substr(kScheme.size());
}

}  // namespace

absl::StatusOr<std::unique_ptr<Callers>> Callers::Open(const std::string& file, absl::Duration poll_interval) {
  auto callers = std::make_unique<Callers>();
  callers->file_ = file;
  MIDLAYER_RETURN_IF_ERROR(callers->Read());
  callers->poll_ = std::make_unique<FilePoll>(file, poll_interval, [callers = callers.get()] {
    if (const absl::Status read = callers->Read(); read.ok()) {
      spdlog::info("tokens: read again");
    } else {
      spdlog::warn("tokens: those before stay, for {}", std::string(read.message()));
    }
  });
  return callers;
}

absl::Status Callers::Read() {
  MIDLAYER_ASSIGN_OR_RETURN(const std::string text, ReadFile(file_));
  absl::StatusOr<TokenTable> table = TokenTable::Parse(text);
  if (!table.ok()) return Annotate(table.status(), file_);
  auto read = std::make_shared<const TokenTable>(*std::move(table));
  std::lock_guard lock(mutex_);
  table_ = std::move(read);
  return absl::OkStatus();
}

absl::StatusOr<std::string> Callers::Authorize(const grpc::CallbackServerContext& call, Right right) const {
  std::shared_ptr<const TokenTable> table;
  {
    std::lock_guard lock(mutex_);
    table = table_;
  }
  if (table == nullptr) return call.peer();
  const std::string_view token = TokenOf(call);
  const Caller* caller = token.empty() ? nullptr : table->Find(token);
  if (caller == nullptr) {
    return absl::UnauthenticatedError(absl::StrCat("authorization: expected Bearer and a token of this server, found ",
                                                   token.empty() ? "none" : "another"));
  }
  if (right == Right::kChangeSelections && !caller->admin) {
    return absl::PermissionDeniedError(
        absl::StrCat("authorization: expected the token of an admin, found that of ", caller->name));
  }
  return absl::StrCat(caller->name, " at ", call.peer());
}

}  // namespace midlayer
