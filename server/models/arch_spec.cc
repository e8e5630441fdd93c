#include "server/models/arch_spec.h"

#include "absl/strings/str_cat.h"

namespace midlayer {

namespace {

std::string Canonical(const RopeSpec& rope) {
  return absl::StrCat(
      "dims=", rope.dims, ",theta=", rope.theta, ",interleaved=", rope.interleaved,
      ",scaling=", static_cast<int>(rope.scaling), ",factor=", rope.factor,
      ",original_positions=", rope.original_positions, ",low_frequency_factor=", rope.low_frequency_factor,
      ",high_frequency_factor=", rope.high_frequency_factor, ",beta_fast=", rope.beta_fast,
      ",beta_slow=", rope.beta_slow, ",truncate=", rope.truncate, ",attention_factor=", rope.attention_factor);
}

}  // namespace

const char* AttentionDirectionName(AttentionDirection direction) {
  return direction == AttentionDirection::kCausal ? "causal" : "bidirectional";
}

std::string ArchSpec::Canonical() const {
  std::string line = absl::StrCat(
      "arch:", model_type, ";mixer=", static_cast<int>(mixer), ";layers=", layers, ";hidden=", hidden, ";heads=", heads,
      ";kv_heads=", kv_heads, ";head_size=", head_size, ";intermediate=", intermediate, ";vocabulary=", vocabulary,
      ";positions=", positions, ";token_types=", token_types, ";embedding_scale=", embedding_scale,
      ";embedding_norm=", embedding_norm, ";norm=", static_cast<int>(norm), ";norm_epsilon=", norm_epsilon);
  absl::StrAppend(&line, ";norm_bias=", norm_bias, ";block_form=", static_cast<int>(block_form),
                  ";first_attention_norm=", first_attention_norm, ";final_norm=", final_norm, ";qk_norm=", qk_norm,
                  ";qkv_bias=", qkv_bias, ";attention_out_bias=", attention_out_bias, ";mlp_bias=", mlp_bias,
                  ";gated_mlp=", gated_mlp, ";activation=", static_cast<int>(activation),
                  ";direction=", AttentionDirectionName(direction), ";position_rule=", static_cast<int>(position_rule),
                  ";padding_id=", padding_id, ";relative_buckets=", relative_buckets);
  for (const RopeSpec& rope : ropes) absl::StrAppend(&line, ";rope:", midlayer::Canonical(rope));
  for (const AttentionSpec& block : attention) {
    absl::StrAppend(&line, ";attention:window=", block.window, ",rope=", block.rope, ",scale=", block.scale);
  }
  absl::StrAppend(&line, ";mamba:inner=", mamba.inner, ",state=", mamba.state, ",conv_kernel=", mamba.conv_kernel,
                  ",time_step_rank=", mamba.time_step_rank, ",bias=", mamba.bias, ",conv_bias=", mamba.conv_bias);
  return line;
}

}  // namespace midlayer
