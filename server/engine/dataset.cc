#include "server/engine/dataset.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "server/base/random.h"
#include "server/base/status.h"
#include "server/base/utf8.h"

namespace midlayer {

namespace {

template <typename... Found>
absl::Status Invalid(uint64_t place, absl::string_view field, absl::string_view expected, const Found&... found) {
  return absl::InvalidArgumentError(
      absl::StrCat("examples[", place, "].", field, ": expected ", expected, ", found ", found...));
}

int64_t BytesOf(const Example& example) {
  size_t bytes =
      sizeof(Example) + example.text.size() + example.label.size() + example.paired_text.size() + example.id.size();
  for (const std::string& id : example.relevant_ids) bytes += sizeof(std::string) + id.size();
  return static_cast<int64_t>(bytes);
}

bool HasLabel(const Example& example) { return !example.label.empty(); }
bool HasScore(const Example& example) { return example.score.has_value(); }
bool HasRelevant(const Example& example) {
  return !example.relevant_ids.empty() || (!example.paired_text.empty() && !example.score.has_value());
}

}  // namespace

absl::Status DatasetBuilder::Check(const Example& example) const {
  const uint64_t place = examples_.size();
  if (example.text.empty()) return Invalid(place, "text", "some text", "none");
  const std::pair<const char*, const std::string*> fields[] = {
      {"text", &example.text}, {"label", &example.label}, {"paired_text", &example.paired_text}, {"id", &example.id}};
  for (const auto& [name, value] : fields) {
    size_t offset = 0;
    if (!IsUtf8(*value, &offset)) return Invalid(place, name, "UTF-8", "other bytes at ", offset);
    if (value->size() > static_cast<size_t>(limits_.max_text_bytes)) {
      return Invalid(place, name, absl::StrCat("at most ", limits_.max_text_bytes, " bytes"), value->size());
    }
  }
  if (example.score.has_value()) {
    if (!std::isfinite(*example.score)) return Invalid(place, "score", "a finite number", *example.score);
    if (example.paired_text.empty()) return Invalid(place, "paired_text", "the text that the score is of", "none");
  }
  if (example.passage) {
    const bool plain = example.label.empty() && example.paired_text.empty() && example.relevant_ids.empty();
    if (!plain) return Invalid(place, "passage", "no label, paired_text or relevant_ids on a passage", "some");
    if (!example.id.empty() && passage_ids_.contains(example.id)) {
      return Invalid(place, "id", "a name that no other passage has", "\"", example.id, "\" again");
    }
  } else if (!example.id.empty()) {
    return Invalid(place, "id", "none but on a passage", "\"", example.id, "\"");
  } else if (!example.relevant_ids.empty() && (!example.paired_text.empty() || example.score.has_value())) {
    return Invalid(place, "relevant_ids", "none beside paired_text or score", "some");
  }
  return absl::OkStatus();
}

// Lengths go before values, so that no two data sets look alike.
void DatasetBuilder::Digest(const Example& example) {
  const auto add = [this](absl::string_view name, const std::string& value) {
    if (!value.empty()) digest_.Update(absl::StrCat(name, value.size(), ":", value));
  };
  add("t", example.text);
  add("l", example.label);
  add("p", example.paired_text);
  if (example.score.has_value()) add("s", absl::StrFormat("%.17g", *example.score));
  add("i", example.id);
  for (const std::string& id : example.relevant_ids) add("r", id);
  digest_.Update(example.passage ? "P;" : ";");
}

absl::Status DatasetBuilder::Add(Example example) {
  MIDLAYER_RETURN_IF_ERROR(Check(example));
  bytes_ += BytesOf(example);
  if (static_cast<int64_t>(examples_.size()) >= limits_.max_examples || bytes_ > limits_.max_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("examples: expected at most ", limits_.max_examples, " of ",
                                                     limits_.max_bytes, " bytes in all, found more"));
  }
  Digest(example);
  if (example.passage && !example.id.empty()) passage_ids_.insert(example.id);
  examples_.push_back(std::move(example));
  return absl::OkStatus();
}

// Whether all examples that are no passages have what `has` looks for; some but not all is an error.
absl::StatusOr<bool> DatasetBuilder::AllOrNone(const char* field, bool (*has)(const Example&)) const {
  uint64_t with = 0, without = 0, first_without = 0;
  for (size_t i = 0; i < examples_.size(); ++i) {
    if (examples_[i].passage) continue;
    if (has(examples_[i])) {
      ++with;
    } else if (without++ == 0) {
      first_without = i;
    }
  }
  if (with > 0 && without > 0) {
    return Invalid(first_without, field, absl::StrCat("one, as ", with, " other examples have"), "none");
  }
  return with > 0;
}

absl::Status DatasetBuilder::CheckLabels() const {
  std::set<std::string> labels;
  for (const Example& example : examples_) {
    if (!example.passage) labels.insert(example.label);
  }
  if (labels.size() < 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("examples: label: expected 2 classes or more, found only \"", *labels.begin(), "\""));
  }
  if (labels.size() + 1 > examples_.size()) {
    return absl::InvalidArgumentError("examples: label: expected a class of 2 examples or more, found all different");
  }
  return absl::OkStatus();
}

absl::Status DatasetBuilder::CheckRelevant() const {
  for (size_t i = 0; i < examples_.size(); ++i) {
    for (const std::string& id : examples_[i].relevant_ids) {
      if (!passage_ids_.contains(id)) return Invalid(i, "relevant_ids", "names of passages", "\"", id, "\"");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Dataset> DatasetBuilder::Finish(int64_t sample_size, uint64_t seed) {
  if (examples_.size() < 2) {
    return absl::InvalidArgumentError(absl::StrCat("examples: expected 2 or more, found ", examples_.size()));
  }
  Dataset dataset;
  MIDLAYER_ASSIGN_OR_RETURN(dataset.labelled, AllOrNone("label", HasLabel));
  MIDLAYER_ASSIGN_OR_RETURN(dataset.scored, AllOrNone("score", HasScore));
  MIDLAYER_ASSIGN_OR_RETURN(dataset.retrieval, AllOrNone("relevant_ids", HasRelevant));
  if (dataset.labelled) MIDLAYER_RETURN_IF_ERROR(CheckLabels());
  if (dataset.retrieval) MIDLAYER_RETURN_IF_ERROR(CheckRelevant());
  const auto passages = std::count_if(examples_.begin(), examples_.end(), [](const Example& e) { return e.passage; });
  if (!dataset.retrieval && passages > 0 && static_cast<size_t>(passages) < examples_.size()) {
    return absl::InvalidArgumentError("examples: relevant_ids: expected some beside passages, found none");
  }
  dataset.received = examples_.size();
  dataset.digest = digest_.Finish();
  std::vector<size_t> chosen(examples_.size());
  for (size_t i = 0; i < chosen.size(); ++i) chosen[i] = i;
  if (!dataset.retrieval && static_cast<size_t>(sample_size) < chosen.size()) {
    chosen = Random(seed).Sample(examples_.size(), static_cast<size_t>(sample_size));
    std::sort(chosen.begin(), chosen.end());
  }
  for (const size_t i : chosen) {
    dataset.indices.push_back(i);
    dataset.examples.push_back(std::move(examples_[i]));
  }
  return dataset;
}

}  // namespace midlayer
