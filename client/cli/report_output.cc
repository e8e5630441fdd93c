#include "client/cli/report_output.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "client/cli/html_report.h"
#include "client/cli/json.h"
#include "client/cli/report_text.h"
#include "server/base/text_width.h"

namespace midlayer::cli {
namespace {

std::string CannotWrite(const std::string& path, int error) {
  return absl::StrCat("cannot write ", path, ": ", std::strerror(error));
}

}  // namespace

absl::Status CheckOutput(const ReportOutput& output) {
  if (output.html.empty()) return absl::OkStatus();
  std::error_code error;
  const std::filesystem::path path = output.html;
  if (std::filesystem::is_directory(path, error)) return absl::NotFoundError(CannotWrite(output.html, EISDIR));
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const bool exists = std::filesystem::exists(path, error);
  if (access((exists ? path : folder).c_str(), W_OK) == 0) return absl::OkStatus();
  return absl::NotFoundError(CannotWrite(output.html, errno));
}

absl::Status WriteReport(const v1::ScoreReport& report, const ReportOutput& output, const Console& console) {
  *console.out << (output.json ? ToJson(report) : FormatReport(report, console.width)) << std::flush;
  if (!console.out->good()) return absl::UnknownError("cannot write the output");
  if (output.html.empty()) return absl::OkStatus();
  std::ofstream page(output.html, std::ios::binary);
  page << FormatHtml(report) << std::flush;
  if (!page.good()) return absl::UnknownError(CannotWrite(output.html, errno));
  if (!output.json) *console.out << PadRight("Page", kLabelWidth) << Printable(output.html) << std::endl;
  return absl::OkStatus();
}

}  // namespace midlayer::cli
