// Arguments of the matrix product kernels: c = a b + bias, a read in place and b from packed panels.
#pragma once
#include <cstdint>

#include "../blocking.h"

namespace ganzoo {

constexpr int kGemmRows = 24;       // rows of one work item: whole register tiles
constexpr int kGemmBlockRows = 48;  // rows computed before they are stored: a multiple of every number of lanes
constexpr int kGroupRows = 24;      // rows packed side by side if a is read by columns

// The element (i, j) is values[i * row + j * column].
struct Matrix {
  const float* values;
  int64_t row, column;
};

// c [m, n] = a [m, k] b [k, n] + bias. With `panels`, an item is kGemmRows rows of c; without, a panel of kBlock
// columns of b, which the kernel packs into its scratch of k * kBlock floats.
struct Gemm {
  Matrix a, b;
  int64_t group, group_stride;  // row i of a is at i / group * group_stride + i % group * a.row
  const float* panels;          // b as [ceil(n / kBlock)][k][kBlock], or null
  const float* bias;            // [n], readable up to a multiple of kBlock, or [m] if `transposed`; or null
  float* c;
  int64_t stride;   // between rows of c, or between columns if `transposed`; the other stride is 1
  bool transposed;
  int64_t m, n, k;
};

}  // namespace ganzoo
