#include "midlayer/words.h"

#include <google/protobuf/generated_enum_reflection.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace midlayer {
namespace {

// The name of a value without the prefix of its enumeration, in small letters.
template <typename Wire>
std::string Word(int number, size_t prefix) {
  if (number == 0) return "default";
  const auto* value = google::protobuf::GetEnumDescriptor<Wire>()->FindValueByNumber(number);
  if (value == nullptr) return absl::StrCat("value ", number);
  return absl::AsciiStrToLower(value->name().substr(prefix));
}

}  // namespace

static_assert(static_cast<int>(Pooling::kTrainedMulti) == v1::POOLING_TRAINED_MULTI);
static_assert(static_cast<int>(State::kNormed) == v1::STATE_NORMED);
static_assert(static_cast<int>(Fusion::kWeightedSum) == v1::FUSION_WEIGHTED_SUM);
static_assert(static_cast<int>(Truncate::kRight) == v1::TRUNCATE_RIGHT);
static_assert(static_cast<int>(VectorFormat::kBinary) == v1::VECTOR_FORMAT_BINARY);
static_assert(static_cast<int>(Priority::kBulk) == v1::PRIORITY_BULK);
static_assert(static_cast<int>(LayerSource::kDefault) == v1::LAYER_SOURCE_DEFAULT);

std::string WordOf(v1::Pooling pooling) { return Word<v1::Pooling>(pooling, sizeof("POOLING")); }
std::string WordOf(v1::State state) { return Word<v1::State>(state, sizeof("STATE")); }
std::string WordOf(v1::Evidence evidence) { return Word<v1::Evidence>(evidence, sizeof("EVIDENCE")); }
std::string WordOf(v1::Confidence confidence) { return Word<v1::Confidence>(confidence, sizeof("CONFIDENCE")); }

std::string WordOf(Pooling pooling) { return WordOf(static_cast<v1::Pooling>(pooling)); }
std::string WordOf(State state) { return WordOf(static_cast<v1::State>(state)); }
std::string WordOf(Fusion fusion) { return Word<v1::Fusion>(static_cast<int>(fusion), sizeof("FUSION")); }
std::string WordOf(LayerSource source) {
  return Word<v1::LayerSource>(static_cast<int>(source), sizeof("LAYER_SOURCE"));
}

std::string WordOf(ServingStatus status) {
  switch (status) {
    case ServingStatus::kServing:
      return "serving";
    case ServingStatus::kNotServing:
      return "not_serving";
    case ServingStatus::kServiceUnknown:
      return "service_unknown";
    case ServingStatus::kUnknown:
      break;
  }
  return "unknown";
}

}  // namespace midlayer
