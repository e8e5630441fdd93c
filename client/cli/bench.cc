#include "client/cli/bench.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "client/cli/bench_result.h"
#include "client/cli/input_file.h"
#include "client/cli/interrupt.h"
#include "client/cli/progress.h"
#include "client/cli/text_source.h"
#include "server/base/random.h"
#include "server/base/status.h"
#include "server/base/text_width.h"

namespace midlayer::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMadeUpTexts = 1024;
constexpr std::chrono::milliseconds kPoll(kInterruptPollMs);
constexpr std::chrono::milliseconds kLate(1);  // less is how exactly a thread can be woken
// How long after its end an open loop still sends requests that should have begun before.
constexpr std::chrono::seconds kPatience(1);
// Where nobody listens calls fail in no time; a closed loop would do nothing else.
constexpr std::chrono::milliseconds kPauseAfterUnavailable(100);

Clock::duration Seconds(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

double SecondsBetween(Clock::time_point start, Clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
}

std::string MakeText(int words, Random* random) {
  static constexpr std::array<const char*, 32> kWords = {
      "the",  "river", "of",    "a",    "quiet", "market", "and",    "seven", "letters", "to",   "old",
      "in",   "paper", "house", "with", "light", "city",   "for",    "north", "number",  "on",   "small",
      "time", "water", "early", "from", "road",  "story",  "winter", "by",    "engine",  "green"};
  std::string text;
  for (int i = 0; i < words; ++i) absl::StrAppend(&text, i > 0 ? " " : "", kWords[random->Index(kWords.size())]);
  return text;
}

// The texts that requests are made of.
absl::StatusOr<std::vector<std::string>> Texts(const BenchOptions& options, const Console& console) {
  std::vector<std::string> texts;
  if (options.input.empty()) {
    Random random(options.seed);
    for (int i = 0; i < kMadeUpTexts; ++i) texts.push_back(MakeText(options.words, &random));
    return texts;
  }
  MIDLAYER_ASSIGN_OR_RETURN(InputFile input, OpenInput(options.input, console));
  const std::unique_ptr<TextSource> source = TextsFromLines(std::move(input.in), InputFormat::kText, input.bytes);
  for (SourceText text; source->Next(&text);) {
    MIDLAYER_RETURN_IF_ERROR(Annotate(text.status, absl::StrCat("line ", text.line)));
    texts.push_back(std::move(text.text));
  }
  if (texts.empty()) return absl::InvalidArgumentError("--input: expected a line with a text, found none");
  return texts;
}

// Draws requests. One for each thread.
class RequestMaker {
 public:
  RequestMaker(const BenchOptions& options, const std::vector<std::string>& texts, uint64_t stream)
      : options_(options), texts_(texts), random_(Random::SubSeed(options.seed, stream)) {}

  struct Drawn {
    v1::EmbedRequest request;
    std::string layer;  // as in BenchResult
  };
  Drawn Make() { return Make(options_.layers[random_.Index(options_.layers.size())], options_.texts); }
  Drawn Make(std::optional<int32_t> layer, int texts) {
    Drawn drawn = {.request = MakeRequest(options_.text), .layer = layer ? absl::StrCat(*layer) : "selected"};
    OutputOptions output = options_.output;
    output.layer = layer;
    SetOutput(output, &drawn.request);
    for (int i = 0; i < texts; ++i) drawn.request.add_texts(texts_[random_.Index(texts_.size())]);
    return drawn;
  }

 private:
  const BenchOptions& options_;
  const std::vector<std::string>& texts_;
  Random random_;
};

// The load, from its first request to its last answer: as many threads as requests may be under way, each of which
// waits for its answer.
class Load {
 public:
  Load(const BenchOptions& options, const std::vector<std::string>& texts,
       const std::vector<std::unique_ptr<Connection>>& connections)
      : options_(options),
        texts_(texts),
        connections_(connections),
        workers_(options.concurrency),
        arrivals_(std::max(options.rate, 1e-9), options.spacing, Random::SubSeed(options.seed, 0)) {}

  BenchResult Run(const Console& console);

 private:
  struct Worker {
    std::thread thread;
    BenchResult result;
    Clock::time_point last_end;
    std::mutex mutex;
    grpc::ClientContext* call = nullptr;  // guarded by mutex; the one under way
  };
  struct Start {
    Clock::time_point at;
    bool is_measured = false;
  };

  // When the next request begins; nothing when the load is over.
  std::optional<Start> NextStart();
  void Work(size_t index);
  // Waits for the request's time, and sends it.
  void Send(const Start& start, Connection* connection, RequestMaker* maker, Worker* worker);
  void Count(const RequestMaker::Drawn& drawn, const grpc::Status& status, const v1::EmbedResponse& response,
             double seconds, BenchResult* result) const;
  void CancelAll();
  BenchResult Join();

  const BenchOptions& options_;
  const std::vector<std::string>& texts_;
  const std::vector<std::unique_ptr<Connection>>& connections_;
  std::vector<Worker> workers_;
  Clock::time_point begin_, measured_from_, end_;
  std::atomic<int> working_ = 0;
  std::atomic<int64_t> answered_texts_ = 0;

  std::mutex mutex_;
  // Guarded by mutex_.
  Arrivals arrivals_;
  int64_t measured_ = 0;
};

std::optional<Load::Start> Load::NextStart() {
  const std::lock_guard lock(mutex_);
  Start start = {.at = options_.rate > 0 ? begin_ + Seconds(arrivals_.Next()) : Clock::now()};
  if (start.at >= end_ || Interrupted()) return std::nullopt;
  start.is_measured = start.at >= measured_from_;
  if (start.is_measured && options_.requests > 0 && measured_++ >= options_.requests) return std::nullopt;
  return start;
}

void Load::Count(const RequestMaker::Drawn& drawn, const grpc::Status& status, const v1::EmbedResponse& response,
                 double seconds, BenchResult* result) const {
  const bool fits = response.embeddings_size() == drawn.request.texts_size();
  if (!status.ok() || !fits) {
    const auto code = status.ok() ? absl::StatusCode::kInternal : static_cast<absl::StatusCode>(status.error_code());
    BenchResult::Failure& failure = result->failures[absl::StatusCodeToString(code)];
    failure.latencies.Record(seconds);
    failure.example =
        status.ok() ? "the server did not send a vector for each text" : Printable(status.error_message());
    return;
  }
  result->layers[drawn.layer].Record(seconds);
  result->texts += response.embeddings_size();
  for (const v1::Embedding& embedding : response.embeddings()) result->tokens += embedding.tokens();
}

void Load::Send(const Start& start, Connection* connection, RequestMaker* maker, Worker* worker) {
  for (auto now = Clock::now(); now < start.at && !Interrupted(); now = Clock::now()) {
    std::this_thread::sleep_until(std::min(start.at, now + kPoll));
  }
  BenchResult& result = worker->result;
  const Clock::time_point sent = Clock::now();
  if (sent >= end_ + kPatience) {
    if (start.is_measured) ++result.not_sent;
    return;
  }
  if (start.is_measured && sent - start.at > kLate) {
    ++result.late;
    result.most_late_seconds = std::max(result.most_late_seconds, SecondsBetween(start.at, sent));
  }
  const RequestMaker::Drawn drawn = maker->Make();
  grpc::ClientContext call;
  const double timeout = options_.connection.timeout_seconds;
  if (timeout > 0) call.set_deadline(std::chrono::system_clock::now() + Seconds(timeout));
  {
    const std::lock_guard lock(worker->mutex);
    worker->call = &call;
  }
  if (Interrupted()) call.TryCancel();
  v1::EmbedResponse response;
  const grpc::Status status = connection->stub().Embed(&call, drawn.request, &response);
  const Clock::time_point end = Clock::now();
  {
    const std::lock_guard lock(worker->mutex);
    worker->call = nullptr;
  }
  answered_texts_ += response.embeddings_size();
  if (start.is_measured && !Interrupted()) {
    Count(drawn, status, response, SecondsBetween(start.at, end), &result);
    worker->last_end = end;
  }
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) std::this_thread::sleep_for(kPauseAfterUnavailable);
}

void Load::Work(size_t index) {
  RequestMaker maker(options_, texts_, index + 1);
  while (const std::optional<Start> start = NextStart()) {
    Send(*start, connections_[index % connections_.size()].get(), &maker, &workers_[index]);
  }
  --working_;
}

void Load::CancelAll() {
  for (Worker& worker : workers_) {
    const std::lock_guard lock(worker.mutex);
    if (worker.call != nullptr) worker.call->TryCancel();
  }
}

BenchResult Load::Join() {
  BenchResult all;
  Clock::time_point last_end = measured_from_;
  for (Worker& worker : workers_) {
    worker.thread.join();
    all.Add(worker.result);
    last_end = std::max(last_end, worker.last_end);
  }
  all.seconds = SecondsBetween(measured_from_, last_end);
  return all;
}

BenchResult Load::Run(const Console& console) {
  begin_ = Clock::now();
  measured_from_ = begin_ + Seconds(options_.warmup_seconds);
  end_ = measured_from_ + Seconds(options_.duration_seconds);
  working_ = static_cast<int>(workers_.size());
  for (size_t i = 0; i < workers_.size(); ++i) workers_[i].thread = std::thread([this, i] { Work(i); });
  Progress progress(console.err, console.show_progress || console.err_is_terminal);
  while (working_ > 0) {
    if (Interrupted()) CancelAll();
    std::this_thread::sleep_for(kPoll);
    const double total = options_.warmup_seconds + options_.duration_seconds;
    progress.Update({.texts = answered_texts_, .position = SecondsBetween(begin_, Clock::now()), .total = total});
  }
  return Join();
}

absl::StatusOr<std::vector<std::unique_ptr<Connection>>> Connect(const BenchOptions& options) {
  std::vector<std::unique_ptr<Connection>> connections;
  ConnectionOptions connection = options.connection;
  connection.is_shared = false;
  for (int i = 0; i < options.connections; ++i) {
    MIDLAYER_ASSIGN_OR_RETURN(connections.emplace_back(), Connection::Open(connection));
  }
  return connections;
}

absl::StatusOr<int> Run(const BenchOptions& options, const Console& console) {
  MIDLAYER_ASSIGN_OR_RETURN(const std::vector<std::string> texts, Texts(options, console));
  MIDLAYER_ASSIGN_OR_RETURN(const auto connections, Connect(options));
  MIDLAYER_ASSIGN_OR_RETURN(const v1::GetModelResponse model, connections[0]->GetModel());
  // What is wrong with the request is told once, before the load.
  RequestMaker maker(options, texts, 0);
  for (const std::optional<int32_t>& layer : options.layers) {
    MIDLAYER_RETURN_IF_ERROR(connections[0]->Embed(maker.Make(layer, options.texts).request).status());
  }
  const BenchResult result = Load(options, texts, connections).Run(console);
  *console.out << (options.json ? BenchToJson(options, model, result)
                                : FormatBench(options, model, result, console.width));
  if (Interrupted()) return int{kExitInterrupted};
  return result.failures.empty() && result.not_sent == 0 ? int{kExitOk} : int{kExitFailed};
}

}  // namespace

int RunBench(const BenchOptions& options, const Console& console) {
  const absl::StatusOr<int> code = Run(options, console);
  if (code.ok()) return *code;
  *console.err << "midlayer: " << code.status().message() << std::endl;
  return ExitCodeOf(code.status());
}

}  // namespace midlayer::cli
