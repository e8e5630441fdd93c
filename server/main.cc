// midlayer-server: loads a model once and serves it until it is told to stop.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "google/protobuf/stubs/logging.h"
#include "nlohmann/json.hpp"
#include "server/base/log.h"
#include "server/base/status.h"
#include "server/base/version.h"
#include "server/flags.h"
#include "server/process.h"
#include "server/service/health_probe.h"
#include "server/telemetry/gpu_metrics.h"
#include "server/telemetry/http_server.h"
#include "server/telemetry/process_metrics.h"
#include "server/telemetry/status_page.h"

namespace midlayer {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUnusable = 2;  // wrong flags, or a model that cannot be served

int64_t ResidentMebibytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE) / (1 << 20);
}

// The store of a model's selections. Servers that loaded more or fewer of its layers share them: what the model is
// called there is the fingerprint of its layer 0.
absl::StatusOr<std::unique_ptr<SelectionStore>> OpenSelections(const Flags& flags, const std::string& fingerprint) {
  const std::string scope = flags.selection_scope.empty() ? "" : flags.selection_scope + ".";
  absl::StatusOr<std::unique_ptr<SelectionStore>> store =
      OpenStore(flags.selection_store, scope + fingerprint.substr(0, 32),
                {.on_damaged = [](std::string_view what) { spdlog::warn("selection store: {}", std::string(what)); }});
  if (!store.ok()) return Annotate(store.status(), "--selection-store");
  return store;
}

// The layer of the promoted selection; -1 where there is none, or where the store does not say.
int PromotedLayer(const Flags& flags, const std::string& fingerprint) {
  const absl::StatusOr<SelectionRecord> record = [&]() -> absl::StatusOr<SelectionRecord> {
    MIDLAYER_ASSIGN_OR_RETURN(const std::unique_ptr<SelectionStore> store, OpenSelections(flags, fingerprint));
    MIDLAYER_ASSIGN_OR_RETURN(const std::string id, store->Promoted());
    if (id.empty()) return absl::NotFoundError("no selection is promoted");
    return store->Get(id);
  }();
  if (record.ok()) return record->layer;
  spdlog::log(absl::IsNotFound(record.status()) ? spdlog::level::info : spdlog::level::warn,
              "--trim-to-selection: all layers are loaded: {}", std::string(record.status().message()));
  return -1;
}

absl::StatusOr<std::unique_ptr<Callers>> OpenCallers(const std::string& token_file) {
  if (token_file.empty()) return std::make_unique<Callers>();
  absl::StatusOr<std::unique_ptr<Callers>> callers = Callers::Open(token_file, absl::Seconds(1));
  if (!callers.ok()) return Annotate(callers.status(), "--token-file");
  return callers;
}

// TLS, mutual TLS, tokens, or what of them there is.
std::string Security(const Flags& flags) {
  std::string security = flags.server.tls.certificate.empty() ? "plain text"
                         : flags.server.tls.client_ca.empty() ? "TLS"
                                                              : "mutual TLS";
  return security + (flags.token_file.empty() ? ", no tokens" : ", tokens");
}

// What operators want to see first: name and value.
using Facts = std::vector<std::pair<std::string, std::string>>;
Facts StartUpFacts(const Flags& flags, const ModelInfo& model, const std::string& store, const std::string& listening,
                   const HttpServer* http) {
  const ArchSpec& arch = model.description.arch;
  return {
      {"model", fmt::format("{} ({})", model.description.name, arch.model_type)},
      {"fingerprint", model.fingerprints.back()},
      {"layers", model.max_layer == arch.layers ? fmt::format("{}", arch.layers)
                                                : fmt::format("{} of {}", model.max_layer, arch.layers)},
      {"width", fmt::format("{}", arch.hidden)},
      {"dtype", model.dtype},
      {"device", model.device},
      {"attention", AttentionDirectionName(arch.direction)},
      {"pooling", std::string(PoolingName(model.description.default_pooling))},
      {"adapters", flags.load.adapters.empty() ? "none" : fmt::format("{}", fmt::join(flags.load.adapters, ", "))},
      {"head", flags.load.pooling_head.empty() ? "none" : flags.load.pooling_head},
      {"limits", fmt::format("{} tokens and {} bytes a text, {} texts a request, {} tokens a batch, {} texts waiting",
                             model.description.max_tokens, flags.limits.max_text_bytes, flags.limits.max_texts,
                             flags.engine.batch_tokens, flags.engine.max_waiting.texts)},
      {"memory", fmt::format("{} MiB resident", ResidentMebibytes())},
      {"selections", store},
      {"security", Security(flags)},
      {"grpc", listening},
      {"metrics", http == nullptr ? "off" : fmt::format("http://{}/metrics", http->address())},
  };
}

void PrintStartUp(const Flags& flags, const Facts& facts) {
  if (flags.log_format == "json") {
    nlohmann::ordered_json line = {{"level", "info"}, {"message", "serving"}, {"version", kVersion}};
    for (const auto& [name, value] : facts) line[name] = value;
    fmt::print("{}\n", line.dump());
  } else {
    fmt::print("midlayer {}\n", kVersion);
    for (const auto& [name, value] : facts) fmt::print("  {:<12} {}\n", name, value);
  }
  std::fflush(stdout);
}

// The series of everything that can be asked.
std::string Metrics(const std::vector<std::shared_ptr<prometheus::Collectable>>& sources) {
  std::vector<prometheus::MetricFamily> families;
  for (const auto& source : sources) {
    for (prometheus::MetricFamily& family : source->Collect()) families.push_back(std::move(family));
  }
  return prometheus::TextSerializer().Serialize(families);
}

HttpAnswer HealthPage(absl::Status health) {
  if (!TakesConnections()) health = absl::UnavailableError("no new connections are taken");
  if (health.ok()) return {.body = "ok\n"};
  return {.status = 503, .body = absl::StrCat(health.message(), "\n")};
}

std::map<std::string, HttpServer::Page> Pages(const Telemetry& telemetry, std::shared_ptr<GpuMetrics> gpus,
                                              const Server& server, const Facts& facts) {
  std::vector<std::shared_ptr<prometheus::Collectable>> sources = {telemetry.registry(),
                                                                   std::make_shared<ProcessMetrics>()};
  if (gpus != nullptr) sources.push_back(std::move(gpus));
  return {{"/metrics", [sources] { return HttpAnswer{.type = "text/plain; version=0.0.4", .body = Metrics(sources)}; }},
          {"/healthz", [&server] { return HealthPage(server.health()); }},
          {"/readyz", [&server] { return HealthPage(server.readiness()); }},
          {"/", [page = StatusPage(facts)] { return HttpAnswer{.type = "text/html; charset=utf-8", .body = page}; }}};
}

// Blocks the signals that end the server in this and all later threads; Wait() takes them.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGTERM);
    sigaddset(&set_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  }
  int Wait() const {
    int signal = 0;
    sigwait(&set_, &signal);
    return signal;
  }

 private:
  sigset_t set_;
};

int Fail(int code, const absl::Status& status) {
  fmt::print(stderr, "midlayer-server: {}\n", std::string(status.message()));
  return code;
}

int Main(int argc, char** argv) {
  PrepareProcess();
  Flags flags;
  if (const std::optional<int> code = ParseFlags(argc, argv, &flags)) return *code;
  KeepWaitsShort(argv);
  SetUpLog(flags.log_level, flags.log_format == "json" ? LogFormat::kJson : LogFormat::kText);
  LogWhatGrpcSays();
  // protobuf would print to standard error what requests with strings that are not UTF-8 are answered with anyway.
  google::protobuf::SetLogHandler(nullptr);
  const StopSignals signals;
  if (flags.trim_to_selection) {
    flags.load.enough_layers = [&flags](const std::string& fingerprint) { return PromotedLayer(flags, fingerprint); };
  }
  absl::StatusOr<LoadedModel> model = LoadModel(flags.load);
  if (!model.ok()) return Fail(kExitUnusable, model.status());
  const ModelInfo& info = model->info;
  for (const std::string& note : model->notes) spdlog::info("{}", note);

  Telemetry telemetry;
  telemetry.SetModel({.name = info.description.name,
                      .architecture = info.description.arch.model_type,
                      .fingerprint = info.fingerprints.back(),
                      .layers = info.description.arch.layers,
                      .max_layer = info.max_layer,
                      .attention = AttentionDirectionName(info.description.arch.direction),
                      .adapters = static_cast<int>(flags.load.adapters.size()),
                      .dtype = info.dtype,
                      .device = info.device});
  std::unique_ptr<HttpServer> http;
  if (!flags.metrics_listen.empty() && flags.metrics_listen != "off") {
    absl::StatusOr<std::unique_ptr<HttpServer>> opened = HttpServer::Start(flags.metrics_listen);
    if (!opened.ok()) return Fail(kExitUnusable, Annotate(opened.status(), "--metrics-listen"));
    http = *std::move(opened);
  }

  flags.limits.max_message_bytes = flags.server.max_message_bytes;
  flags.limits.max_waiting_texts = flags.engine.max_waiting.texts;
  flags.engine.include_prompt = info.description.include_prompt;
  if (flags.engine.batch_tokens == 0) flags.engine.batch_tokens = info.device == "cpu" ? 512 : 1024;
  absl::StatusOr<std::vector<std::unique_ptr<Runner>>> runners =
      MakeTorchRunners(model->replicas, flags.streams, &telemetry);
  if (!runners.ok()) return Fail(kExitUnusable, runners.status());
  Engine engine(flags.engine, model->tokenizer.get(), *std::move(runners), &telemetry);
  const std::unique_ptr<Scorer> scorer = MakeTorchScorer(&engine, &info, model->tokenizer.get(), flags.scorer);
  absl::StatusOr<std::unique_ptr<SelectionStore>> store = OpenSelections(flags, info.fingerprints[0]);
  if (!store.ok()) return Fail(kExitUnusable, store.status());
  const int asked_for = flags.load.max_layer < 0 ? info.description.arch.layers : flags.load.max_layer;
  flags.selections.trimmed = flags.trim_to_selection && info.max_layer < asked_for;
  Selections selections(*std::move(store), &info, flags.selections, &telemetry);
  absl::StatusOr<std::unique_ptr<Callers>> callers = OpenCallers(flags.token_file);
  if (!callers.ok()) return Fail(kExitUnusable, callers.status());
  absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(flags.server, {.engine = &engine,
                                                                                .selections = &selections,
                                                                                .scorer = scorer.get(),
                                                                                .callers = callers->get(),
                                                                                .model = &info,
                                                                                .telemetry = &telemetry,
                                                                                .limits = flags.limits,
                                                                                .score_limits = flags.score_limits});
  if (!server.ok()) return Fail(kExitUnusable, server.status());
  const HealthProbe probe(
      &engine, {.timeout = absl::Seconds(flags.health_timeout_seconds), .layer = std::min(1, info.max_layer)},
      [&server = **server](const absl::Status& health) {
        spdlog::log(health.ok() ? spdlog::level::info : spdlog::level::err, "health: {}",
                    health.ok() ? "computing again" : std::string(health.message()));
        server.SetHealth(health);
      });
  const Facts facts = StartUpFacts(flags, info, selections.store().name(), (*server)->address(), http.get());
  // Asked for through the HTTP port only.
  const absl::StatusOr<std::shared_ptr<GpuMetrics>> gpus =
      http == nullptr ? std::shared_ptr<GpuMetrics>() : GpuMetrics::Open();
  if (http != nullptr) http->SetPages(Pages(telemetry, gpus.ok() ? *gpus : nullptr, **server, facts));
  PrintStartUp(flags, facts);
  ServerStarted();
  if (!gpus.ok()) spdlog::info("no metrics of GPUs: {}", std::string(gpus.status().message()));

  spdlog::info("signal {}: not healthy any more; new calls for {} s, then up to {} s for those under way",
               signals.Wait(), flags.drain_delay_seconds, flags.drain_timeout_seconds);
  std::thread([&signals] {
    signals.Wait();
    fmt::print(stderr, "midlayer-server: second signal, ending at once\n");
    _exit(kExitFailed);
  }).detach();
  (*server)->StopBeingHealthy();
  absl::SleepFor(absl::Seconds(flags.drain_delay_seconds));
  (*server)->Shutdown(absl::Seconds(flags.drain_timeout_seconds));
  spdlog::info("all calls have ended");
  http.reset();  // its pages ask the server
  return 0;
}

}  // namespace
}  // namespace midlayer

int main(int argc, char** argv) { return midlayer::Main(argc, argv); }
