// The norms of checkpoints. No torch.
#ifndef MIDLAYER_SERVER_NN_NORM_KIND_H_
#define MIDLAYER_SERVER_NN_NORM_KIND_H_

namespace midlayer {

// kLayer: mean and variance. kRms: root of the mean square. kRmsPlusOne: the same with weights counted from 1 (Gemma).
enum class NormKind { kLayer, kRms, kRmsPlusOne };

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_NN_NORM_KIND_H_
