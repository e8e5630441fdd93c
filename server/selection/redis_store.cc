#include "server/selection/redis_store.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"
#include "server/selection/redis_connection.h"
#include "server/selection/redis_url.h"
#include "server/selection/wakeup.h"

namespace midlayer {
namespace {

using Arguments = RedisConnection::Arguments;

// More connections than this are closed when they are no longer used.
constexpr size_t kMostIdle = 4;

// All have KEYS: records, reports, promoted, and ARGV: channel, id, … What is done stays done where the user may not
// publish (pcall): others poll.

// ARGV[3..4]: record, report.
constexpr char kPut[] = R"(
redis.call('HSET', KEYS[2], ARGV[2], ARGV[4])
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
redis.pcall('PUBLISH', ARGV[1], ARGV[2])
return {'done', ''}
)";

// ARGV[3]: "any", or "expected" with ARGV[4] what must be promoted.
constexpr char kPromote[] = R"(
local current = redis.call('GET', KEYS[3]) or ''
if ARGV[2] ~= '' and redis.call('HEXISTS', KEYS[1], ARGV[2]) == 0 then return {'absent', ''} end
if ARGV[3] == 'expected' and ARGV[4] ~= current then return {'other', current} end
redis.call('SET', KEYS[3], ARGV[2])
redis.pcall('PUBLISH', ARGV[1], ARGV[2])
return {'done', current}
)";

constexpr char kDelete[] = R"(
if redis.call('HEXISTS', KEYS[1], ARGV[2]) == 0 then return {'absent', ''} end
if redis.call('GET', KEYS[3]) == ARGV[2] then return {'promoted', ''} end
redis.call('HDEL', KEYS[1], ARGV[2])
redis.call('HDEL', KEYS[2], ARGV[2])
redis.pcall('PUBLISH', ARGV[1], ARGV[2])
return {'done', ''}
)";

std::string_view TextOf(const redisReply& reply) { return std::string_view(reply.str, reply.len); }

class RedisStore : public SelectionStore {
 public:
  RedisStore(std::unique_ptr<RedisConnector> connector, std::string_view scope,
             std::function<void(std::string_view)> on_damaged)
      : on_damaged_(std::move(on_damaged)),
        connector_(std::move(connector)),
        prefix_(absl::StrCat("midlayer:{", ToAbsl(scope), "}:")) {}

  const std::string& name() const override { return connector_->name(); }

  absl::Status Put(const SelectionRecord& record, std::string_view report) override {
    MIDLAYER_RETURN_IF_ERROR(CheckSelection(record));
    return Change(put_, {record.id, SelectionToJson(record), std::string(report)}).status();
  }

  absl::StatusOr<SelectionRecord> Get(std::string_view id) override {
    MIDLAYER_ASSIGN_OR_RETURN(const std::string json, GetField(records_, id));
    return ReadStored(Place(id), id, json);
  }

  absl::StatusOr<std::string> Report(std::string_view id) override { return GetField(reports_, id); }

  absl::StatusOr<std::vector<SelectionRecord>> List() override {
    MIDLAYER_ASSIGN_OR_RETURN(const RedisReply reply, Command({"HGETALL", records_}));
    if (reply->type != REDIS_REPLY_ARRAY) return Unexpected();
    std::vector<SelectionRecord> records;
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
      const std::string_view id = TextOf(*reply->element[i]);
      absl::StatusOr<SelectionRecord> record = ReadStored(Place(id), id, TextOf(*reply->element[i + 1]));
      if (record.ok()) {
        records.push_back(*std::move(record));
      } else if (on_damaged_) {
        on_damaged_(std::string(record.status().message()));
      }
    }
    SortSelections(&records);
    return records;
  }

  absl::StatusOr<std::string> Promoted() override {
    MIDLAYER_ASSIGN_OR_RETURN(const RedisReply reply, Command({"GET", promoted_}));
    if (reply->type == REDIS_REPLY_NIL) return "";
    if (reply->type != REDIS_REPLY_STRING) return Unexpected();
    const std::string_view id = TextOf(*reply);
    if (id.empty() || CheckSelectionId(id).ok()) return std::string(id);
    return absl::DataLossError(
        absl::StrCat(name(), " ", promoted_, ": expected the id of a selection, found ", id.size(), " other bytes"));
  }

  absl::StatusOr<std::string> Promote(std::string_view id, std::optional<std::string> expected_current) override {
    MIDLAYER_RETURN_IF_ERROR(CheckPromotion(id, expected_current));
    if (!id.empty()) MIDLAYER_RETURN_IF_ERROR(Get(id).status());
    MIDLAYER_ASSIGN_OR_RETURN(
        const Outcome outcome,
        Change(promote_, {std::string(id), expected_current ? "expected" : "any", expected_current.value_or("")}));
    if (outcome.what == "absent") return NoSuchSelection(id);
    if (outcome.what == "other") return OtherIsPromoted(*expected_current, outcome.current);
    // What is damaged is no id to return.
    return CheckSelectionId(outcome.current).ok() ? outcome.current : "";
  }

  absl::Status Delete(std::string_view id) override {
    MIDLAYER_RETURN_IF_ERROR(CheckSelectionId(id));
    MIDLAYER_ASSIGN_OR_RETURN(const Outcome outcome, Change(delete_, {std::string(id)}));
    if (outcome.what == "absent") return NoSuchSelection(id);
    if (outcome.what == "promoted") return IsPromoted(id);
    return absl::OkStatus();
  }

  void WaitForChange(absl::Duration timeout) override {
    const auto end = std::chrono::steady_clock::now() + absl::ToChronoMicroseconds(std::min(timeout, absl::Hours(24)));
    const auto left = [end] { return absl::FromChrono(end - std::chrono::steady_clock::now()); };
    while (subscription_ == nullptr) {
      absl::StatusOr<std::unique_ptr<RedisConnection>> connection = connector_->Connect();
      if (connection.ok()) {
        // What happened while there was no subscription is not known: return at once.
        if ((*connection)->Command({"SUBSCRIBE", channel_}).ok()) {
          subscription_ = *std::move(connection);
        } else {
          wakeup_.Wait(-1, left());  // not allowed, or lost again: the caller polls
        }
        return;
      }
      if (wakeup_.Wait(-1, std::min(left(), connector_->BackOff())) == Wakeup::Reason::kSignal) return;
      if (left() <= absl::ZeroDuration()) return;
    }
    if (wakeup_.Wait(subscription_->fd(), left()) != Wakeup::Reason::kReadable) return;
    if (!subscription_->Drain().ok()) subscription_.reset();
  }

  void Interrupt() override { wakeup_.Signal(); }

 private:
  // What a script answered.
  struct Outcome {
    std::string what;
    std::string current;
  };

  // Where a record is, for messages.
  std::string Place(std::string_view id) const { return absl::StrCat(name(), " ", records_, " ", ToAbsl(id)); }

  absl::Status Unexpected() const {
    return absl::UnavailableError(absl::StrCat(name(), ": an answer of a kind that was not expected"));
  }

  absl::StatusOr<std::unique_ptr<RedisConnection>> Take() {
    {
      std::lock_guard lock(mutex_);
      while (!idle_.empty()) {
        std::unique_ptr<RedisConnection> connection = std::move(idle_.back());
        idle_.pop_back();
        if (connection->Usable()) return connection;
      }
    }
    return connector_->Connect();
  }

  void GiveBack(std::unique_ptr<RedisConnection> connection) {
    const bool usable = connection->Usable();
    std::lock_guard lock(mutex_);
    // Where one is lost the others most likely are too, and would each cost a timeout.
    if (!usable) idle_.clear();
    if (usable && idle_.size() < kMostIdle) idle_.push_back(std::move(connection));
  }

  absl::StatusOr<RedisReply> Command(const Arguments& arguments) {
    MIDLAYER_ASSIGN_OR_RETURN(std::unique_ptr<RedisConnection> connection, Take());
    absl::StatusOr<RedisReply> reply = connection->Command(arguments);
    GiveBack(std::move(connection));
    return reply;
  }

  absl::StatusOr<Outcome> Change(const RedisScript& script, const std::vector<std::string>& arguments) {
    Arguments all = {channel_};
    all.insert(all.end(), arguments.begin(), arguments.end());
    MIDLAYER_ASSIGN_OR_RETURN(std::unique_ptr<RedisConnection> connection, Take());
    const absl::StatusOr<RedisReply> answer = connection->Eval(script, {records_, reports_, promoted_}, all);
    GiveBack(std::move(connection));
    if (!answer.ok()) return answer.status();
    const redisReply& reply = **answer;
    if (reply.type != REDIS_REPLY_ARRAY || reply.elements != 2) return Unexpected();
    return Outcome{std::string(TextOf(*reply.element[0])), std::string(TextOf(*reply.element[1]))};
  }

  absl::StatusOr<std::string> GetField(const std::string& key, std::string_view id) {
    MIDLAYER_RETURN_IF_ERROR(CheckSelectionId(id));
    MIDLAYER_ASSIGN_OR_RETURN(const RedisReply reply, Command({"HGET", key, id}));
    if (reply->type == REDIS_REPLY_NIL) return NoSuchSelection(id);
    if (reply->type != REDIS_REPLY_STRING) return Unexpected();
    return std::string(TextOf(*reply));
  }

  const std::function<void(std::string_view)> on_damaged_;
  const std::unique_ptr<RedisConnector> connector_;
  const std::string prefix_;
  const std::string records_ = prefix_ + "records";
  const std::string reports_ = prefix_ + "reports";
  const std::string promoted_ = prefix_ + "promoted";
  const std::string channel_ = prefix_ + "changed";
  const RedisScript put_{kPut}, promote_{kPromote}, delete_{kDelete};
  Wakeup wakeup_;
  std::unique_ptr<RedisConnection> subscription_;  // of the thread in WaitForChange()

  std::mutex mutex_;
  // Guarded by mutex_.
  std::vector<std::unique_ptr<RedisConnection>> idle_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SelectionStore>> OpenRedisStore(std::string_view url, std::string_view scope,
                                                               const StoreOptions& options) {
  MIDLAYER_ASSIGN_OR_RETURN(RedisEndpoint endpoint, ParseRedisUrl(url));
  MIDLAYER_ASSIGN_OR_RETURN(
      std::unique_ptr<RedisConnector> connector,
      RedisConnector::Create(std::move(endpoint), {options.connect_timeout, options.command_timeout}));
  struct sigaction current = {};
  if (sigaction(SIGPIPE, nullptr, &current) == 0 && current.sa_handler == SIG_DFL) std::signal(SIGPIPE, SIG_IGN);
  return std::make_unique<RedisStore>(std::move(connector), scope, options.on_damaged);
}

}  // namespace midlayer
