// Texts in, answers out, in order, with a bounded number of messages on the way.
//
// Flow: a feeder thread reads texts, packs them into messages and writes them to one EmbedStream call; the caller's
// thread takes the answers. The feeder waits while kMaxMessages or kMaxBytes are unanswered, so memory stays bounded
// whatever the size of the input, and the server always has work ahead.
#ifndef MIDLAYER_CLIENT_CLI_EMBED_PIPELINE_H_
#define MIDLAYER_CLIENT_CLI_EMBED_PIPELINE_H_

#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "client/cli/connection.h"
#include "client/cli/text_source.h"
#include "midlayer/v1/embedding.pb.h"

namespace midlayer::cli {

// Some texts, in the order of the input, with what the server answered to those of them that are good.
struct AnsweredTexts {
  std::vector<SourceText> texts;
  double position = 0;  // TextSource::position() after the last of them
  // One embedding for each text whose status is OK; or an error for all of those.
  v1::EmbedStreamResponse answer;
};

// One run over one source. Used by one thread.
class EmbedPipeline {
 public:
  // Starts at once. `request` is the message without its texts. At most `batch` (>= 1) texts and about 1 MiB a message;
  // a message also goes out, smaller, when the input has no more just now. `connection` must outlive the pipeline.
  EmbedPipeline(Connection* connection, const v1::EmbedRequest& request, std::unique_ptr<TextSource> source, int batch);

  // Ends the call and the feeder. A feeder that waits for input cannot be ended: it is left alone, and with it the
  // source stays until the program ends.
  ~EmbedPipeline();

  EmbedPipeline(const EmbedPipeline&) = delete;
  EmbedPipeline& operator=(const EmbedPipeline&) = delete;

  // The next answered texts. Nothing at the end: then status() tells whether it is a good one.
  std::optional<AnsweredTexts> Next();

  // How the call ended, once Next() gave nothing; errors as in Connection.
  const absl::Status& status() const { return status_; }

 private:
  struct Shared;

  // Ends the call: keeps the feeder from writing, and fetches its status.
  void FinishCall();

  Connection* connection_;
  std::shared_ptr<Shared> shared_;
  std::optional<CallGuard> guard_;
  std::thread feeder_;
  bool is_finished_ = false;
  absl::Status status_;
};

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_EMBED_PIPELINE_H_
