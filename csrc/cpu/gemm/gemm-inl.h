// Matrix product: a register tile is kTileRows rows of a by 2 vectors of columns of b.
#pragma once
#include <cstdint>

#include "../isa/vector-inl.h"
#include "gemm.h"
#include "transpose-inl.h"

namespace ganzoo {
namespace ISA {
namespace {

// Packs columns kBlock * panel .. of b [k, n] as [k][kBlock], with zeros after the last column.
void pack_panel(const Matrix& b, int64_t k, int64_t n, int64_t panel, float* to) {
  const int64_t first = panel * kBlock, columns = min(kBlock, n - first);
  const float* from = b.values + first * b.column;
  if (columns < kBlock) __builtin_memset(to, 0, k * kBlock * sizeof(float));
  if (b.row == 1) return transpose(from, b.column, columns, k, to, kBlock);
  for (int64_t i = 0; i < k; ++i, from += b.row, to += kBlock) {
    if (b.column == 1 && columns == kBlock) {
      // the next panel is packed after this one is used: fetch it into the L2 cache meanwhile
      __builtin_prefetch(from + kBlock, 0, 2), __builtin_prefetch(from + kBlock + 16, 0, 2);
      for (int v = 0; v < kBlock; v += kLanes) store(to + v, load(from + v));
    }
    else
      for (int64_t j = 0; j < columns; ++j) to[j] = from[j * b.column];
  }
}

// out[r] = sum over k of a[r][k * step] * b[k], for kTileRows rows and kTileColumns columns.
inline void gemm_tile(const float* const* a, int64_t step, const float* b, int64_t k, float* out) {
  Vec acc[kTileRows][2] = {};
  for (int64_t i = 0, at = 0; i < k; ++i, at += step, b += kBlock) {
    const Vec b0 = load(b), b1 = load(b + kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kTileRows; ++r) {
      const Vec value = broadcast(a[r][at]);
      acc[r][0] += value * b0, acc[r][1] += value * b1;
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kTileRows; ++r) store(out + r * kBlock, acc[r][0]), store(out + r * kBlock + kLanes, acc[r][1]);
}

// Adds the bias to rows x columns sums, [rows][kBlock], and stores them in c.
inline void store_block(const Gemm& f, int64_t row, int64_t rows, int64_t column, int64_t columns, float* sums) {
  if (f.bias && !f.transposed)
    for (int64_t r = 0; r < rows; ++r)
      for (int v = 0; v < kBlock; v += kLanes) {
        float* sum = sums + r * kBlock + v;
        store(sum, load(sum) + load(f.bias + column + v));
      }
  if (f.bias && f.transposed)
    for (int64_t r = 0; r < rows; ++r)
      for (int v = 0; v < kBlock; v += kLanes) {
        float* sum = sums + r * kBlock + v;
        store(sum, load(sum) + broadcast(f.bias[row + r]));
      }
  if (f.transposed) return transpose(sums, kBlock, rows, columns, f.c + column * f.stride + row, f.stride);
  for (int64_t r = 0; r < rows; ++r) {
    const float* sum = sums + r * kBlock;
    float* out = f.c + (row + r) * f.stride + column;
    for_channels(columns, [&](auto type, int64_t c) { put(out + c, get(type, sum + c)); });
  }
}

inline void gemm_block(const Gemm& f, int64_t row, int64_t rows, int64_t panel, const float* b) {
  alignas(64) float sums[kGemmBlockRows * kBlock];
  const int64_t columns = min(kBlock, f.n - panel * kBlock);
  for (int64_t r = 0; r < rows; r += kTileRows) {
    const float* a[kTileRows];
    for (int64_t p = 0; p < kTileRows; ++p) {
      const int64_t i = min(row + r + p, f.m - 1);  // rows past the end repeat the last one and are not stored
      a[p] = f.a.values + i / f.group * f.group_stride + i % f.group * f.a.row;
    }
    for (int sub = 0; sub < columns; sub += kTileColumns)
      gemm_tile(a, f.a.column, b + sub, f.k, sums + r * kBlock + sub);
  }
  store_block(f, row, rows, panel * kBlock, columns, sums);
}

void gemm(const Gemm& f, int64_t begin, int64_t end, float* scratch) {
  if (f.panels) {
    const int64_t last = min(end * kGemmRows, f.m);
    for (int64_t row = begin * kGemmRows; row < last; row += kGemmBlockRows)
      for (int64_t panel = 0; panel * kBlock < f.n; ++panel)
        gemm_block(f, row, min(kGemmBlockRows, last - row), panel, f.panels + panel * f.k * kBlock);
    return;
  }
  for (int64_t panel = begin; panel < end; ++panel) {
    pack_panel(f.b, f.k, f.n, panel, scratch);
    for (int64_t row = 0; row < f.m; row += kGemmBlockRows)
      gemm_block(f, row, min(kGemmBlockRows, f.m - row), panel, scratch);
  }
}

}  // namespace
}  // namespace ISA
}  // namespace ganzoo
