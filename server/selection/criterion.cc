#include "server/selection/criterion.h"

#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "server/base/status.h"

namespace midlayer {

namespace {

absl::Status Unknown(std::string_view found) {
  const std::string names =
      absl::StrJoin(AllMetrics(), ", ", [](std::string* out, const Metric& m) { out->append(m.name); });
  return absl::InvalidArgumentError(
      absl::StrCat("options.criterion: expected auto, valley, or METRIC[:min|:max][=WEIGHT] with a METRIC of ", names,
                   ", found ", ToAbsl(found)));
}

absl::StatusOr<Criterion::Term> ParseTerm(std::string_view text) {
  Criterion::Term term;
  std::string_view name = text;
  if (const size_t equals = name.find('='); equals != std::string_view::npos) {
    const std::string_view weight = name.substr(equals + 1);
    if (!absl::SimpleAtod(ToAbsl(weight), &term.weight) || !std::isfinite(term.weight) || term.weight <= 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("options.criterion: expected a weight above 0 behind =, found ", ToAbsl(text)));
    }
    name = name.substr(0, equals);
  }
  const size_t colon = name.find(':');
  term.metric = FindMetric(name.substr(0, colon));
  if (term.metric == nullptr) return Unknown(text);
  term.direction = term.metric->direction();
  if (colon == std::string_view::npos) return term;
  const std::string_view direction = name.substr(colon + 1);
  if (direction != "min" && direction != "max") {
    return absl::InvalidArgumentError(
        absl::StrCat("options.criterion: expected min or max behind :, found ", ToAbsl(text)));
  }
  term.direction = direction == "min" ? Direction::kMin : Direction::kMax;
  return term;
}

}  // namespace

absl::StatusOr<Criterion> ParseCriterion(std::string_view text) {
  Criterion criterion;
  if (text.empty() || text == "auto" || text == "valley") {
    criterion.text = text.empty() ? "auto" : text;
    return criterion;
  }
  std::vector<std::string> spelled;
  for (const absl::string_view part : absl::StrSplit(ToAbsl(text), ',')) {
    MIDLAYER_ASSIGN_OR_RETURN(const Criterion::Term term, ParseTerm(std::string_view(part.data(), part.size())));
    for (const Criterion::Term& other : criterion.terms) {
      if (other.metric == term.metric) {
        return absl::InvalidArgumentError(
            absl::StrCat("options.criterion: expected each metric once, found ", ToAbsl(term.metric->name), " twice"));
      }
    }
    spelled.push_back(absl::StrCat(ToAbsl(term.metric->name), term.direction == Direction::kMin ? ":min" : ":max"));
    if (term.weight != 1) absl::StrAppend(&spelled.back(), "=", term.weight);
    criterion.terms.push_back(term);
  }
  criterion.text = absl::StrJoin(spelled, ",");
  return criterion;
}

Direction DirectionOf(const Metric& metric, const Criterion& criterion) {
  for (const Criterion::Term& term : criterion.terms) {
    if (term.metric == &metric) return term.direction;
  }
  return metric.direction();
}

}  // namespace midlayer
