// Layers whose big image has few channels: packing, work items, joined sums.
#include <algorithm>

#include "driver.h"
#include "kept.h"
#include "kernels.h"

namespace ganzoo {
namespace {

constexpr int64_t kFewItems = 8;    // fewer images than this are cut into rows
constexpr int64_t kFewRows = 4;     // but not into fewer rows than this: `up` computes one of the neighbours' anew
constexpr int64_t kMostSums = 32;   // partial results of a weight gradient
constexpr int64_t kStepPixels = 64; // small pixels of a step of it: with their taps' they fit the L1
constexpr int64_t kStride = 32;     // whole vectors in every instruction set

int64_t parts(int64_t whole, int64_t part) { return (whole + part - 1) / part; }

Narrow plan(const Shape& s) {
  Narrow f = {};
  f.n = s.n, f.h = s.h, f.w = s.w, f.cs = s.cs, f.H = s.H, f.W = s.W, f.cb = static_cast<int>(s.cb);
  f.stride = parts(s.cs, kStride) * kStride;
  f.rows = std::max(kFewRows, parts(s.h, parts(kFewItems, std::max<int64_t>(s.n, 1))));
  f.chunks = parts(s.h, f.rows);
  return f;
}

// For `up` [cs][kernel row][columns 1, 2, 3, 0][cb], for `down` [kernel row][column][cb][stride].
void pack(bool up, const Narrow& f, const Narrowed& e, float* to) {
  static const int place[4] = {3, 0, 1, 2};
  if (!up) std::fill_n(to, 16 * f.cb * f.stride, 0.0f);
  for (int64_t s = 0; s < f.cs; ++s)
    for (int64_t b = 0; b < f.cb; ++b)
      for (int k = 0; k < 16; ++k) {
        const float* from = e.weight + s * e.strides[0] + b * e.strides[1] + k / 4 * e.strides[2] + k % 4 * e.strides[3];
        to[up ? (s * 16 + k / 4 * 4 + place[k % 4]) * f.cb + b : (k * f.cb + b) * f.stride + s] = *from;
      }
}

int64_t floats_of_scratch(const Narrow& f) {
  const int64_t products = 2 * (f.w + kMostPixels + 2) * 16 * f.cb + f.w * f.cs + f.W * f.cb + 64;
  return f.items ? (2 * f.rows + 2) * floats_of_line(f.w, f.cb) + f.rows * f.w * f.stride
                 : std::max(products, 4 * floats_of_line(f.w, f.cb));
}

}  // namespace

void narrow_convolve(bool up, const Shape& s, const float* x, const Narrowed& e, float* out, Parallel run) {
  Narrow f = plan(s);
  float* weight = kept<kCaller>(16 * f.cb * f.stride);
  pack(up, f, e, weight);
  (up ? f.small : f.big) = x;
  f.weight = weight, f.shift = e.shift, f.activated = e.activated, f.act = e.act, f.out = out;
  const Kernels& isa = kernels();
  run(f.n * f.chunks, [&](int64_t begin, int64_t end) {
    (up ? isa.narrow_up : isa.narrow_down)(f, begin, end, kept<kWorker>(floats_of_scratch(f)));
  });
}

void narrow_gradient(const Shape& s, bool of_big, const float* small, const float* big, const float* activated,
                     const Activation& act, float* weight, float* shift, Parallel run) {
  Narrow f = plan(s);
  const int64_t each = floats_of_sums(f.cb, f.stride);
  f.items = std::clamp<int64_t>(f.n, 1, kMostSums);
  f.rows = std::clamp<int64_t>(kStepPixels / f.w, 1, kGradientLines / 2 - 1);
  float* sums = kept<kCaller>(f.items * each);
  f.small = small, f.big = big, f.activated = activated, f.act = act, f.of_big = of_big, f.out = sums;
  const Kernels& isa = kernels();
  run(f.items, [&](int64_t begin, int64_t end) {
    isa.narrow_gradient(f, begin, end, kept<kWorker>(floats_of_scratch(f)));
  });
  for (int64_t item = 1; item < f.items; ++item)
    for (int64_t i = 0; i < each; ++i) sums[i] += sums[item * each + i];
  const int64_t taps = 16 * f.cb;
  for (int64_t c = 0; c < f.cs; ++c)
    for (int64_t t = 0; t < taps; ++t) weight[c * taps + t] = sums[t * f.stride + c];
  if (!shift) return;
  const float* bias = sums + taps * f.stride;
  if (!of_big) std::copy_n(bias, f.cs, shift);
  if (of_big)
    for (int64_t b = 0; b < f.cb; ++b) {
      shift[b] = 0;
      for (int64_t i = b; i < 16 * f.cb; i += f.cb) shift[b] += bias[i];
    }
}

}  // namespace ganzoo
