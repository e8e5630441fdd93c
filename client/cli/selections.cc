#include "client/cli/selections.h"

#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/json.h"
#include "client/cli/names.h"
#include "client/cli/report_words.h"
#include "midlayer/v1/selection.grpc.pb.h"
#include "server/base/status.h"
#include "server/base/text_width.h"

namespace midlayer::cli {
namespace {

constexpr size_t kIdShown = 12;
constexpr size_t kCriterionShown = 24;
constexpr char kNone[] = "none";

std::string Describe(const v1::Selection& selection) {
  const std::string pooling =
      selection.pooling() == v1::POOLING_UNSPECIFIED ? "" : absl::StrCat(" ", PoolingName(selection.pooling()));
  return absl::StrCat("layer ", selection.layer(), pooling, " by ", Printable(selection.criterion()), ", id ",
                      Printable(selection.id()));
}

std::string FormatList(const v1::ListSelectionsResponse& list) {
  if (list.selections().empty()) return "no selections: midlayer score makes them\n";
  std::string text = absl::StrCat("  id            layer  pooling        evidence        confidence  ",
                                  PadRight("criterion", kCriterionShown), "  stored\n");
  for (const v1::Selection& selection : list.selections()) {
    const std::string id = Printable(selection.id()).substr(0, kIdShown);
    absl::StrAppend(
        &text, selection.promoted() ? "> " : "  ", PadRight(id, kIdShown), "  ",
        PadLeft(absl::StrCat(selection.layer()), 5), "  ",
        PadRight(selection.pooling() == v1::POOLING_UNSPECIFIED ? "–" : PoolingName(selection.pooling()), 13), "  ",
        PadRight(EvidenceName(selection.evidence()), 14), "  ", PadRight(ConfidenceName(selection.confidence()), 10),
        "  ", PadRight(Cut(Printable(selection.criterion()), kCriterionShown), kCriterionShown), "  ",
        FormatTime(selection.created_unix_seconds()).substr(0, 10), "\n");
  }
  return text + "> is what Embed uses where a request names no layer\n";
}

class Selections {
 public:
  Selections(const SelectionsOptions& options, Connection* connection, const Console& console)
      : options_(options),
        connection_(connection),
        console_(console),
        stub_(v1::SelectionService::NewStub(connection->channel())) {}

  absl::Status Run() {
    switch (options_.action) {
      case SelectionsAction::kList:
        return PrintList();
      case SelectionsAction::kShow:
        return Show();
      case SelectionsAction::kPromote:
        return Promote();
      case SelectionsAction::kDelete:
        return Delete();
    }
    return absl::InternalError("no such action");
  }

 private:
  absl::Status Print(const std::string& text, const google::protobuf::Message& message) {
    *console_.out << (options_.output.json ? ToJson(message) : text) << std::flush;
    return console_.out->good() ? absl::OkStatus() : absl::UnknownError("cannot write the output");
  }

  absl::StatusOr<v1::ListSelectionsResponse> List() {
    v1::ListSelectionsResponse list;
    MIDLAYER_RETURN_IF_ERROR(connection_->Call([&](grpc::ClientContext* context) {
      return stub_->ListSelections(context, v1::ListSelectionsRequest(), &list);
    }));
    return list;
  }

  // The stored id that begins with `prefix`. What is found nowhere stays as it is: the server's error tells of it.
  absl::StatusOr<std::string> CompleteId(const std::string& prefix) {
    if (prefix == kNone) return std::string();
    if (prefix.size() < kMinIdPrefix) {
      return absl::InvalidArgumentError(
          absl::StrCat("id: expected at least ", kMinIdPrefix, " characters of it, found \"", prefix, "\""));
    }
    MIDLAYER_ASSIGN_OR_RETURN(const v1::ListSelectionsResponse list, List());
    std::vector<std::string> found;
    for (const v1::Selection& selection : list.selections()) {
      if (selection.id() == prefix) return prefix;
      if (selection.id().starts_with(prefix)) found.push_back(selection.id());
    }
    if (found.size() > 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("id: \"", prefix, "\" is the beginning of ", found.size(), " selections: write more of it"));
    }
    return found.empty() ? prefix : found[0];
  }

  absl::Status PrintList() {
    MIDLAYER_ASSIGN_OR_RETURN(const v1::ListSelectionsResponse list, List());
    return Print(FormatList(list), list);
  }

  absl::StatusOr<v1::GetSelectionResponse> Get() {
    MIDLAYER_RETURN_IF_ERROR(CheckOutput(options_.output));
    v1::GetSelectionRequest request;
    MIDLAYER_ASSIGN_OR_RETURN(*request.mutable_id(), CompleteId(options_.id));
    v1::GetSelectionResponse response;
    MIDLAYER_RETURN_IF_ERROR(connection_->Call(
        [&](grpc::ClientContext* context) { return stub_->GetSelection(context, request, &response); }));
    return response;
  }

  absl::Status Show() {
    MIDLAYER_ASSIGN_OR_RETURN(const v1::GetSelectionResponse response, Get());
    v1::ScoreReport report = response.report();
    *report.mutable_selection() = response.selection();  // the report does not know what was promoted since
    return WriteReport(report, options_.output, console_);
  }

  absl::Status Promote() {
    v1::PromoteSelectionRequest request;
    MIDLAYER_ASSIGN_OR_RETURN(*request.mutable_id(), CompleteId(options_.id));
    if (options_.expected_id.has_value()) {
      MIDLAYER_ASSIGN_OR_RETURN(*request.mutable_expected_current_id(), CompleteId(*options_.expected_id));
    }
    request.set_force(options_.force);
    v1::PromoteSelectionResponse response;
    MIDLAYER_RETURN_IF_ERROR(connection_->Call(
        [&](grpc::ClientContext* context) { return stub_->PromoteSelection(context, request, &response); }));
    const std::string now = response.has_selection() ? absl::StrCat("promoted ", Describe(response.selection()))
                                                     : "no selection is promoted any more";
    const std::string before = response.previous_id().empty() ? kNone : Printable(response.previous_id());
    return Print(absl::StrCat(now, "\nbefore: ", before, "\n"), response);
  }

  absl::Status Delete() {
    v1::DeleteSelectionRequest request;
    MIDLAYER_ASSIGN_OR_RETURN(*request.mutable_id(), CompleteId(options_.id));
    if (!options_.yes) {
      return absl::AbortedError(
          absl::StrCat("this would delete ", Printable(request.id()), " for all replicas: repeat it with --yes"));
    }
    v1::DeleteSelectionResponse response;
    MIDLAYER_RETURN_IF_ERROR(connection_->Call(
        [&](grpc::ClientContext* context) { return stub_->DeleteSelection(context, request, &response); }));
    return Print(absl::StrCat("deleted ", Printable(request.id()), "\n"), response);
  }

  const SelectionsOptions& options_;
  Connection* const connection_;
  const Console& console_;
  const std::unique_ptr<v1::SelectionService::Stub> stub_;
};

}  // namespace

int RunSelections(const SelectionsOptions& options, const Console& console) {
  const absl::StatusOr<std::unique_ptr<Connection>> connection = Connection::Open(options.connection);
  const absl::Status status =
      connection.ok() ? Selections(options, connection->get(), console).Run() : connection.status();
  if (!status.ok()) *console.err << "midlayer: " << status.message() << std::endl;
  return ExitCodeOf(status);
}

}  // namespace midlayer::cli
