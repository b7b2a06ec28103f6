// Matrix products: which side is packed, and how the work is cut.
#include <algorithm>
#include <utility>

#include "driver.h"
#include "kept.h"
#include "kernels.h"

namespace ganzoo {
namespace {

constexpr int64_t kFewPanels = 8;  // at most so many panels of b are packed before all else and shared by the threads
constexpr int64_t kShortSum = 128;
// Floats to pack and products below which one thread is done before a second has started, some 10 us in a virtual machine.
constexpr int64_t kSmallPacking = 1 << 17, kSmallProduct = 3 << 19;

int64_t parts(int64_t whole, int64_t part) { return (whole + part - 1) / part; }

void alone(int64_t items, const Body& body) { body(0, items); }
Parallel unless(bool small, Parallel run) { return small ? Parallel{alone, 1} : run; }

// Rows in groups of kGroupRows, [group][k][row of the group]: a tile then reads its rows side by side.
void pack_rows(const Matrix& a, int64_t m, int64_t k, float* to, Parallel run) {
  run(parts(m, kGroupRows), [&](int64_t begin, int64_t end) {
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

void multiply(const float* a, const int64_t a_strides[2], const float* b, const int64_t b_strides[2], const float* bias,
              int64_t m, int64_t n, int64_t k, float* c, Parallel run) {
  Product f = {};
  f.a = {a, a_strides[0], a_strides[1]}, f.b = {b, b_strides[0], b_strides[1]};
  f.m = m, f.n = n, f.k = k, f.c = c, f.stride = n;
  // b by columns, as in x W^T: W then takes the left side, which is read where it lies, and c comes out transposed.
  f.transposed = f.b.row == 1 && n > 1 && m < n;
  if (f.transposed) {
    std::swap(f.a, f.b), std::swap(f.m, f.n);
    std::swap(f.a.row, f.a.column), std::swap(f.b.row, f.b.column);
  }
  const int64_t count = parts(f.n, kBlock);
  const int64_t row_items = parts(f.m, kProductRows);
  // a^T by rows of which few are summed, as in grad^T x of a small batch, stays in the caches as it is
  const bool packs_rows = f.a.column != 1 && (f.a.row != 1 || k > kShortSum);
  const bool packs_panels = count <= std::min(kFewPanels, row_items);
  run = unless(f.m * f.n * k < kSmallProduct, run);
  const int64_t bias_size = parts(n, kBlock) * kBlock, rows_size = parts(f.m, kGroupRows) * kGroupRows * k;
  float* shared = kept<kCaller>(bias_size + (packs_rows ? rows_size : 0) + (packs_panels ? count * k * kBlock : 0));
  float *rows = shared + bias_size, *panels = rows + (packs_rows ? rows_size : 0);
  if (bias) f.bias = std::copy(bias, bias + n, shared) - n;
  f.group = 1, f.group_stride = f.a.row;
  if (packs_rows) {
    pack_rows(f.a, f.m, k, rows, unless(rows_size < kSmallPacking, run));
    f.a = {rows, 1, kGroupRows};
    f.group = kGroupRows, f.group_stride = kGroupRows * k;
  }
  const Kernels& isa = kernels();
  if (packs_panels) {
    unless(count * k * kBlock < kSmallPacking, run)(count, [&](int64_t begin, int64_t end) {
      for (int64_t panel = begin; panel < end; ++panel)
        isa.pack_panel(f.b, k, f.n, panel, panels + panel * k * kBlock);
    });
    f.panels = panels;
  }
  run(packs_panels ? row_items : count, [&](int64_t begin, int64_t end) {
    isa.multiply(f, begin, end, kept<kWorker>(packs_panels ? 0 : k * kBlock));
  });
}

}  // namespace ganzoo
