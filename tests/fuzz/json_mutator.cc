// Linked by a target whose inputs are JSON: half of the mutations then change a value and leave the rest JSON, which
// changes of bytes hardly ever do. An input may be several documents with a record separator (0x1E) between them.
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace midlayer::fuzz {
namespace {

using Json = nlohmann::ordered_json;
using Documents = std::vector<std::string>;

size_t Pick(std::mt19937& random, size_t count) { return random() % count; }

Documents Split(const uint8_t* data, size_t size) {
  return absl::StrSplit(absl::string_view(reinterpret_cast<const char*>(data), size), '\x1e');
}

Json Parse(const std::string& text) { return Json::parse(text, nullptr, /*allow_exceptions=*/false); }

// Appends all values in `json`, itself included.
void Collect(Json& json, std::vector<Json*>* values) {
  values->push_back(&json);
  if (!json.is_structured()) return;
  for (Json& value : json) Collect(value, values);
}

Json AnyValue(std::mt19937& random) {
  static const char* const kValues[] = {"null", "true",  "false",      "0",           "1",
                                        "2",    "-1",    "0.5",        "-0.0",        "1e-300",
                                        "3.5",  "1e300", "2147483648", "-2147483649", "9223372036854775808",
                                        "[]",   "{}",    "[{}]",       "\"\"",        "\"\\u0000\""};
  return Json::parse(kValues[Pick(random, std::size(kValues))]);
}

// Replaces a value by another one, or takes away a member of it.
void Change(Json& json, std::mt19937& random) {
  std::vector<Json*> values;
  Collect(json, &values);
  Json& changed = *values[Pick(random, values.size())];
  const size_t way = Pick(random, 4);
  if (way == 0 && changed.is_structured() && !changed.empty()) {
    const auto member = std::next(changed.begin(), static_cast<ptrdiff_t>(Pick(random, changed.size())));
    changed.erase(member);
  } else if (way == 1 && changed.is_number()) {
    changed = changed.is_number_float() ? Json(-changed.get<double>()) : Json(changed.get<int64_t>() / 2);
  } else if (way == 2) {
    changed = Json(*values[Pick(random, values.size())]);
  } else {
    changed = AnyValue(random);
  }
}

// Puts a member of an object of `from` into an object of `to`.
void Copy(Json& from, Json& to, std::mt19937& random) {
  std::vector<Json*> sources, targets;
  Collect(from, &sources);
  Collect(to, &targets);
  const auto no_members = [](const Json* json) { return !json->is_object() || json->empty(); };
  std::erase_if(sources, no_members);
  std::erase_if(targets, no_members);
  if (sources.empty() || targets.empty()) return;
  const Json& source = *sources[Pick(random, sources.size())];
  const auto member = std::next(source.begin(), static_cast<ptrdiff_t>(Pick(random, source.size())));
  (*targets[Pick(random, targets.size())])[member.key()] = Json(member.value());
}

// Writes the documents to `out`, if they fit; 0 where they do not.
size_t Put(const Documents& documents, uint8_t* out, size_t max_size) {
  const std::string joined = absl::StrJoin(documents, "\x1e");
  if (joined.size() > max_size) return 0;
  std::memcpy(out, joined.data(), joined.size());
  return joined.size();
}

}  // namespace
}  // namespace midlayer::fuzz

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  namespace fuzz = midlayer::fuzz;
  std::mt19937 random(seed);
  fuzz::Documents documents = fuzz::Split(data, size);
  std::string& document = documents[fuzz::Pick(random, documents.size())];
  fuzz::Json json = fuzz::Parse(document);
  if (json.is_discarded() || fuzz::Pick(random, 2) == 0) return LLVMFuzzerMutate(data, size, max_size);
  fuzz::Change(json, random);
  document = json.dump();
  const size_t written = fuzz::Put(documents, data, max_size);
  return written > 0 ? written : LLVMFuzzerMutate(data, size, max_size);
}

extern "C" size_t LLVMFuzzerCustomCrossOver(const uint8_t* data1, size_t size1, const uint8_t* data2, size_t size2,
                                            uint8_t* out, size_t max_out_size, unsigned int seed) {
  namespace fuzz = midlayer::fuzz;
  std::mt19937 random(seed);
  fuzz::Documents documents = fuzz::Split(data1, size1), others = fuzz::Split(data2, size2);
  const size_t place = fuzz::Pick(random, documents.size());
  fuzz::Json to = fuzz::Parse(documents[place]), from = fuzz::Parse(others[fuzz::Pick(random, others.size())]);
  if (to.is_discarded() || from.is_discarded()) return 0;
  fuzz::Copy(from, to, random);
  documents[place] = to.dump();
  return fuzz::Put(documents, out, max_out_size);
}
