// Ways to the same vectors that are faster than libtorch's general ones. Each can be turned off.
#ifndef MIDLAYER_SERVER_NN_FAST_PATHS_H_
#define MIDLAYER_SERVER_NN_FAST_PATHS_H_

namespace midlayer {

// Each is taken only where the machine and the model allow it.
struct FastPaths {
  bool packed_linear = true;  // weights in oneDNN's layout; see Packed() in linear.h
  bool cpu_kernels = true;    // attention and norms of our own on CPUs; see attention_kernel.h and norm_kernel.h
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_NN_FAST_PATHS_H_
