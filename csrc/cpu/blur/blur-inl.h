// The filter [1, 3, 3, 1], one row of the result after the other.
#pragma once
#include <cstdint>

#include "../isa/vector-inl.h"
#include "blur.h"

namespace ganzoo {
namespace ISA {
namespace {

void blur(const BlurRows& f, int64_t begin, int64_t end, float* scratch) {
  const int64_t row = f.w * f.c, out_row = f.out_w() * f.c, margin = f.margin();
  float *filtered = scratch + margin, *zeros = filtered + row + margin;
  __builtin_memset(scratch, 0, f.scratch() * sizeof(float));
  for (int64_t item = begin; item < end; ++item) {
    const int64_t image = item / f.out_h(), top = item % f.out_h() - f.padding;
    const float* rows[4];
    for (int64_t k = 0; k < 4; ++k)
      rows[k] = top + k < 0 || top + k >= f.h ? zeros : f.x + (image * f.h + top + k) * row;
    for_channels(row, [&](auto type, int64_t i) {
      put(filtered + i, get(type, rows[0] + i) + get(type, rows[3] + i) +
                            3.0f * (get(type, rows[1] + i) + get(type, rows[2] + i)));
    });
    float* out = f.out + item * out_row;
    const float scale = f.gain / 64;
    for_channels(out_row, [&](auto type, int64_t i) {
      const float* at = scratch + i;
      put(out + i, scale * (get(type, at) + get(type, at + 3 * f.c) +
                            3.0f * (get(type, at + f.c) + get(type, at + 2 * f.c))));
    });
  }
}

}  // namespace
}  // namespace ISA
}  // namespace ganzoo
