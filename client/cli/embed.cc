#include "client/cli/embed.h"

#include <memory>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/cli/embed_pipeline.h"
#include "client/cli/input_file.h"
#include "client/cli/progress.h"
#include "server/base/status.h"
#include "server/base/text_width.h"

namespace midlayer::cli {
namespace {

constexpr int kProgressAfterMessages = 2;

// Whether the whole request is at fault, and not a text of it: then no other text would fare better. Errors name the
// field first ("layer: expected …"), which the wire promises.
bool IsAboutRequest(const v1::Error& error) {
  switch (static_cast<grpc::StatusCode>(error.code())) {
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::UNIMPLEMENTED:
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED:
      return true;
    default:
      break;
  }
  const std::string field = error.message().substr(0, error.message().find_first_of(":[. "));
  return field != "texts" && v1::EmbedRequest::descriptor()->FindFieldByName(field) != nullptr;
}

// Where the texts come from. NOT_FOUND where the file cannot be read.
absl::StatusOr<std::unique_ptr<TextSource>> OpenSource(const EmbedOptions& options, const Console& console) {
  const bool is_stdin = options.input == "-" || (options.texts.size() == 1 && options.texts[0] == "-");
  if (options.input.empty() && !is_stdin) return TextsFromArguments(options.texts);
  const bool is_named_json = options.input.ends_with(".jsonl") || options.input.ends_with(".ndjson");
  const InputFormat format =
      options.input_format.value_or(is_named_json ? InputFormat::kJsonLines : InputFormat::kText);
  MIDLAYER_ASSIGN_OR_RETURN(InputFile input, OpenInput(is_stdin ? "-" : options.input, console));
  return TextsFromLines(std::move(input.in), format, input.bytes);
}

class EmbedRun {
 public:
  EmbedRun(const EmbedOptions& options, Connection* connection, const Console& console);

  int Run(std::unique_ptr<TextSource> source);

 private:
  absl::Status Process(std::unique_ptr<TextSource> source, int batch);
  absl::Status Handle(AnsweredTexts answered);
  absl::Status HandleError(AnsweredTexts answered, int good_texts);
  absl::Status WriteRow(const SourceText& text, const v1::EmbedResponse& response, int index);
  void Report(const SourceText& text, absl::string_view message);
  void Say(absl::string_view message);

  const int batch_;
  const absl::string_view place_;  // what SourceText::line counts
  Connection* connection_;
  const Console& console_;
  v1::EmbedRequest request_;
  std::unique_ptr<RowWriter> writer_;
  Progress progress_;
  ProgressState progress_state_;
  int64_t messages_ = 0;
  int64_t texts_ = 0;
  int64_t failed_ = 0;
  int64_t last_line_ = 0;
};

EmbedRun::EmbedRun(const EmbedOptions& options, Connection* connection, const Console& console)
    : batch_(options.batch),
      place_(options.input.empty() && options.texts != std::vector<std::string>{"-"} ? "text" : "line"),
      connection_(connection),
      console_(console),
      request_(MakeRequest(options.text)),
      writer_(MakeWriter(options.format, console.out, console.out_is_seekable)),
      progress_(console.err, console.show_progress) {
  SetOutput(options.output, &request_);
}

void EmbedRun::Say(absl::string_view message) {
  progress_.Clear();
  *console_.err << "midlayer: " << message << std::endl;
}

void EmbedRun::Report(const SourceText& text, absl::string_view message) {
  ++failed_;
  Say(absl::StrCat(place_, " ", text.line, ": ", message));
}

absl::Status EmbedRun::WriteRow(const SourceText& text, const v1::EmbedResponse& response, int index) {
  const v1::Embedding& embedding = response.embeddings(index);
  if (embedding.vectors_size() != 1) return absl::InternalError("the server did not send one vector for a text");
  const auto& values = embedding.vectors(0).values();
  return writer_->Write({.text = text.text,
                         .tokens = embedding.tokens(),
                         .truncated = embedding.truncated(),
                         .output = &response.outputs(0),
                         .values = {values.data(), static_cast<size_t>(values.size())}});
}

// One message failed as a whole. Its texts are tried one by one, so that only the bad ones are lost; over a stream
// again, as a stream is slowed down where single calls would be refused.
absl::Status EmbedRun::HandleError(AnsweredTexts answered, int good_texts) {
  const v1::Error& error = answered.answer.error();
  if (IsAboutRequest(error)) {
    return absl::Status(static_cast<absl::StatusCode>(error.code()), Printable(error.message()));
  }
  if (good_texts > 1) return Process(TextsAgain(std::move(answered.texts)), 1);
  for (const SourceText& text : answered.texts) {
    ++texts_;
    last_line_ = text.line;
    const std::string message = Printable(text.status.ok() ? error.message() : std::string(text.status.message()));
    Report(text, absl::StripPrefix(message, "texts[0]: "));
  }
  return absl::OkStatus();
}

absl::Status EmbedRun::Handle(AnsweredTexts answered) {
  int good_texts = 0;
  for (const SourceText& text : answered.texts) good_texts += text.status.ok() ? 1 : 0;
  if (answered.answer.has_error()) return HandleError(std::move(answered), good_texts);
  const v1::EmbedResponse& response = answered.answer.response();
  if (good_texts > 0 && (response.embeddings_size() != good_texts || response.outputs_size() != 1)) {
    return absl::InternalError(absl::StrCat("the server sent ", response.embeddings_size(), " embeddings of ",
                                            response.outputs_size(), " outputs for ", good_texts, " texts"));
  }
  int index = 0;
  for (const SourceText& text : answered.texts) {
    if (text.status.ok()) {
      MIDLAYER_RETURN_IF_ERROR(WriteRow(text, response, index++));
    } else {
      Report(text, text.status.message());
    }
    ++texts_;
    last_line_ = text.line;
  }
  return absl::OkStatus();
}

absl::Status EmbedRun::Process(std::unique_ptr<TextSource> source, int batch) {
  const double total = source->total();
  EmbedPipeline pipeline(connection_, request_, std::move(source), batch);
  while (std::optional<AnsweredTexts> answered = pipeline.Next()) {
    const double position = answered->position;
    MIDLAYER_RETURN_IF_ERROR(Handle(*std::move(answered)));
    console_.out->flush();
    progress_state_.texts = texts_;
    // A retry, of one text a message, happens inside of one message of the whole: it moves only the count of texts.
    if (batch == batch_) {
      progress_state_.position = position;
      progress_state_.total = total;
      ++messages_;
    }
    if (messages_ > kProgressAfterMessages) progress_.Update(progress_state_);
  }
  return pipeline.status();
}

int EmbedRun::Run(std::unique_ptr<TextSource> source) {
  absl::Status status = Process(std::move(source), batch_);
  progress_.Clear();
  const bool has_rows = texts_ > failed_;
  if (has_rows || (status.ok() && failed_ == 0)) status.Update(writer_->Finish());
  if (!status.ok()) {
    const std::string last =
        last_line_ > 0 ? absl::StrCat(" (the last one done is ", place_, " ", last_line_, ")") : std::string();
    Say(absl::StrCat(status.message(), last));
    return ExitCodeOf(status);
  }
  if (failed_ == 0) return kExitOk;
  if (texts_ > 1) Say(absl::StrCat(failed_, " of ", texts_, " texts failed"));
  return kExitFailed;
}

}  // namespace

int RunEmbed(const EmbedOptions& options, const Console& console) {
  absl::StatusOr<std::unique_ptr<TextSource>> source = OpenSource(options, console);
  absl::StatusOr<std::unique_ptr<Connection>> connection =
      source.ok() ? Connection::Open(options.connection) : absl::StatusOr<std::unique_ptr<Connection>>(source.status());
  if (!connection.ok()) {
    *console.err << "midlayer: " << connection.status().message() << std::endl;
    return ExitCodeOf(connection.status());
  }
  return EmbedRun(options, connection->get(), console).Run(*std::move(source));
}

}  // namespace midlayer::cli
