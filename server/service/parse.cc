// ParseEmbedRequest: bytes of the wire to messages.
//
// protobuf refuses a message with a string that is not UTF-8 and does not say which. So where it refuses, the wire is
// walked once more to find the string.
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include "absl/strings/str_cat.h"
#include "server/base/utf8.h"
#include "server/service/convert.h"

namespace midlayer {

namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

std::string Flatten(const grpc::ByteBuffer& bytes) {
  std::vector<grpc::Slice> slices;
  std::string flat;
  if (!bytes.Dump(&slices).ok()) return flat;
  for (const grpc::Slice& slice : slices) flat.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return flat;
}

// Reads the next field; for one of bytes its contents go to `value`, others are skipped. 0 at the end, or where the
// wire is broken.
int NextField(CodedInputStream& in, std::string* value) {
  const uint32_t tag = in.ReadTag();
  value->clear();
  if (tag == 0) return 0;
  if (WireFormatLite::GetTagWireType(tag) != WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
    return WireFormatLite::SkipField(&in, tag) ? WireFormatLite::GetTagFieldNumber(tag) : 0;
  }
  uint32_t length = 0;
  if (!in.ReadVarint32(&length) || !in.ReadString(value, static_cast<int>(length))) return 0;
  return WireFormatLite::GetTagFieldNumber(tag);
}

absl::Status NotUtf8(absl::string_view path, absl::string_view field, size_t offset) {
  return absl::InvalidArgumentError(
      absl::StrCat(path, field, ": expected UTF-8, found a byte that is none at offset ", offset));
}

absl::Status Explain(const std::string& request, absl::string_view path) {
  CodedInputStream in(reinterpret_cast<const uint8_t*>(request.data()), static_cast<int>(request.size()));
  std::string value;
  int texts = 0;
  while (const int field = NextField(in, &value)) {
    const bool is_text = field == v1::EmbedRequest::kTextsFieldNumber;
    size_t offset = 0;
    const google::protobuf::FieldDescriptor* descriptor = v1::EmbedRequest::descriptor()->FindFieldByNumber(field);
    const bool is_string =
        descriptor != nullptr && descriptor->type() == google::protobuf::FieldDescriptor::TYPE_STRING;
    if (is_string && !IsUtf8(value, &offset)) {
      return NotUtf8(path, is_text ? absl::StrCat("texts[", texts, "]") : descriptor->name(), offset);
    }
    texts += is_text ? 1 : 0;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "request: expected a message as in midlayer/v1/embedding.proto, found ", request.size(), " bytes that are none"));
}

template <typename Message>
bool Parse(const grpc::ByteBuffer& bytes, Message* message) {
  grpc::ProtoBufferReader reader(const_cast<grpc::ByteBuffer*>(&bytes));  // reads only
  return reader.status().ok() && message->ParseFromZeroCopyStream(&reader);
}

}  // namespace

absl::Status ParseEmbedRequest(const grpc::ByteBuffer& bytes, v1::EmbedRequest* request) {
  if (Parse(bytes, request)) return absl::OkStatus();
  return Explain(Flatten(bytes), "");
}

absl::Status ParseEmbedRequest(const grpc::ByteBuffer& bytes, v1::EmbedStreamRequest* request) {
  if (Parse(bytes, request)) return absl::OkStatus();
  const std::string flat = Flatten(bytes);
  CodedInputStream in(reinterpret_cast<const uint8_t*>(flat.data()), static_cast<int>(flat.size()));
  std::string inner;
  return NextField(in, &inner) == v1::EmbedStreamRequest::kRequestFieldNumber ? Explain(inner, "request.")
                                                                              : Explain(flat, "");
}

}  // namespace midlayer
