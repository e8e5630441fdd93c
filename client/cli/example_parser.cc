#include "client/cli/example_parser.h"

#include <cmath>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "server/base/status.h"

namespace midlayer::cli {
namespace {

using nlohmann::json;
using Names = std::initializer_list<const char*>;

constexpr Names kTextNames = {"text", "text_a", "sentence1", "sentence", "query", "anchor"};
constexpr Names kLabelNames = {"label", "class", "category"};
constexpr Names kPairNames = {"paired_text", "text_b", "sentence2", "positive", "passage"};
constexpr Names kScoreNames = {"score", "similarity"};
constexpr Names kIdNames = {"id", "_id"};
constexpr Names kRelevantNames = {"relevant", "relevant_ids"};
constexpr char kPassage[] = "passage";

constexpr double kLargestWholeDouble = 9007199254740992.0;  // 2^53

// A field that is given: its name in the file, and its value.
struct Field {
  std::string name;
  const json* value = nullptr;
};

absl::Status WrongField(const Field& field, absl::string_view expected) {
  const std::string found = field.value->is_string()
                                ? absl::StrCat("\"", field.value->get_ref<const std::string&>(), "\"")
                                : std::string(field.value->type_name());
  return absl::InvalidArgumentError(
      absl::StrCat("field \"", field.name, "\": expected ", expected, ", found ", found.substr(0, 60)));
}

bool IsGiven(const json& value) {
  return !value.is_null() && !(value.is_string() && value.get_ref<const std::string&>().empty());
}

// Whether `value` is the flag that a field "passage" may be; else such a field is a paired text.
std::optional<bool> AsFlag(const json& value, bool has_strings_only) {
  if (value.is_boolean()) return value.get<bool>();
  if (!has_strings_only) return std::nullopt;
  const std::string word = absl::AsciiStrToLower(value.get_ref<const std::string&>());
  if (word == "true" || word == "1") return true;
  if (word == "false" || word == "0") return false;
  return std::nullopt;
}

class Parser {
 public:
  Parser(const json& record, const FieldNames& names, RecordKind kind)
      : record_(record), names_(names), has_strings_only_(kind.has_strings_only) {
    example_.set_passage(kind.is_passage);
  }

  absl::StatusOr<v1::Example> Parse() {
    MIDLAYER_RETURN_IF_ERROR(ParseTexts());
    MIDLAYER_RETURN_IF_ERROR(ParseLabel());
    MIDLAYER_RETURN_IF_ERROR(ParseScore());
    MIDLAYER_RETURN_IF_ERROR(ParsePassage());
    MIDLAYER_RETURN_IF_ERROR(ParseRelevant());
    return std::move(example_);
  }

 private:
  // The field that goes by `chosen`, or where that is empty by one of the `known` names; no value where none is given.
  Field Find(const std::string& chosen, Names known) const {
    const std::vector<std::string> names =
        chosen.empty() ? std::vector<std::string>(known.begin(), known.end()) : std::vector<std::string>{chosen};
    for (const std::string& name : names) {
      const auto found = record_.find(name);
      if (found != record_.end() && IsGiven(*found)) return {name, &*found};
    }
    return {};
  }

  absl::Status MissingText() const {
    std::vector<std::string> found;
    for (const auto& [name, unused] : record_.items()) found.push_back(name);
    const std::string expected =
        names_.text.empty() ? absl::StrCat("one of ", absl::StrJoin(kTextNames, ", "), ", or --text-field=NAME")
                            : absl::StrCat("\"", names_.text, "\"");
    return absl::InvalidArgumentError(
        absl::StrCat("no text: expected the field ", expected, "; found ",
                     found.empty() ? "no field" : absl::StrJoin(found, ", ").substr(0, 200)));
  }

  absl::Status ParseTexts() {
    const Field text = Find(names_.text, kTextNames);
    if (text.value == nullptr) return MissingText();
    if (!text.value->is_string()) return WrongField(text, "a string");
    example_.set_text(text.value->get_ref<const std::string&>());
    const Field pair = Find(names_.paired_text, kPairNames);
    if (pair.value == nullptr || (pair.name == kPassage && AsFlag(*pair.value, has_strings_only_))) {
      return absl::OkStatus();
    }
    if (!pair.value->is_string()) return WrongField(pair, "a string");
    example_.set_paired_text(pair.value->get_ref<const std::string&>());
    return absl::OkStatus();
  }

  // A label or an id: a string, or a number that becomes one.
  absl::StatusOr<std::string> Word(const Field& field) const {
    const json& value = *field.value;
    if (value.is_string()) return value.get_ref<const std::string&>();
    if (!value.is_number()) return WrongField(field, "a string or a number");
    const auto number = value.get<double>();
    if (value.is_number_float() && number == std::floor(number) && std::abs(number) < kLargestWholeDouble) {
      return absl::StrCat(static_cast<int64_t>(number));
    }
    return value.dump();
  }

  absl::Status ParseLabel() {
    const Field label = Find(names_.label, kLabelNames);
    if (label.value == nullptr) return absl::OkStatus();
    MIDLAYER_ASSIGN_OR_RETURN(*example_.mutable_label(), Word(label));
    return absl::OkStatus();
  }

  absl::Status ParseScore() {
    const Field score = Find(names_.score, kScoreNames);
    if (score.value == nullptr) return absl::OkStatus();
    double number = NAN;
    if (score.value->is_number()) {
      number = score.value->get<double>();
    } else if (has_strings_only_ && !absl::SimpleAtod(score.value->get_ref<const std::string&>(), &number)) {
      number = NAN;
    }
    if (!std::isfinite(number)) return WrongField(score, "a finite number");
    example_.set_score(number);
    return absl::OkStatus();
  }

  absl::Status ParsePassage() {
    const auto flag = record_.find(kPassage);
    if (flag != record_.end() && IsGiven(*flag) && AsFlag(*flag, has_strings_only_).value_or(false)) {
      example_.set_passage(true);
    }
    const Field id = Find(names_.id, kIdNames);
    if (id.value == nullptr || !example_.passage()) return absl::OkStatus();
    MIDLAYER_ASSIGN_OR_RETURN(*example_.mutable_id(), Word(id));
    return absl::OkStatus();
  }

  absl::Status ParseRelevant() {
    const Field relevant = Find(names_.relevant, kRelevantNames);
    if (relevant.value == nullptr) return absl::OkStatus();
    if (has_strings_only_) {
      for (const absl::string_view id :
           absl::StrSplit(relevant.value->get_ref<const std::string&>(), ';', absl::SkipWhitespace())) {
        example_.add_relevant_ids(std::string(absl::StripAsciiWhitespace(id)));
      }
      return absl::OkStatus();
    }
    const json list = relevant.value->is_array() ? *relevant.value : json::array({*relevant.value});
    for (const json& id : list) {
      MIDLAYER_ASSIGN_OR_RETURN(*example_.add_relevant_ids(), Word({relevant.name, &id}));
    }
    return absl::OkStatus();
  }

  const json& record_;
  const FieldNames& names_;
  const bool has_strings_only_;
  v1::Example example_;
};

}  // namespace

std::string KnownNames() {
  return absl::StrCat("  text          ", absl::StrJoin(kTextNames, ", "), "\n  label         ",
                      absl::StrJoin(kLabelNames, ", "), "\n  paired text   ", absl::StrJoin(kPairNames, ", "),
                      "\n  score         ", absl::StrJoin(kScoreNames, ", "), "\n  id            ",
                      absl::StrJoin(kIdNames, ", "), "\n  relevant ids  ", absl::StrJoin(kRelevantNames, ", "),
                      "\n  passage       true for a passage to be found: no query of its own");
}

absl::StatusOr<v1::Example> ParseExample(const nlohmann::json& record, const FieldNames& names, RecordKind kind) {
  return Parser(record, names, kind).Parse();
}

}  // namespace midlayer::cli
