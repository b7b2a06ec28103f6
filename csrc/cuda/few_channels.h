// Convolutions with kernel 4, stride 2, padding 1 whose big image has 1 to 4 channels, in float16 and bfloat16: a GAN's
// first or last layer. As in kernels.h, every function enqueues work and returns the error of doing so.
#pragma once
#include <cstdint>

#include "indexing.h"
#include "kernels.h"

namespace ganzoo::cuda {

constexpr int kMaxFewChannels = 4, kMaxSmallChannels = 256;

// The images, NHWC: small [n, h, w, cs], big [n, H, W, cb].
struct FewChannels {
  int n, h, w, cs, H, W, cb;
};

// Whether there are kernels for these channels. They also need a small image that starts at a multiple of 16 bytes.
inline bool has_few_channels(Type type, int64_t cs, int64_t cb) {
  return bytes_of(type) == 2 && cb >= 1 && cb <= kMaxFewChannels && cs % 16 == 0 && cs <= kMaxSmallChannels;
}

// (cs, cb, 4, 4), float32 or of the images' type, with any strides.
struct Weight {
  const void* data;
  bool is_float32;
  int64_t strides[4];
};

// The input of an operation is multiplied by the derivative of the activation whose result `out` is: tanh for a big
// image, a leaky ReLU for a small one. No activation if `out` is null.
struct Derivative {
  const void* out;
  float slope;
};

struct FewEpilogue {
  const float *scale, *shift;  // out = act(scale * sum + shift); or null
  bool tanh;                   // act: tanh, else a leaky ReLU
  float slope;
};

cudaError_t few_channels_strided(Type type, const FewChannels& s, const void* big, const Derivative& d,
                                 const Weight& weight, const FewEpilogue& e, void* small, int processors,
                                 cudaStream_t stream);
cudaError_t few_channels_transposed(Type type, const FewChannels& s, const void* small, const Derivative& d,
                                    const Weight& weight, const FewEpilogue& e, void* big, int processors,
                                    cudaStream_t stream);

// weight: (cs, 4, 4, cb); shift: the sums of the gradient, which is the big or the small image, or null. Both float32.
// `scratch`: bytes_of_few_channels_gradient(...) bytes.
int64_t bytes_of_few_channels_gradient(const FewChannels& s, int processors);
cudaError_t few_channels_gradient(Type type, const FewChannels& s, const void* small, const void* big,
                                  bool grad_is_big, const Derivative& d, float* weight, float* shift, void* scratch,
                                  int processors, cudaStream_t stream);

}  // namespace ganzoo::cuda
