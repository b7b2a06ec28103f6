// Packs convolution weights into panels.
#pragma once
#include <cstdint>

#include "../gemm/gemm-inl.h"
#include "../gemm/transpose-inl.h"
#include "../isa/vector-inl.h"
#include "convolution.h"

namespace ganzoo {
namespace ISA {
namespace {

void pack(const WeightPacking& f, int64_t begin, int64_t end) {
  const int64_t chunks = (f.cin + kPackRows - 1) / kPackRows, stride = f.cin * kBlock;
  for (int64_t item = begin; item < end; ++item) {
    const int64_t block = item / chunks, from = item % chunks * kPackRows, rows = min(kPackRows, f.cin - from);
    const int64_t columns = min(kBlock, f.cout - block * kBlock);
    const float* weight = f.weight + from * f.in + block * kBlock * f.out;
    float* to = f.packed + block * kTaps * stride + from * kBlock;
    if (f.row == 4 && f.column == 1 && columns == kBlock) {  // contiguous taps: transpose all of them at once
      for (int64_t r = 0; r < rows; ++r) {
        alignas(64) float taps[kTaps * kBlock];
        transpose(weight + r * f.in, f.out, kBlock, kTaps, taps, kBlock);
        for (int k = 0; k < kTaps; ++k)
          for (int v = 0; v < kBlock; v += kLanes)
            store(to + f.place[k] * stride + r * kBlock + v, load(taps + k * kBlock + v));
      }
      continue;
    }
    for (int k = 0; k < kTaps; ++k) {
      const Matrix tap = {weight + k / 4 * f.row + k % 4 * f.column, f.in, f.out};
      pack_panel(tap, rows, columns, 0, to + f.place[k] * stride);
    }
  }
}

}  // namespace
}  // namespace ISA
}  // namespace ganzoo
