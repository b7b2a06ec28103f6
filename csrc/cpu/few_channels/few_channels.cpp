// Convolutions whose big image has few channels: weight layout, work items, sums of partial gradients.
#include "few_channels.h"

#include <algorithm>
#include <cstdint>

#include "../api.h"
#include "../isa/kernels.h"
#include "../workspace.h"

namespace ganzoo {
namespace {

constexpr int64_t kFewImages = 8;     // fewer images than this are divided into chunks of rows
constexpr int64_t kMinRows = 4;       // of a chunk: a transposed convolution computes one row of each neighbour again
constexpr int64_t kMaxPartials = 32;  // partial results of a weight gradient
constexpr int64_t kStepPixels = 64;   // small pixels of one step of it: with their patches they fit the L1 cache
constexpr int64_t kVectors = 32;      // channels in whole vectors of every instruction set

FewChannels make_few_channels(const Shape& s) {
  FewChannels f = {};
  f.n = s.n, f.h = s.h, f.w = s.w, f.cs = s.cs, f.H = s.H, f.W = s.W, f.cb = static_cast<int>(s.cb);
  f.stride = round_up(s.cs, kVectors);
  f.rows = std::max(kMinRows, ceil_div(s.h, ceil_div(kFewImages, std::max<int64_t>(s.n, 1))));
  f.chunks = ceil_div(s.h, f.rows);
  return f;
}

// Transposed: [cs][kernel row][kernel column 1, 2, 3, 0][cb]. Strided: [kernel row][kernel column][cb][stride].
void pack(bool transposed, const FewChannels& f, const FewChannelsLayer& layer, float* to) {
  static const int place[4] = {3, 0, 1, 2};
  if (!transposed) std::fill_n(to, 16 * f.cb * f.stride, 0.0f);
  for (int64_t s = 0; s < f.cs; ++s)
    for (int64_t b = 0; b < f.cb; ++b)
      for (int k = 0; k < 16; ++k) {
        const float* from = layer.weight + s * layer.strides[0] + b * layer.strides[1] + k / 4 * layer.strides[2] +
                            k % 4 * layer.strides[3];
        to[transposed ? (s * 16 + k / 4 * 4 + place[k % 4]) * f.cb + b : (k * f.cb + b) * f.stride + s] = *from;
      }
}

int64_t scratch_size(const FewChannels& f) {
  const int64_t products = 2 * (f.w + kMaxTilePixels + 2) * 16 * f.cb + f.w * f.cs + f.W * f.cb + 64;
  return f.items ? (2 * f.rows + 2) * line_size(f.w, f.cb) + f.rows * f.w * f.stride
                 : std::max(products, 4 * line_size(f.w, f.cb));
}

}  // namespace

void few_channels_convolve(Type type, bool transposed, const Shape& s, const void* x, const FewChannelsLayer& layer,
                           void* out, Parallel run) {
  FewChannels f = make_few_channels(s);
  float* weight = workspace<Scratch::kShared>(16 * f.cb * f.stride);
  pack(transposed, f, layer, weight);
  (transposed ? f.small : f.big) = x;
  f.weight = weight, f.shift = layer.shift, f.forward_out = layer.forward_out, f.act = layer.act, f.out = out;
  const ImageKernels& isa = image_kernels(type);
  run(f.n * f.chunks, [&](int64_t begin, int64_t end) {
    (transposed ? isa.few_channels_transposed : isa.few_channels_strided)(
        f, begin, end, workspace<Scratch::kThread>(scratch_size(f)));
  });
}

void few_channels_weight_gradient(Type type, const Shape& s, bool grad_is_big, const void* small, const void* big,
                                  const void* forward_out, const Activation& act, float* weight, float* shift,
                                  Parallel run) {
  FewChannels f = make_few_channels(s);
  const int64_t size = gradient_size(f.cb, f.stride);
  f.items = std::clamp<int64_t>(f.n, 1, kMaxPartials);
  f.rows = std::clamp<int64_t>(kStepPixels / f.w, 1, kMaxLines / 2 - 1);
  float* sums = workspace<Scratch::kShared>(f.items * size);
  f.small = small, f.big = big, f.forward_out = forward_out, f.act = act, f.grad_is_big = grad_is_big, f.out = sums;
  const ImageKernels& isa = image_kernels(type);
  run(f.items, [&](int64_t begin, int64_t end) {
    isa.few_channels_weight_gradient(f, begin, end, workspace<Scratch::kThread>(scratch_size(f)));
  });
  for (int64_t item = 1; item < f.items; ++item)
    for (int64_t i = 0; i < size; ++i) sums[i] += sums[item * size + i];
  const int64_t taps = 16 * f.cb;
  for (int64_t c = 0; c < f.cs; ++c)
    for (int64_t t = 0; t < taps; ++t) weight[c * taps + t] = sums[t * f.stride + c];
  if (!shift) return;
  const float* shift_sums = sums + taps * f.stride;
  if (!grad_is_big) std::copy_n(shift_sums, f.cs, shift);
  if (grad_is_big)
    for (int64_t b = 0; b < f.cb; ++b) {
      shift[b] = 0;
      for (int64_t i = b; i < 16 * f.cb; i += f.cb) shift[b] += shift_sums[i];
    }
}

}  // namespace ganzoo
