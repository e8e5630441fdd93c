#include "server/models/arch_spec.h"

#include "absl/strings/str_cat.h"

namespace midlayer {

std::string ArchSpec::Canonical() const {
  return absl::StrCat("arch:", model_type, ";layers=", layers, ";hidden=", hidden, ";heads=", heads,
                      ";intermediate=", intermediate, ";vocabulary=", vocabulary, ";positions=", positions,
                      ";token_types=", token_types, ";norm_epsilon=", norm_epsilon,
                      ";norm_place=", static_cast<int>(norm_place), ";final_norm=", final_norm,
                      ";activation=", static_cast<int>(activation), ";position_rule=", static_cast<int>(position_rule),
                      ";padding_id=", padding_id, ";relative_buckets=", relative_buckets);
}

}  // namespace midlayer
