// Matrix product: which side is packed, and how the work is divided.
#include "gemm.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "../api.h"
#include "../isa/kernels.h"
#include "../workspace.h"

namespace ganzoo {
namespace {

constexpr int64_t kFewPanels = 8;   // up to this many panels of b are packed first and shared by the threads
constexpr int64_t kShortSum = 128;  // k up to which a is read by columns from the caches without packing
// Floats to pack, and multiplications, below which one thread has finished before a second has started: about 10 us in
// a virtual machine.
constexpr int64_t kSmallPacking = 1 << 17, kSmallProduct = 3 << 19;

Parallel serial_if(bool small, Parallel run) { return small ? kOneThread : run; }

// Packs rows in groups of kGroupRows, [group][k][row of the group], so that a tile's rows are side by side.
void pack_rows(const Matrix& a, int64_t m, int64_t k, float* to, Parallel run) {
  run(ceil_div(m, kGroupRows), [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group) {
      const int64_t rows = std::min<int64_t>(kGroupRows, m - group * kGroupRows);
      const float* from = a.values + group * kGroupRows * a.row;
      float* packed = to + group * kGroupRows * k;
      for (int64_t i = 0; i < k; ++i, from += a.column, packed += kGroupRows)
        for (int64_t r = 0; r < rows; ++r) packed[r] = from[r * a.row];
    }
  });
}

}  // namespace

void gemm(const float* a, const int64_t a_strides[2], const float* b, const int64_t b_strides[2], const float* bias,
          int64_t m, int64_t n, int64_t k, float* c, Parallel run) {
  Gemm f = {};
  f.a = {a, a_strides[0], a_strides[1]}, f.b = {b, b_strides[0], b_strides[1]};
  f.m = m, f.n = n, f.k = k, f.c = c, f.stride = n;
  // If b is contiguous by columns, as in x W^T, compute c^T = W x^T: the large W is then read in place.
  f.transposed = f.b.row == 1 && n > 1 && m < n;
  if (f.transposed) {
    std::swap(f.a, f.b), std::swap(f.m, f.n);
    std::swap(f.a.row, f.a.column), std::swap(f.b.row, f.b.column);
  }
  const int64_t panel_count = ceil_div(f.n, kBlock);
  const int64_t row_items = ceil_div(f.m, kGemmRows);
  // a^T with contiguous rows and a short sum, as in grad^T x of a small batch, stays in the caches without packing
  const bool packs_rows = f.a.column != 1 && (f.a.row != 1 || k > kShortSum);
  const bool packs_panels = panel_count <= std::min(kFewPanels, row_items);
  run = serial_if(f.m * f.n * k < kSmallProduct, run);
  const int64_t bias_size = round_up(n, kBlock), rows_size = round_up(f.m, kGroupRows) * k;
  const int64_t panels_size = panel_count * k * kBlock;
  float* shared =
      workspace<Scratch::kShared>(bias_size + (packs_rows ? rows_size : 0) + (packs_panels ? panels_size : 0));
  float *rows = shared + bias_size, *panels = rows + (packs_rows ? rows_size : 0);
  if (bias) f.bias = std::copy(bias, bias + n, shared) - n;
  f.group = 1, f.group_stride = f.a.row;
  if (packs_rows) {
    pack_rows(f.a, f.m, k, rows, serial_if(rows_size < kSmallPacking, run));
    f.a = {rows, 1, kGroupRows};
    f.group = kGroupRows, f.group_stride = kGroupRows * k;
  }
  const Kernels& isa = kernels();
  if (packs_panels) {
    serial_if(panels_size < kSmallPacking, run)(panel_count, [&](int64_t begin, int64_t end) {
      for (int64_t panel = begin; panel < end; ++panel)
        isa.pack_panel(f.b, k, f.n, panel, panels + panel * k * kBlock);
    });
    f.panels = panels;
  }
  run(packs_panels ? row_items : panel_count, [&](int64_t begin, int64_t end) {
    isa.gemm(f, begin, end, workspace<Scratch::kThread>(packs_panels ? 0 : k * kBlock));
  });
}

}  // namespace ganzoo
