// All weights of a checkpoint directory, from one safetensors file or from shards.
#ifndef MIDLAYER_SERVER_WEIGHTS_WEIGHT_FILES_H_
#define MIDLAYER_SERVER_WEIGHTS_WEIGHT_FILES_H_

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/weights/safetensors.h"

namespace midlayer {

// Opens `model.safetensors`, or else the shards that `model.safetensors.index.json` names. Opening reads the headers
// and no tensor. Movable; the views stay valid over a move and live as long as the object that ends up with the files.
//
// Thread-safety: const methods may be called from any number of threads.
class WeightFiles {
 public:
  // Errors name the file, and the tensor where one is at fault. NotFound: no such directory, no weights in it, or a
  // shard is missing. FailedPrecondition: only PyTorch's pickle files are there; the message tells how to convert them.
  // InvalidArgument: a broken file; an index that does not agree with its shards (a tensor that is not where the index
  // says, in two shards, or in none of the index's entries); a shard whose name leads out of the directory (a link may,
  // as in the Hugging Face cache).
  static absl::StatusOr<WeightFiles> Open(const std::filesystem::path& model_dir);

  // By name.
  const std::map<std::string, TensorView>& tensors() const { return tensors_; }

  // As SafetensorsFile::Release(), for a view of any of the files.
  void Release(const TensorView& view) const;

 private:
  WeightFiles() = default;

  absl::Status AddShards(const std::filesystem::path& model_dir, const std::map<std::string, std::string>& shard_of);

  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, TensorView> tensors_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_WEIGHTS_WEIGHT_FILES_H_
