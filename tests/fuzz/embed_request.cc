// Embed and EmbedStream: bytes of the wire to a checked task, and to the shape of its answer. The first byte chooses
// the call, the model and the selection in force.
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>

#include <cmath>

#include "server/base/utf8.h"
#include "server/service/convert.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/model_info.h"

namespace midlayer {
namespace {

using absl::StatusCode;
using fuzz::Require;
namespace pb = google::protobuf;

constexpr RequestLimits kLimits = {.max_texts = 10, .max_text_bytes = 100};

// The messages of the wire with bytes in place of strings, which hold what is not UTF-8 too.
const pb::Descriptor& Lenient(const pb::Descriptor& descriptor) {
  static pb::DescriptorPool* const pool = [] {
    auto* made = new pb::DescriptorPool;
    pb::FileDescriptorProto file;
    v1::OutputSpec::descriptor()->file()->dependency(0)->CopyTo(&file);
    made->BuildFile(file);
    file.Clear();
    v1::OutputSpec::descriptor()->file()->CopyTo(&file);
    for (pb::DescriptorProto& message : *file.mutable_message_type()) {
      for (pb::FieldDescriptorProto& field : *message.mutable_field()) {
        if (field.type() == pb::FieldDescriptorProto::TYPE_STRING) field.set_type(pb::FieldDescriptorProto::TYPE_BYTES);
      }
    }
    made->BuildFile(file);
    return made;
  }();
  return *pool->FindMessageTypeByName(descriptor.full_name());
}

// What a message holds whose strings need not be UTF-8.
struct Found {
  bool message = false;          // the bytes are one
  bool canonical = false;        // and each field stands once, in order
  std::vector<std::string> bad;  // what errors say of the strings that are not UTF-8
};

// Appends what an error says of `value`, unless it is UTF-8.
void Look(const std::string& value, const std::string& name, std::vector<std::string>* bad) {
  size_t offset = 0;
  if (IsUtf8(value, &offset)) return;
  bad->push_back(absl::StrCat(name, ": expected UTF-8, found a byte that is none at offset ", offset));
}

Found LookInto(const pb::Descriptor& descriptor, std::string_view bytes) {
  static pb::DynamicMessageFactory* const factory = new pb::DynamicMessageFactory;
  const pb::Descriptor& lenient = Lenient(descriptor);
  const std::unique_ptr<pb::Message> message(factory->GetPrototype(&lenient)->New());
  if (!message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return {};
  Found found{.message = true, .canonical = message->SerializeAsString() == bytes};
  const bool stream = descriptor.name() == "EmbedStreamRequest";
  const pb::Message& request =
      stream ? message->GetReflection()->GetMessage(*message, lenient.field(0), factory) : *message;
  const pb::Reflection& reflection = *request.GetReflection();
  for (int i = 0; i < request.GetDescriptor()->field_count(); ++i) {
    const pb::FieldDescriptor* field = request.GetDescriptor()->field(i);
    if (field->type() != pb::FieldDescriptor::TYPE_BYTES) continue;
    const std::string name = absl::StrCat(stream ? "request." : "", field->name());
    if (!field->is_repeated()) Look(reflection.GetString(request, field), name, &found.bad);
    for (int k = 0; field->is_repeated() && k < reflection.FieldSize(request, field); ++k) {
      Look(reflection.GetRepeatedString(request, field, k), absl::StrCat(name, "[", k, "]"), &found.bad);
    }
  }
  return found;
}

// The bytes as gRPC hands them over, in two pieces.
grpc::ByteBuffer Buffer(std::string_view bytes) {
  const std::string_view first = bytes.substr(0, bytes.size() / 2), second = bytes.substr(bytes.size() / 2);
  const grpc::Slice slices[] = {{first.data(), first.size()}, {second.data(), second.size()}};
  return grpc::ByteBuffer(slices, 2);
}

template <typename Message>
bool Parse(std::string_view bytes, Message* message) {
  const absl::Status parsed = ParseEmbedRequest(Buffer(bytes), message);
  const Found found = LookInto(*Message::descriptor(), bytes);
  if (parsed.ok()) {
    Require(found.message && found.bad.empty(), "a message of which all strings are UTF-8");
    return true;
  }
  fuzz::RequireError(parsed, {StatusCode::kInvalidArgument}, "^[a-z_.]+(\\[\\d+\\])?: expected .+, found .");
  if (!found.canonical) return false;
  Require(std::find(found.bad.begin(), found.bad.end(), parsed.message()) != found.bad.end(), "the string's own name");
  return false;
}

void CheckTask(const EmbedTask& task, const ModelInfo& model) {
  Require(!task.texts.empty() && task.texts.size() <= 10, "1 to 10 texts");
  for (const std::string& text : task.texts) Require(text.size() <= 100, "texts of at most 100 bytes");
  Require(task.prompt.size() <= 100, "a prompt of at most 100 bytes");
  Require(!task.outputs.empty() && task.outputs.size() <= 64, "1 to 64 outputs");
  for (const OutputSpec& output : task.outputs) {
    Require(!output.layers.empty(), "a layer");
    for (const int layer : output.layers) Require(layer >= 0 && layer <= model.max_layer, "layers that are loaded");
    const size_t weights = output.fusion == Fusion::kWeightedSum ? output.layers.size() : 0;
    Require(output.weights.size() == weights, "a weight for each layer of a weighted sum");
    for (const float weight : output.weights) Require(std::isfinite(weight), "finite weights");
    Require(!output.dense || model.dense_features > 0, "Dense modules where the model has some");
    Require(!IsTrained(output.pooling) || output.pooling == model.trained_pooling, "the head that is there");
  }
}

// What the model could have answered: vectors of these widths for each text.
EmbedResult MadeUp(const EmbedTask& task, const std::vector<int>& widths) {
  EmbedResult result;
  for (size_t text = 0; text < task.texts.size(); ++text) {
    TextResult& made = result.texts.emplace_back();
    for (const int width : widths) {
      std::vector<float>& vector = made.vectors.emplace_back(static_cast<size_t>(width));
      for (size_t i = 0; i < vector.size(); ++i) vector[i] = static_cast<float>(i) - 2;
    }
  }
  return result;
}

void CheckVector(const v1::Vector& vector, v1::VectorFormat format, const std::vector<float>& made) {
  const size_t size = made.size();
  if (format == v1::VECTOR_FORMAT_FLOAT32) {
    return Require(std::equal(made.begin(), made.end(), vector.values().begin(), vector.values().end()), "its numbers");
  }
  const bool bits = format == v1::VECTOR_FORMAT_BINARY;
  const size_t bytes = bits ? (size + 7) / 8 : format == v1::VECTOR_FORMAT_INT8 ? size : 2 * size;
  Require(vector.values().empty() && vector.data().size() == bytes, "as many bytes as the format takes");
}

void CheckAnswer(const EmbedTask& task, v1::VectorFormat format, const ModelInfo& model) {
  std::vector<int> widths;
  int numbers = 0;
  for (const OutputSpec& output : task.outputs) {
    const int width = FusedWidth(output, output.dense ? model.dense_features : model.description.arch.hidden);
    Require(width >= 1 && output.dimensions <= width, "as many dimensions as there are");
    widths.push_back(output.dimensions > 0 ? output.dimensions : width);
    numbers += widths.back();
  }
  if (numbers > 1024) return;  // would only be slow
  const EmbedResult result = MadeUp(task, widths);
  const v1::EmbedResponse response = ToResponse(result, {.outputs = task.outputs, .format = format}, model);
  Require(response.outputs_size() == static_cast<int>(widths.size()) &&
              response.embeddings_size() == static_cast<int>(task.texts.size()),
          "an answer to each text and output");
  for (int i = 0; i < response.outputs_size(); ++i) {
    Require(response.outputs(i).dimensions() == static_cast<uint32_t>(widths[static_cast<size_t>(i)]),
            "its dimensions");
    for (const v1::Embedding& embedding : response.embeddings()) {
      CheckVector(embedding.vectors(i), response.format(), result.texts[0].vectors[static_cast<size_t>(i)]);
    }
  }
}

bool Same(const EmbedTask& a, const EmbedTask& b) {
  const auto outputs = [](const OutputSpec& x, const OutputSpec& y) {
    return x.layers == y.layers && x.pooling == y.pooling && x.state == y.state && x.fusion == y.fusion &&
           x.weights == y.weights && x.normalize == y.normalize && x.dimensions == y.dimensions && x.dense == y.dense &&
           x.source == y.source;
  };
  return a.texts == b.texts && a.prompt == b.prompt && a.truncation == b.truncation && a.priority == b.priority &&
         std::equal(a.outputs.begin(), a.outputs.end(), b.outputs.begin(), b.outputs.end(), outputs);
}

void CheckRequest(const v1::EmbedRequest& request, const RequestContext& context) {
  const absl::StatusOr<EmbedTask> task = ToTask(request, context, Priority::kInteractive);
  if (!task.ok()) {
    fuzz::RequireError(task.status(),
                       {StatusCode::kInvalidArgument, StatusCode::kFailedPrecondition, StatusCode::kUnavailable},
                       "^([a-z_]+(\\[\\d+\\])?(\\.[a-z_]+)?: expected .+, found .|no selection$)");
    const std::string told = ToGrpc(task.status()).error_message();
    Require(told.size() < 2100 && IsUtf8(told, nullptr), "a message that a trailer holds");
    return;
  }
  CheckTask(*task, context.model);
  CheckAnswer(*task, request.format(), context.model);
  v1::EmbedRequest again;
  Require(ParseEmbedRequest(Buffer(request.SerializeAsString()), &again).ok(), "a request from what it was written as");
  const absl::StatusOr<EmbedTask> same = ToTask(again, context, Priority::kInteractive);
  Require(same.ok() && Same(*task, *same), "the same task from what its request was written as");
}

SelectionInForce MakeSelection(unsigned kind) {
  SelectionInForce selection;
  if (kind == 1) selection = {.id = "s", .layer = 3, .pooling = Pooling::kMax, .state = State::kNormed};
  if (kind == 2) selection.refusal = absl::UnavailableError("no selection");
  return selection;
}

void Check(std::string_view bytes) {
  const unsigned choice = fuzz::TakeByte(bytes);
  const ModelInfo model = fuzz::MakeModel(choice / 8 % 16);
  const SelectionInForce selection = MakeSelection(choice / 2 % 4);
  const RequestContext context{model, kLimits, selection};
  if (choice % 2 == 0) {
    v1::EmbedRequest request;
    if (Parse(bytes, &request)) CheckRequest(request, context);
  } else {
    v1::EmbedStreamRequest request;
    if (Parse(bytes, &request)) CheckRequest(request.request(), context);
  }
}

}  // namespace
}  // namespace midlayer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  midlayer::Check(midlayer::fuzz::View(data, size));
  return 0;
}
