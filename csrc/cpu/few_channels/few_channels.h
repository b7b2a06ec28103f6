// Arguments of the kernels for a big image of 1 to kMaxFewChannels channels: a GAN's first or last layer.
//
// A small pixel and the 4 x 4 patch of big pixels that it is connected to are one matrix product of cs by 16 cb, so no
// vector lane is spent on missing channels.
#pragma once
#include <cstdint>

#include "../api.h"
#include "../blocking.h"

namespace ganzoo {

constexpr int kMaxTilePixels = 8;  // small pixels of the largest register tile
constexpr int kMaxLines = 18;      // lines of the big image that the weight gradient holds at a time

// Convolutions: out = act(sum + shift), or, with `forward_out`, the sum alone of an input that is first multiplied by
// act's derivative at `forward_out`. An item is `rows` rows of one small image.
// Weight gradient: `grad_is_big` selects the image that is multiplied by that derivative; out is
// [items][gradient_size(...)]. An item is a range of images, of which `rows` rows are processed at a time.
struct FewChannels {
  const void *small, *big, *forward_out;  // images
  const float *weight, *shift;
  Activation act;
  bool grad_is_big;
  void* out;  // an image, or floats (weight gradient)
  int64_t n, h, w, cs, H, W;
  int cb;
  int64_t stride;        // cs in whole vectors: between rows of `weight`, [16 cb][stride], if strided, and of gradients
  int64_t chunks, rows;  // chunks: items of one image (convolutions)
  int64_t items;         // weight gradient only
};

// A line: a row of a big image of w small pixels' width with padding on both sides, in whole vectors.
inline int64_t line_size(int64_t w, int64_t cb) { return round_up(2 * (w + kMaxTilePixels) + 4, 16) * cb; }
// The weight gradient of an item, [16 cb][stride], followed by that of the shift: [stride], or, for the big image, 16
// partial sums of each channel.
inline int64_t gradient_size(int64_t cb, int64_t stride) { return 16 * cb * stride + (stride > 64 ? stride : 64); }

}  // namespace ganzoo
