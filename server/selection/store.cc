#include "server/selection/store.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/selection/file_store.h"
#include "server/selection/memory_store.h"
#include "server/selection/no_store.h"
#include "server/selection/redis_store.h"

namespace midlayer {
namespace {

// A scope becomes the name of a directory and a part of Redis keys.
absl::Status CheckScope(std::string_view scope) {
  const bool right = !scope.empty() && scope.size() <= 128 && scope.front() != '.' &&
                     std::all_of(scope.begin(), scope.end(), [](unsigned char c) {
                       return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
                     });
  if (right) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "selection store: scope: expected 1 to 128 of A-Z a-z 0-9 . _ -, not beginning with a dot");
}

std::string OrNone(std::string_view id) { return id.empty() ? "none" : std::string(id); }

}  // namespace

absl::StatusOr<std::unique_ptr<SelectionStore>> OpenStore(std::string_view url, std::string_view scope,
                                                          const StoreOptions& options) {
  MIDLAYER_RETURN_IF_ERROR(CheckScope(scope));
  if (url == "none") return std::make_unique<NoStore>();
  if (url == "memory") return std::make_unique<MemoryStore>();
  if (url.starts_with("file:")) return OpenFileStore(url.substr(5), scope, options);
  if (url.starts_with("redis://") || url.starts_with("rediss://")) return OpenRedisStore(url, scope, options);
  // The URL is not repeated: it may have a password in it.
  return absl::InvalidArgumentError(
      "selection store: expected none, memory, file:DIR, redis://HOST or rediss://HOST, found another kind of URL");
}

absl::Status CheckPromotion(std::string_view id, const std::optional<std::string>& expected_current) {
  if (!id.empty()) MIDLAYER_RETURN_IF_ERROR(CheckSelectionId(id));
  if (!expected_current || expected_current->empty()) return absl::OkStatus();
  return Annotate(CheckSelectionId(*expected_current), "expected current");
}

absl::Status NoSuchSelection(std::string_view id) {
  return absl::NotFoundError(absl::StrCat("selection ", ToAbsl(id), ": not in the store"));
}

absl::Status OtherIsPromoted(std::string_view expected, std::string_view found) {
  return absl::FailedPreconditionError(
      absl::StrCat("promoted selection: expected ", OrNone(expected), ", found ", OrNone(found)));
}

absl::Status IsPromoted(std::string_view id) {
  return absl::FailedPreconditionError(
      absl::StrCat("selection ", ToAbsl(id), ": it is promoted; promote another one or none before deleting it"));
}

void SortSelections(std::vector<SelectionRecord>* records) {
  std::sort(records->begin(), records->end(), [](const SelectionRecord& a, const SelectionRecord& b) {
    return std::tie(b.created_unix_seconds, a.id) < std::tie(a.created_unix_seconds, b.id);
  });
}

absl::StatusOr<SelectionRecord> ReadStored(std::string_view place, std::string_view id, std::string_view json) {
  absl::StatusOr<SelectionRecord> record = SelectionFromJson(json);
  if (!record.ok()) return absl::DataLossError(absl::StrCat(ToAbsl(place), ": ", record.status().message()));
  if (record->id != id) {
    return absl::DataLossError(
        absl::StrCat(ToAbsl(place), ": selection: id: expected ", ToAbsl(id), ", found ", record->id));
  }
  return record;
}

}  // namespace midlayer
