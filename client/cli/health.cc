#include "client/cli/health.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include <iterator>

#include "absl/strings/str_cat.h"
#include "server/base/status.h"

namespace midlayer::cli {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

// grpc.health.v1 has two messages of one field each, HealthCheckRequest { string service = 1; } and
// HealthCheckResponse { ServingStatus status = 1; }, so they are written and read here field by field instead of from
// a copy of health.proto.
constexpr int kFieldNumber = 1;
constexpr const char* kStatusNames[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
constexpr uint32_t kServing = 1;

std::string EncodeRequest(const std::string& service) {
  std::string bytes;
  google::protobuf::io::StringOutputStream sink(&bytes);
  CodedOutputStream out(&sink);
  if (!service.empty()) WireFormatLite::WriteString(kFieldNumber, service, &out);
  return bytes;
}

absl::StatusOr<uint32_t> DecodeResponse(const std::string& bytes) {
  CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()), static_cast<int>(bytes.size()));
  uint32_t status = 0;
  while (const uint32_t tag = in.ReadTag()) {
    const bool is_status = tag == WireFormatLite::MakeTag(kFieldNumber, WireFormatLite::WIRETYPE_VARINT);
    if (is_status ? !in.ReadVarint32(&status) : !WireFormatLite::SkipField(&in, tag)) {
      return absl::InternalError("the server's answer to the health check cannot be read");
    }
  }
  return status;
}

absl::StatusOr<uint32_t> Check(const HealthOptions& options) {
  MIDLAYER_ASSIGN_OR_RETURN(const std::unique_ptr<Connection> connection, Connection::Open(options.connection));
  const absl::StatusOr<std::string> response =
      connection->CallBytes("/grpc.health.v1.Health/Check", EncodeRequest(options.service));
  if (absl::IsNotFound(response.status())) {
    return absl::NotFoundError(absl::StrCat("the server has no service \"", options.service, "\""));
  }
  MIDLAYER_RETURN_IF_ERROR(response.status());
  return DecodeResponse(*response);
}

}  // namespace

int RunHealth(const HealthOptions& options, const Console& console) {
  const absl::StatusOr<uint32_t> health = Check(options);
  if (!health.ok()) {
    *console.err << "midlayer: " << health.status().message() << std::endl;
    return ExitCodeOf(health.status());
  }
  *console.out << (*health < std::size(kStatusNames) ? kStatusNames[*health] : "UNKNOWN") << std::endl;
  return *health == kServing ? kExitOk : kExitFailed;
}

}  // namespace midlayer::cli
