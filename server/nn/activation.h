// The non-linearities of checkpoints. No torch.
#ifndef MIDLAYER_SERVER_NN_ACTIVATION_H_
#define MIDLAYER_SERVER_NN_ACTIVATION_H_

namespace midlayer {

// kGelu is exact (erf); kGeluTanh the approximation that checkpoints call gelu_new or gelu_pytorch_tanh.
enum class Activation { kGelu, kGeluTanh, kRelu, kSilu };

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_NN_ACTIVATION_H_
