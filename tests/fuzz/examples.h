// Examples as lines of JSON, which client and server both read.
#ifndef MIDLAYER_TESTS_FUZZ_EXAMPLES_H_
#define MIDLAYER_TESTS_FUZZ_EXAMPLES_H_

#include <nlohmann/json.hpp>
#include <string>

#include "midlayer/v1/scoring.pb.h"

namespace midlayer::fuzz {

inline std::string JsonLine(const v1::Example& example) {
  nlohmann::json line = {{"text", example.text()}, {"passage", example.passage()}};
  if (!example.label().empty()) line["label"] = example.label();
  if (!example.paired_text().empty()) line["paired_text"] = example.paired_text();
  if (example.has_score()) line["score"] = example.score();
  if (!example.id().empty()) line["id"] = example.id();
  for (const std::string& id : example.relevant_ids()) line["relevant_ids"].push_back(id);
  return line.dump() + "\n";
}

}  // namespace midlayer::fuzz

#endif  // MIDLAYER_TESTS_FUZZ_EXAMPLES_H_
