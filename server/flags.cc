#include "server/flags.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <type_traits>

#include "server/base/help_formatter.h"
#include "server/base/version.h"

namespace midlayer {

namespace {

constexpr int kExitUsage = 2;

// Adds flags that all take an environment variable and belong to one group of the help text.
class Group {
 public:
  Group(CLI::App& app, std::string name) : app_(app), name_(std::move(name)) {}

  // `type` is what the help text shows in the value's place.
  template <typename T>
  CLI::Option* Add(const std::string& flag, T& value, const std::string& type, const std::string& help) {
    CLI::Option* option = app_.add_option(flag, value, help)
                              ->type_name(type)
                              ->group(name_)
                              ->envname(EnvironmentName(flag))
                              ->capture_default_str();
    if constexpr (std::is_same_v<T, bool>) option->default_str(value ? "true" : "false");
    return option;
  }

 private:
  CLI::App& app_;
  const std::string name_;
};

void AddModelFlags(CLI::App& app, Flags& flags, std::string& pooling, std::string& attention) {
  Group group(app, "Model");
  group
      .Add("--model", flags.load.directory, "DIR",
           "Hugging Face model directory: config.json, model.safetensors (or shards), tokenizer.json, and the files of "
           "sentence-transformers where there are any.")
      ->required();
  group
      .Add(
          "--max-layer", flags.load.max_layer, "N",
          "Load the model up to this block only; -1 loads all. Weights above are never read: memory falls with it, and "
          "so do the layers that can be asked for. Fingerprints stay the same, so replicas of different depth agree.")
      ->check(CLI::Range(-1, 1 << 20).description(""));
  group
      .Add("--max-tokens", flags.load.overrides.max_tokens, "N",
           "Longest text in tokens, special tokens included; 0 takes the model's own limit (sentence_bert_config.json, "
           "else tokenizer_config.json, never more than its positions). Longer costs more than proportionally, and "
           "models are worse beyond what they were trained on. Changes the fingerprint.")
      ->check(CLI::Validator(CLI::NonNegativeNumber).description(""));
  group
      .Add("--default-pooling", pooling, "NAME",
           "Pooling where a request names none: cls, mean, last, max, weighted_mean, or with a --pooling-head "
           "trained_last or trained_multi; empty takes the model's own (1_Pooling/config.json), else last for causal "
           "attention and mean for bidirectional.")
      ->check([](const std::string& name) {
        return name.empty() || ParsePooling(name)
                   ? std::string()
                   : "expected cls, mean, last, max, weighted_mean, trained_last or trained_multi, found " + name;
      });
  group
      .Add("--adapter", flags.load.adapters, "DIR",
           "LoRA adapter of PEFT (adapter_config.json, adapter_model.safetensors), merged into the weights; may be "
           "given several times, and is merged in that order. Changes the fingerprint.")
      ->allow_extra_args(false)
      ->delimiter(',');
  group.Add("--pooling-head", flags.load.pooling_head, "FILE",
            "Trained pooling head (safetensors, made by tools/convert_pooling_head.py), served as the pooling "
            "trained_last or trained_multi. Its model and its attention must be the served ones. Changes the "
            "fingerprint.");
  group
      .Add("--attention", attention, "auto|bidirectional",
           "auto: as the architecture has it. bidirectional removes the causal mask of a decoder, for checkpoints that "
           "were trained so (LLM2Vec, NV-Embed); others get worse. Changes the fingerprint.")
      ->check(CLI::IsMember({"auto", "bidirectional"}).description(""));
}

void AddDeviceFlags(CLI::App& app, Flags& flags) {
  Group group(app, "Device");
  group.Add("--device", flags.load.device, "NAME",
            "cpu, cuda, cuda:N, several GPUs as cuda:0,cuda:1 (each has all of the model), or auto: a GPU where there "
            "is one, else the CPU.");
  group.Add("--dtype", flags.load.dtype, "NAME",
            "float32, bfloat16 or float16, for weights and matrix products; the residual stream and norms stay "
            "float32. Half the memory and up to several times the speed where the processor has instructions for it, "
            "against a cosine to float32 of about 0.9999. auto: bfloat16 where the device multiplies in it and, at the "
            "start, built-in texts keep a cosine of 0.9999 to float32 at every layer, else float32; loads the model "
            "twice. int8, on CPUs with VNNI or AMX: weights in int8 row by row, and what they are multiplied by token "
            "by token; faster than bfloat16, against a cosine of about 0.998 (all-MiniLM-L6-v2), which is to be "
            "measured. Changes the fingerprint: servers that share selections want the same.");
  group.Add(
      "--pure-low-precision", flags.load.pure_low_precision, "true|false",
      "Keep the residual stream and norms in --dtype too: less memory traffic on a GPU, against rounding at every "
      "block (bfloat16 on all-MiniLM-L6-v2: a cosine to float32 of 0.99996 instead of 0.99999). Changes the "
      "fingerprint.");
  group.Add("--packed-linear", flags.load.fast_paths.packed_linear, "true|false",
            "On a CPU, keep the weights of float32 and bfloat16 models in the layout of oneDNN and let it apply what "
            "follows a product in the same step. Vectors change in their last digits.");
  group.Add("--cpu-kernels", flags.load.fast_paths.cpu_kernels, "true|false",
            "On a CPU, compute attention and norms with the server's own vector instructions instead of libtorch's. "
            "Vectors change in their last digits.");
  group
      .Add("--streams", flags.streams, "N",
           "Batches under way on one GPU, each on a stream of its own: while one is computed, the next is copied and "
           "started. Each takes memory for its activations. A CPU has one for each of its --threads.")
      ->check(CLI::Range(1, 16).description(""));
  group
      .Add("--threads", flags.load.threads, "N",
           "Threads that compute on a CPU: a batch alone is shared out to all of them, batches side by side have fewer "
           "each. 0: one for each core that the server may use, by its affinity and its control group's quota. Fewer "
           "leave room for other processes: two that fight for a core are both much slower.")
      ->check(CLI::Validator(CLI::NonNegativeNumber).description(""));
}

void AddListenFlags(CLI::App& app, Flags& flags) {
  Group group(app, "Network");
  group.Add("--listen", flags.server.listen, "HOST:PORT",
            "Address of the gRPC service; port 0 takes any free one. Without --token-file or --tls-client-ca whoever "
            "reaches it may use it.");
  group.Add(
      "--metrics-listen", flags.metrics_listen, "HOST:PORT|off",
      "Address for HTTP: Prometheus' /metrics, the probes /healthz and /readyz, and a page for people at /. Port 0 "
      "takes any free one, off: none.");
  group
      .Add("--max-message-bytes", flags.server.max_message_bytes, "N",
           "Largest request; larger ones are refused with RESOURCE_EXHAUSTED.")
      ->check(CLI::Range(1024, 1 << 30).description(""));
  group
      .Add("--health-timeout", flags.health_timeout_seconds, "SECONDS",
           "Where nothing was computed for 10 seconds, a text of one word goes through the model; if it takes longer "
           "than this, health says NOT_SERVING until one succeeds. Longer than the longest batch takes.")
      ->check(CLI::Validator(CLI::PositiveNumber).description(""));
  group
      .Add("--max-connection-age", flags.max_connection_age_seconds, "SECONDS",
           "After so many seconds (a tenth more or less) a connection is ended once its calls have, so that clients "
           "connect again and a load balancer finds new servers; 0: never.")
      ->check(CLI::Validator(CLI::NonNegativeNumber).description(""));
  group
      .Add("--drain-delay", flags.drain_delay_seconds, "SECONDS",
           "On SIGTERM, how many seconds calls are still accepted after health says NOT_SERVING: as long as load "
           "balancers take to see it.")
      ->check(CLI::Validator(CLI::NonNegativeNumber).description(""));
  group
      .Add("--drain-timeout", flags.drain_timeout_seconds, "SECONDS",
           "On SIGTERM, how many seconds calls under way may take to end before they are cancelled.")
      ->check(CLI::Validator(CLI::NonNegativeNumber).description(""));
}

void AddSecurityFlags(CLI::App& app, Flags& flags) {
  Group group(app, "Security");
  group.Add("--tls-cert", flags.server.tls.certificate, "FILE",
            "PEM file with the server's certificate, and those between it and the root behind it; empty: no TLS. "
            "Read again every 10 seconds: connections that are made after a renewal get the new one.");
  group.Add("--tls-key", flags.server.tls.key, "FILE", "PEM file with its private key, without a password.");
  group.Add("--tls-client-ca", flags.server.tls.client_ca, "FILE",
            "PEM file with the roots of the clients' certificates, which are then required (mutual TLS).");
  group.Add("--token-file", flags.token_file, "FILE",
            "File of bearer tokens, one a line: NAME TOKEN, or NAME TOKEN admin, who may also promote and delete "
            "selections. Calls without one are refused, but for health and reflection. Read again when it changes. "
            "Without TLS, tokens cross the network for everybody to read.");
}

void AddLimitFlags(CLI::App& app, Flags& flags) {
  Group group(app, "Batching and limits");
  group
      .Add("--batch-tokens", flags.engine.batch_tokens, "N",
           "Most tokens of one batch (a longer text goes alone). More use a GPU better; on a CPU they are not faster, "
           "and every request waits for the batch before it. 0: 512 on a CPU, 1024 on a GPU.")
      ->check(CLI::Range(0, 1 << 24).description(""));
  group
      .Add("--tokenizer-threads", flags.engine.tokenizer_threads, "N",
           "Threads that turn text into tokens. One keeps up with a model on a few cores; a fast GPU wants more.")
      ->check(CLI::Range(1, 256).description(""));
  group
      .Add("--max-texts", flags.limits.max_texts, "N",
           "Most texts of one request. They are cut into batches inside: a client need not know a batch size.")
      ->check(CLI::Range(1, 1 << 20).description(""));
  group.Add("--max-text-bytes", flags.limits.max_text_bytes, "N", "Most bytes of one text, whatever its truncation.")
      ->check(CLI::Range(1, 1 << 30).description(""));
  group
      .Add("--max-waiting-texts", flags.engine.max_waiting.texts, "N",
           "Most texts inside the server at once. Beyond, requests are refused at once (RESOURCE_EXHAUSTED) and "
           "streams are slowed down; streams have at most three quarters of it. More ride out longer bursts, at longer "
           "waits.")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 32).description(""));
  group
      .Add("--max-waiting-bytes", flags.engine.max_waiting.bytes, "N",
           "Most bytes of text inside the server at once; the same otherwise.")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40).description(""));
  group
      .Add("--cache-entries", flags.engine.cache_entries, "N",
           "Keep the last N vectors for texts that are asked for again, word for word: they are answered without the "
           "model, bit for bit the same. Each takes 4 bytes a dimension and some 300 more. Who may embed can tell by "
           "the time whether a text was asked for lately. 0: none.")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 32).description(""));
}

void AddSelectionFlags(CLI::App& app, Flags& flags) {
  Group group(app, "Scoring and selections");
  group.Add(
      "--selection-store", flags.selection_store, "URL",
      "Where selections are kept: none (none can be promoted: requests that name no layer get the last one, on every "
      "server alike), memory (this process alone), file:DIR (this machine), redis://HOST:PORT/DB or "
      "rediss://… (TLS; ?ca=FILE&password_file=FILE). Servers that must answer with the same layer share one.");
  group.Add("--selection-scope", flags.selection_scope, "NAME",
            "Keeps the selections of this name apart from others of the same model in the same store.");
  group.Add("--selection-required", flags.selections.required, "true|false",
            "Whether requests that name no layer are refused (UNAVAILABLE), and health says that this server is not "
            "ready, while the store could not be read since the start. false answers them with the last layer, perhaps "
            "another than other servers do.");
  group.Add("--trim-to-selection", flags.trim_to_selection, "true|false",
            "At the start, load no layer above that of the promoted selection, where there is one. Memory and the time "
            "to start fall with it; deeper layers cannot be asked for or scored, and after a deeper selection or none "
            "is promoted this server refuses requests without a layer until it is started again. Needs a store that "
            "lasts.");
  group.Add("--datasets", flags.score_limits.directory, "DIR",
            "Directory of data sets that ScoreLayers may name: NAME.jsonl, one Example in JSON a line. Empty: none.");
  group
      .Add("--max-score-runs", flags.score_limits.runs, "N",
           "Most runs of ScoreLayers at once; more are refused. They share what Embed leaves, and a tenth of the time.")
      ->check(CLI::Range(1, 64).description(""));
  group
      .Add("--max-score-examples", flags.score_limits.dataset.max_examples, "N",
           "Most examples of one data set, drawn from or not.")
      ->check(CLI::Range(int64_t{2}, int64_t{1} << 32).description(""));
  group
      .Add("--max-score-bytes", flags.scorer.max_bytes, "N",
           "Most memory that one run may take for vectors and buffers; a run that would take more is refused.")
      ->check(CLI::Range(uint64_t{1} << 20, uint64_t{1} << 40).description(""));
}

void AddLogFlags(CLI::App& app, Flags& flags) {
  Group group(app, "Log");
  group
      .Add("--log-level", flags.log_level, "debug|info|warn|error",
           "debug (a line for each request, never its text), info, warn or error.")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}).description(""));
  group.Add("--log-format", flags.log_format, "text|json", "text, or json: one object a line.")
      ->check(CLI::IsMember({"text", "json"}).description(""));
}

}  // namespace

std::string StateDirectory() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && state[0] == '/') return std::string(state) + "/midlayer";
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/') return std::string(home) + "/.local/state/midlayer";
  return (std::filesystem::temp_directory_path() / "midlayer").string();
}

std::optional<int> ParseFlags(int argc, char** argv, Flags* flags) {
  CLI::App app(
      "midlayer-server serves vectors from any layer of a transformer over gRPC (midlayer.v1, see proto/).\n"
      "Every flag can also be given by the environment variable named beside it; the command line wins.\n"
      "Exit codes: 0 ended by SIGTERM or SIGINT, 1 failed while serving, 2 wrong flags or a model that cannot be "
      "served.",
      "midlayer-server");
  app.set_version_flag("--version", std::string("midlayer ") + kVersion);
  app.formatter(std::make_shared<HelpFormatter>());
  std::string pooling, attention = "auto";
  AddModelFlags(app, *flags, pooling, attention);
  AddDeviceFlags(app, *flags);
  AddListenFlags(app, *flags);
  AddSecurityFlags(app, *flags);
  AddLimitFlags(app, *flags);
  AddSelectionFlags(app, *flags);
  AddLogFlags(app, *flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  if (flags->trim_to_selection && (flags->selection_store == "memory" || flags->selection_store == "none")) {
    std::fprintf(stderr, "--trim-to-selection: expected a --selection-store that lasts, found %s\n",
                 flags->selection_store.c_str());
    return kExitUsage;
  }
  if (flags->max_connection_age_seconds > 0) {
    flags->server.max_connection_age = absl::Seconds(flags->max_connection_age_seconds);
  }
  flags->load.overrides.default_pooling = ParsePooling(pooling);
  flags->load.overrides.bidirectional = attention == "bidirectional";
  flags->score_limits.dataset.max_text_bytes = flags->limits.max_text_bytes;
  return std::nullopt;
}

}  // namespace midlayer
