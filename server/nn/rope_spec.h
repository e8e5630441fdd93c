// Rotary position embedding as numbers. No torch.
#ifndef MIDLAYER_SERVER_NN_ROPE_SPEC_H_
#define MIDLAYER_SERVER_NN_ROPE_SPEC_H_

namespace midlayer {

// How the frequencies are changed for texts longer than those of the training, under the names of transformers.
enum class RopeScaling { kNone, kLinear, kDynamic, kLlama3, kYarn };

// Rotary position embedding (Su et al. 2021, "RoFormer"): of each head the first `dims` numbers are turned in pairs, by
// position * theta^(-2 i / dims) for pair i.
struct RopeSpec {
  int dims = 0;  // even, at most the head size
  double theta = 10000;
  // Which numbers make a pair: i and i + dims / 2 (GPT-NeoX, Llama), or 2 i and 2 i + 1 (GPT-J).
  bool interleaved = false;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;                                           // of the length, all scalings but kNone
  int original_positions = 0;                                  // the length of the training: kDynamic, kLlama3, kYarn
  double low_frequency_factor = 1, high_frequency_factor = 4;  // kLlama3
  double beta_fast = 32, beta_slow = 1;                        // kYarn
  bool truncate = true;                                        // kYarn: whole numbers bound the ramp
  double attention_factor = 1;                                 // kYarn: turned queries and keys are multiplied by it
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_NN_ROPE_SPEC_H_
