// The client of a midlayer-server: embeddings from any layer of a transformer, scores of layers, selections.
//
//   midlayer::Client client("127.0.0.1:50051");
//   const absl::StatusOr<midlayer::Embeddings> e = client.Embed({"Hello, middle layers."}, {.layer = 3});
//   if (e.ok()) std::cout << e->row(0)[0] << '\n';
#ifndef MIDLAYER_CLIENT_H_
#define MIDLAYER_CLIENT_H_

#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "midlayer/client_options.h"
#include "midlayer/embedding.h"
#include "midlayer/scoring.h"
#include "midlayer/v1/embedding.pb.h"
#include "midlayer/v1/selection.pb.h"

namespace midlayer {

namespace internal {
class Connection;
}  // namespace internal

// The layers chosen for the model; the promoted one is what Embed uses where a call names no layer. A handle that is
// copied freely; it must not outlive its client. Thread-safe.
//
// Errors as those of Client, and UNAVAILABLE where the store cannot be reached.
class Selections {
 public:
  // All that are stored for this model, newest first.
  absl::StatusOr<std::vector<v1::Selection>> List(const CallOptions& call = {}) const;

  // One of them with its report, by its whole id. NOT_FOUND where there is none.
  absl::StatusOr<v1::GetSelectionResponse> Get(const std::string& id, const CallOptions& call = {}) const;

  // Makes one the default of Embed, on all servers that share the store. `id`: its whole id; "none": go back to none.
  // Not tried again by itself. FAILED_PRECONDITION where another than the expected one is promoted, the evidence is of
  // spectra alone, or the model has other weights than the one that was scored; NOT_FOUND where there is none of that
  // id.
  absl::StatusOr<v1::PromoteSelectionResponse> Promote(const std::string& id, const PromoteOptions& options = {},
                                                       const CallOptions& call = {}) const;

  // Removes one by its whole id, on all servers. FAILED_PRECONDITION where it is the promoted one.
  absl::Status Delete(const std::string& id, const CallOptions& call = {}) const;

 private:
  friend class Client;
  explicit Selections(internal::Connection* connection) : connection_(connection) {}

  internal::Connection* connection_;
};

// Calls one midlayer-server, or several behind one name, over one channel that connects by itself, and again where the
// connection broke. Calls block. Thread-safe: one client serves a whole program. Must outlive its calls.
//
// Messages of errors are one line: the server's own, which names the field, or what to do where no server was reached.
// Their codes, beside those that a call adds:
//   INVALID_ARGUMENT    an option or a text is out of its range
//   UNAVAILABLE         the server cannot be reached, went away, or shuts down; calls that only read have been tried
//                       ClientOptions::max_attempts times
//   DEADLINE_EXCEEDED   no answer within the timeout
//   CANCELLED           CallOptions::stop
//   RESOURCE_EXHAUSTED  the server is full, or the answer too large: try again later, or elsewhere
//   UNAUTHENTICATED, PERMISSION_DENIED  the server wants a token, or another one
//   INTERNAL, UNIMPLEMENTED  a defect, or a server that does not know the call
class Client {
 public:
  // Does not wait for the server. What is wrong with `options` is the error of every call (see status()).
  explicit Client(const ClientOptions& options = {});
  // A template, so that Client({.target = ...}) is the one above.
  explicit Client(const std::convertible_to<std::string> auto& target) : Client(ClientOptions{.target = target}) {}
  ~Client();
  // One that was moved from may only be destroyed, or assigned to.
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;

  // Whether the options can be used; errors as those of MakeChannel (midlayer/channel.h).
  const absl::Status& status() const;

  // The vectors of texts, in order; all or nothing. More than the server takes in one request are sent in several, of
  // at most GetModelResponse.max_texts texts and 1 MiB.
  //
  // FAILED_PRECONDITION: not the expected selection or fingerprint. ABORTED: a selection was promoted between two
  // requests of the call.
  absl::StatusOr<Embeddings> Embed(const std::vector<std::string>& texts, const EmbedOptions& options = {},
                                   const CallOptions& call = {});

  // The vectors of any number of texts, in order, in bounded memory: at most 16 messages and 16 MiB of texts are on the
  // way. Returns when all are answered.
  //
  // `next_text` gives the texts, and nothing at the end. It is called on this thread, between results: one that waits
  // holds up the results too, and must not wait for one. `on_result` gets a result for each message, whose `first` is
  // the place of its first text; an error that it returns ends the stream and is returned. Both are called on the
  // caller's thread.
  //
  // A message that fails is told to EmbedStreamOptions::on_error, with the places of its texts. A server that goes away
  // after it has answered may come back, or another in its place, within the timeout: what had no answer is then sent
  // again. Each result says which selection and model made it; they may change midway. The timeout is the longest wait
  // for one answer.
  absl::Status EmbedStream(const std::function<std::optional<std::string>()>& next_text,
                           const std::function<absl::Status(Embeddings)>& on_result,
                           const EmbedStreamOptions& options = {}, const CallOptions& call = {});

  // Scores every layer on a data set, and says which one is best and how sure that is. No examples with
  // ScoreOptions::dataset_name. `on_progress` (may be empty) is called on the caller's thread. The timeout is the
  // longest silence of the server. Not tried again by itself.
  //
  // FAILED_PRECONDITION: a promotion that is refused. NOT_FOUND: the server has no data set of that name.
  // RESOURCE_EXHAUSTED: the data set is larger than the server takes, or it has enough runs under way.
  absl::StatusOr<v1::ScoreReport> ScoreLayers(const std::vector<Example>& examples, const ScoreOptions& options = {},
                                              const std::function<void(const v1::ScoreProgress&)>& on_progress = {},
                                              const CallOptions& call = {});

  // The layers chosen for the model.
  Selections selections() const;

  // The model and the limits of the server.
  absl::StatusOr<v1::GetModelResponse> GetModel(const CallOptions& call = {});

  // Whether a service, "" for all of them, serves. NOT_FOUND where there is none. Not tried again: it asks for now.
  absl::StatusOr<ServingStatus> Health(const std::string& service = "", const CallOptions& call = {});

 private:
  std::unique_ptr<internal::Connection> connection_;
};

}  // namespace midlayer

#endif  // MIDLAYER_CLIENT_H_
