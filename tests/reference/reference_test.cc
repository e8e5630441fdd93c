// Runs every golden file of the folder named by MIDLAYER_REFERENCE_DIR (default: ../shared/reference beside the
// repository). A file whose metric nobody computes is a failure; an absent folder is a skip.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/reference/golden.h"

namespace midlayer::reference {
namespace {

namespace fs = std::filesystem;

fs::path ReferenceDirectory() {
  const char* named = std::getenv("MIDLAYER_REFERENCE_DIR");
  return named != nullptr ? fs::path(named) : fs::path(MIDLAYER_SOURCE_DIR) / ".." / "shared" / "reference";
}

Handler HandlerOf(const std::string& metric) {
  for (const auto* handlers :
       {&RepresentationHandlers(), &ViewHandlers(), &LabelledHandlers(), &StatisticsHandlers(), &PoolingHandlers()}) {
    if (const auto found = handlers->find(metric); found != handlers->end()) return found->second;
  }
  return nullptr;
}

void RunFile(const fs::path& path) {
  SCOPED_TRACE(path.filename().string());
  std::ifstream stream(path);
  const Golden golden{.name = path.filename().string(), .file = nlohmann::json::parse(stream)};
  const std::string metric = golden.file.at("metric");
  const Handler handler = HandlerOf(metric);
  if (handler == nullptr) {
    ADD_FAILURE() << "nothing computes metric " << metric;
    return;
  }
  handler(golden);
}

void RunFolder(const std::string& name) {
  const fs::path folder = ReferenceDirectory() / name;
  if (!fs::is_directory(folder)) GTEST_SKIP() << "no golden files in " << folder << " (set MIDLAYER_REFERENCE_DIR)";
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  ASSERT_FALSE(files.empty()) << folder << " has no golden files";
  for (const fs::path& file : files) RunFile(file);
  ::testing::Test::RecordProperty("files", static_cast<int>(files.size()));
}

TEST(ReferenceTest, LayerByLayer) { RunFolder("layer_by_layer"); }
TEST(ReferenceTest, Statistics) { RunFolder("statistics"); }
TEST(ReferenceTest, Pooling) { RunFolder("pooling"); }

}  // namespace
}  // namespace midlayer::reference
