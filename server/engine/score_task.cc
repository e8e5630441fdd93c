#include "server/engine/score_task.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/base/digest.h"
#include "server/base/status.h"

namespace midlayer {

std::string ScoreTask::Digest() const {
  std::string canonical = "midlayer score 1";
  for (const std::string& metric : metrics) absl::StrAppend(&canonical, ";metric=", metric);
  for (const Pooling pooling : poolings) absl::StrAppend(&canonical, ";pooling=", ToAbsl(PoolingName(pooling)));
  absl::StrAppend(&canonical, ";criterion=", criterion.text, ";sample_size=", sample_size, ";seed=", seed,
                  ";alpha=", absl::StrFormat("%.17g", entropy.alpha),
                  ";normalization=", static_cast<int>(entropy.normalization), ";mode=", static_cast<int>(entropy.mode),
                  ";state=", static_cast<int>(state), ";without_special_tokens=", without_special_tokens,
                  ";skip_leading_tokens=", skip_leading_tokens, ";views=", views, ";permutations=", permutations,
                  ";stop_early=", stop_early, ";example_values=", example_values, ";prompt=", prompt);
  Sha256 digest;
  digest.Update(canonical);
  return digest.Finish();
}

}  // namespace midlayer
