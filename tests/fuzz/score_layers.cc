// ScoreLayers: a stream of messages (each after its length, as protobuf delimits them) to a checked task, a data set
// and the plan of its passes. The first byte chooses the model.
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/delimited_message_util.h>

#include <algorithm>
#include <cmath>

#include "server/base/utf8.h"
#include "server/engine/score_plan.h"
#include "server/service/scoring_convert.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/model_info.h"

namespace midlayer {
namespace {

using absl::StatusCode;
using fuzz::Require;
using Messages = std::vector<v1::ScoreLayersRequest>;

constexpr DatasetBuilder::Limits kLimits = {.max_examples = 100, .max_bytes = 1 << 16, .max_text_bytes = 1000};

Messages Read(std::string_view bytes) {
  google::protobuf::io::ArrayInputStream stream(bytes.data(), static_cast<int>(bytes.size()));
  Messages messages;
  bool end = false;
  while (google::protobuf::util::ParseDelimitedFromZeroCopyStream(&messages.emplace_back(), &stream, &end)) {
  }
  messages.pop_back();
  return messages;
}

void CheckTask(const ScoreTask& task) {
  Require(!task.poolings.empty(), "a pooling");
  for (const Pooling pooling : task.poolings) Require(!IsTrained(pooling), "poolings that any layer has");
  Require(std::isfinite(task.entropy.alpha) && task.entropy.alpha > 0, "an order above 0");
  Require(task.sample_size > 0 && task.views >= 2 && task.views <= 64 && task.permutations >= 1, "numbers above 0");
  for (const Criterion::Term& term : task.criterion.terms) {
    Require(term.metric != nullptr && std::isfinite(term.weight) && term.weight > 0, "metrics with weights");
  }
  const absl::StatusOr<Criterion> again = ParseCriterion(task.criterion.text);
  Require(again.ok() && again->text == task.criterion.text, "a criterion that reads as it is spelled");
}

// Every row that a metric is of, and every one of those once among the passes.
void CheckPlan(const ScorePlan& plan) {
  std::vector<int64_t> kept;
  for (const Pass& pass : plan.passes) {
    Require(!pass.text.empty() && IsUtf8(pass.text, nullptr), "a text in each pass");
    if (pass.row >= 0) kept.push_back(pass.row);
  }
  std::sort(kept.begin(), kept.end());
  Require(static_cast<int64_t>(kept.size()) == plan.rows, "a pass for each row");
  for (size_t i = 0; i < kept.size(); ++i) Require(kept[i] == static_cast<int64_t>(i), "one pass for each row");
  const std::vector<int64_t>* const lists[] = {
      &plan.texts,       &plan.first_halves, &plan.second_halves, &plan.masked_first_halves, &plan.masked_second_halves,
      &plan.first_views, &plan.second_views, &plan.labelled,      &plan.pair_first,          &plan.pair_second,
      &plan.queries,     &plan.passages};
  for (const std::vector<int64_t>* list : lists) {
    for (const int64_t row : *list) Require(row >= 0 && row < plan.rows, "rows that there are");
  }
  Require(plan.labels.size() == plan.labelled.size() && plan.pair_scores.size() == plan.pair_first.size() &&
              plan.relevant.size() == plan.queries.size(),
          "what is known of each row");
  for (const std::vector<int64_t>& places : plan.relevant) {
    for (const int64_t place : places) {
      Require(place >= 0 && place < static_cast<int64_t>(plan.passages.size()), "passages that there are");
    }
  }
}

void CheckDataset(const ScoreTask& task, const Dataset& dataset) {
  Require(dataset.examples.size() == dataset.indices.size() && dataset.received >= 2, "a place for each example");
  Require(dataset.retrieval || static_cast<int64_t>(dataset.examples.size()) <= task.sample_size, "a sample");
  Require(std::is_sorted(dataset.indices.begin(), dataset.indices.end()), "the order of the input");
  const absl::StatusOr<ScorePlan> plan = MakePlan(task, dataset);
  if (plan.ok()) return CheckPlan(*plan);
  fuzz::RequireError(plan.status(), {StatusCode::kInvalidArgument}, "^options\\.(metrics|criterion): .*expected");
}

absl::StatusOr<ScoreTask> TaskOf(const Messages& messages, const ModelInfo& model) {
  for (const v1::ScoreLayersRequest& message : messages) {
    if (message.has_options()) return ToScoreTask(message.options(), model);
  }
  return ToScoreTask({}, model);
}

absl::StatusOr<Dataset> DatasetOf(const Messages& messages, const ScoreTask& task) {
  DatasetBuilder builder(kLimits);
  for (const v1::ScoreLayersRequest& message : messages) {
    if (message.has_options()) continue;
    MIDLAYER_RETURN_IF_ERROR(builder.Add(ToExample(message.example())));
  }
  return builder.Finish(task.sample_size, task.seed);
}

// The same messages, sent once more.
Messages SentAgain(const Messages& messages) {
  Messages again;
  for (const v1::ScoreLayersRequest& message : messages) {
    Require(again.emplace_back().ParseFromString(message.SerializeAsString()), "a message from its own bytes");
  }
  return again;
}

void Check(std::string_view bytes) {
  const ModelInfo model = fuzz::MakeModel(fuzz::TakeByte(bytes) % 16);
  const Messages messages = Read(bytes);
  const absl::StatusOr<ScoreTask> task = TaskOf(messages, model);
  if (!task.ok()) {
    return fuzz::RequireError(task.status(), {StatusCode::kInvalidArgument}, "^options\\.[a-z_]+: expected .+, found ");
  }
  CheckTask(*task);
  const absl::StatusOr<Dataset> dataset = DatasetOf(messages, *task);
  if (!dataset.ok()) {
    return fuzz::RequireError(dataset.status(), {StatusCode::kInvalidArgument, StatusCode::kResourceExhausted},
                              "^examples(\\[\\d+\\]\\.[a-z_]+|: label|: relevant_ids)?: expected .+, found ");
  }
  const Messages again = SentAgain(messages);
  Require(CacheKey(*TaskOf(again, model), *DatasetOf(again, *task), model) == CacheKey(*task, *dataset, model),
          "the same question from the same messages");
  CheckDataset(*task, *dataset);
}

}  // namespace
}  // namespace midlayer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  midlayer::Check(midlayer::fuzz::View(data, size));
  return 0;
}
