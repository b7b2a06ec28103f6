// Arguments of the batch normalization passes over [pixels, channels].
#pragma once
#include <cstdint>

namespace ganzoo {

constexpr int kPixelChunk = 256;  // most pixels of one work item, all of one set of gamma and beta

struct BatchNormPass {
  const void *y, *grad;                   // images, [pixels, c]; grad: backward only
  const float *scale, *shift;             // [sets, c]: out = act(scale * y + shift)
  const float* mean;                      // [c], backward only
  const float *grad_mean, *grad_slope;    // [c]: dy = scale * g - grad_mean - grad_slope * (y - mean)
  void* out;                              // image, [pixels, c]
  // Partial results of each chunk of pixels, [chunks, c]. statistics: means, and sums of squared deviations from them.
  // norm_act_sums: sums of g, and of g * (y - mean), g being the gradient before the activation.
  float *partial_first, *partial_second;
  float slope;
  int64_t pixels, c;
  int64_t chunks, set_pixels;  // of one set

  int64_t set_of(int64_t chunk) const { return chunk / chunks; }
  int64_t first_pixel(int64_t chunk) const { return set_of(chunk) * set_pixels + chunk % chunks * kPixelChunk; }
  int64_t last_pixel(int64_t chunk) const {
    const int64_t left = set_pixels - chunk % chunks * kPixelChunk;
    return first_pixel(chunk) + (left < kPixelChunk ? left : kPixelChunk);
  }
};

}  // namespace ganzoo
