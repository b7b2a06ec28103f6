// Matrix transpose in registers.
#pragma once
#include <cstdint>

#include "../isa/vector-inl.h"

namespace ganzoo {
namespace ISA {
namespace {

#if defined(__clang__)
#define INTERLEAVE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define INTERLEAVE(a, b, ...) __builtin_shuffle(a, b, IntVec{__VA_ARGS__})
#endif

// to[j][i] = from[i][j] for kLanes x kLanes elements: interleaves the first half of the rows with the second half,
// log2(kLanes) times.
inline void transpose_block(const float* from, int64_t from_stride, float* to, int64_t to_stride) {
  Vec rows[2][kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) rows[0][i] = load(from + i * from_stride);
  int current = 0;
#pragma GCC unroll 4
  for (int half = kLanes; half > 1; half /= 2, current ^= 1) {
#pragma GCC unroll 8
    for (int i = 0; i < kLanes / 2; ++i) {
      const Vec a = rows[current][i], b = rows[current][i + kLanes / 2];
      rows[current ^ 1][2 * i] = INTERLEAVE(a, b, INTERLEAVE_LOW);
      rows[current ^ 1][2 * i + 1] = INTERLEAVE(a, b, INTERLEAVE_HIGH);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) store(to + i * to_stride, rows[current][i]);
}

// to[j][i] = from[i][j] for rows x columns elements: whole blocks as vectors, the edges element by element.
inline void transpose(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to,
                      int64_t to_stride) {
  for (int64_t i = 0; i < rows; i += kLanes)
    for (int64_t j = 0; j < columns; j += kLanes) {
      if (i + kLanes <= rows && j + kLanes <= columns) {
        transpose_block(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);
        continue;
      }
      for (int64_t r = i; r < min(i + kLanes, rows); ++r)
        for (int64_t c = j; c < min(j + kLanes, columns); ++c) to[c * to_stride + r] = from[r * from_stride + c];
    }
}

}  // namespace
}  // namespace ISA
}  // namespace ganzoo
