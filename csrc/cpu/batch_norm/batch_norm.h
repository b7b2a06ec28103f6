// Arguments of the batch normalization passes over [pixels, channels].
#pragma once
#include <cstdint>

namespace ganzoo {

constexpr int kPixelChunk = 256;  // pixels of one work item

struct BatchNormPass {
  const float *y, *grad;                  // [pixels, c]; grad: backward only
  const float *scale, *shift;             // [c]: out = act(scale * y + shift)
  const float* mean;                      // [c], backward only
  const float *grad_mean, *grad_slope;    // [c]: dy = scale * g - grad_mean - grad_slope * (y - mean)
  float* out;                             // [pixels, c]
  // Partial results of each chunk of pixels, [chunks, c]. statistics: means, and sums of squared deviations from them.
  // norm_act_sums: sums of g, and of g * (y - mean), g being the gradient before the activation.
  float *partial_first, *partial_second;
  float slope;
  int64_t pixels, c;
};

}  // namespace ganzoo
