// Selections in a Redis that many machines share.
#ifndef MIDLAYER_SERVER_SELECTION_REDIS_STORE_H_
#define MIDLAYER_SERVER_SELECTION_REDIS_STORE_H_

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/selection/store.h"

namespace midlayer {

// Keys, all in one slot of a cluster (whose redirections are not followed: name the node, or a proxy):
// midlayer:{SCOPE}:records and :reports (hashes by id), :promoted (an id). What changes them are scripts, each of which
// runs as one step and publishes on the channel midlayer:{SCOPE}:changed. A user of Redis' ACL needs:
// ~midlayer:{SCOPE}:* &midlayer:{SCOPE}:changed +@read +@write +@scripting +@pubsub +select. Without the channel,
// changes are seen by polling alone.
//
// What is acknowledged is kept as far as Redis is told to: across a crash that takes appendonly yes with appendfsync
// always. Nothing expires; an eviction policy that takes keys without expiry (allkeys-*) would lose selections.
//
// Every failure of Redis, of the network or of logging in is UNAVAILABLE and names host and port. A connection that was
// lost is made anew by the next call. For a URL of the form in redis_url.h. Ignores SIGPIPE in this process where
// nothing handles it: a connection that breaks while it is written to would end the process.
absl::StatusOr<std::unique_ptr<SelectionStore>> OpenRedisStore(std::string_view url, std::string_view scope,
                                                               const StoreOptions& options);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SELECTION_REDIS_STORE_H_
