// Convolution with kernel 3 or 4 and stride 1, and its weight gradient: work items, working memory, statistics.
#include "stride1.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../api.h"
#include "../isa/kernels.h"
#include "../winograd/work.h"
#include "../workspace.h"

namespace ganzoo {
namespace {

constexpr int64_t kItemRows = 128;       // tiles of a work item: rows of the products
constexpr int64_t kSlack = 8;            // rows that register tiles read past the last one

Stride1 make_stride1(const ShapeStride1& s) {
  Stride1 f = {};
  f.h = s.h, f.w = s.w, f.out_h = s.out_h(), f.out_w = s.out_w(), f.padding = s.padding;
  f.tile_rows = ceil_div(f.out_h, kTile), f.tile_columns = ceil_div(f.out_w, kTile);
  f.cin = f.gradient_pitch = s.cin, f.cout = s.cout, f.in_pitch = s.in_pitch, f.out_pitch = s.out_pitch, f.slope = 1;
  return f;
}

// Lays out f's planes and sums in this thread's workspace; returns the scratch memory of the passes.
float* set_workspace(Stride1& f, int kernel) {
  f.pitch = f.rows() | 1;  // odd, because a power of two would map all points to the same set of the L1 cache
  f.planes.stride = f.sums.stride = (tile_products(kernel) * f.pitch + kSlack) * kSlice;
  const int64_t planes = f.planes.stride * (round_up(f.cin, kBlock) / kSlice);
  const int64_t sums = f.sums.stride * (round_up(f.cout, kBlock) / kSlice);
  const int64_t line = tile_points(kernel) * (kTile * f.tile_columns + kernel - 1) * kSlice;
  f.planes.data = workspace<Scratch::kThread>(planes + sums + line);
  f.sums.data = f.planes.data + planes;
  return f.sums.data + sums;
}

// The number of items of whole lines; it does not depend on the number of threads.
int64_t items_of(const Stride1& f, int64_t lines) {
  const int64_t items = ceil_div(lines, std::max<int64_t>(1, kItemRows / f.tile_columns));
  return items == 1 ? 1 : std::min(lines, round_up(items, 4));  // as many for each of 2 or 4 threads
}

// Pixels in the lines before this one.
int64_t pixels_before(const Stride1& f, int64_t line) {
  return (line / f.tile_rows * f.out_h + line % f.tile_rows * kTile) * f.out_w;
}

// Merges the statistics of items, in their order (Chan, Golub, LeVeque 1983).
void merge_items(const Stride1& f, const float* means, const float* m2s, int64_t items, int64_t lines,
                 const Epilogue& e) {
  for (int64_t c = 0; c < f.cout; ++c) {
    double count = 0, mean = 0, m2 = 0;
    for (int64_t i = 0; i < items; ++i) {
      const double total = static_cast<double>(pixels_before(f, lines * (i + 1) / items)), added = total - count;
      const double delta = means[i * f.cout + c] - mean;
      mean += delta * added / total;
      m2 += m2s[i * f.cout + c] + delta * delta * count * added / total;
      count = total;
    }
    e.mean[c] = static_cast<float>(mean);
    e.var[c] = static_cast<float>(m2 / count);
  }
}

// ---- few channels on one side ---------------------------------------------------------------------------------------

constexpr int64_t kFewImages = 8;     // fewer images than this are divided into chunks of rows
constexpr int64_t kMinRows = 8;       // of a chunk: one row of each neighbour is computed again
constexpr int64_t kMaxPartials = 32;  // partial results of a weight gradient

bool is_few(int64_t channels) { return channels <= kMaxFewChannels; }
bool is_few(int kernel, int64_t cin, int64_t cout) { return kernel == 3 && (is_few(cin) || is_few(cout)); }

ShapeStride1 swapped(ShapeStride1 s) {
  std::swap(s.cin, s.cout);
  std::swap(s.in_pitch, s.out_pitch);
  return s;
}

FewConv3x3 make_few(const ShapeStride1& s) {
  FewConv3x3 f = {};
  f.n = s.n, f.h = s.h, f.w = s.w, f.cin = s.cin, f.cout = s.cout, f.in_pitch = s.in_pitch, f.out_pitch = s.out_pitch;
  f.rows = std::max(kMinRows, ceil_div(s.h, ceil_div(kFewImages, s.n))), f.chunks = ceil_div(s.h, f.rows);
  f.columns = round_up(is_few(s.cin) ? s.cout : kTaps3 * s.cout, kBlock);
  return f;
}

void pack_few(const Stride1Packing& p) {
  const bool expands = is_few(p.cin);
  const int64_t columns = round_up(expands ? p.cout : kTaps3 * p.cout, kBlock);
  std::fill_n(p.panels, (expands ? kTaps3 * p.cin : p.cin) * columns, 0.0f);
  for (int64_t i = 0; i < p.cin; ++i)
    for (int64_t o = 0; o < p.cout; ++o)
      for (int64_t k = 0; k < kTaps3; ++k)
        p.panels[expands ? (k * p.cin + i) * columns + o : i * columns + k * p.cout + o] =
            p.weight[i * p.in + o * p.out + k / 3 * p.row + k % 3 * p.column];
}

void convolve_few(const ShapeStride1& s, const float* x, const float* packed, const Epilogue& e, const float* residual,
                  float* out, Parallel run) {
  FewConv3x3 f = make_few(s);
  f.x = x, f.panels = packed, f.scale = e.scale, f.shift = e.shift, f.residual = residual, f.slope = e.slope;
  f.out = out;
  const bool expands = is_few(s.cin);
  const int64_t scratch = 3 * (expands ? few_line(s.w, s.cin) : few_line(s.w, f.columns));
  const Kernels& isa = kernels();
  run(f.n * f.chunks, [&](int64_t begin, int64_t end) {
    (expands ? isa.conv3x3_expand : isa.conv3x3_reduce)(f, begin, end, workspace<Scratch::kThread>(scratch));
  });
  if (e.mean) channel_statistics(Type::kFloat32, out, s.n * s.h * s.w, s.cout, e.mean, e.var, run);
}

void few_weight_gradient(const ShapeStride1& s, const float* x, const float* grad, float* out, Parallel run) {
  // With few output channels, their gradient is the image whose patches are taken, and taps count backwards.
  const bool expands = is_few(s.cin);
  FewConv3x3 f = make_few(expands ? s : swapped(s));
  f.x = expands ? x : grad, f.grad = expands ? grad : x;
  f.items = std::clamp<int64_t>(f.n, 1, kMaxPartials);
  const int64_t size = few_gradient(f.cin, f.columns);
  float* sums = f.sums = workspace<Scratch::kShared>(f.items * size);
  const Kernels& isa = kernels();
  run(f.items, [&](int64_t begin, int64_t end) {
    isa.conv3x3_few_gradient(f, begin, end,
                             workspace<Scratch::kThread>(3 * few_line(f.w, f.cin) + f.w * f.columns));
  });
  for (int64_t item = 1; item < f.items; ++item)
    for (int64_t i = 0; i < kTaps3 * f.cin * f.columns; ++i) sums[i] += sums[item * size + i];
  for (int64_t o = 0; o < s.cout; ++o)
    for (int64_t k = 0; k < kTaps3; ++k)
      for (int64_t i = 0; i < s.cin; ++i)
        out[(o * kTaps3 + k) * s.cin + i] =
            expands ? sums[(k * s.cin + i) * f.columns + o] : sums[((kTaps3 - 1 - k) * s.cout + o) * f.columns + i];
}

}  // namespace

int64_t packed_size_stride1(int kernel, int64_t cin, int64_t cout) {
  if (!is_few(kernel, cin, cout)) return round_up(cout, kBlock) * tile_products(kernel) * padded(cin);
  return is_few(cin) ? kTaps3 * cin * round_up(cout, kBlock) : cin * round_up(kTaps3 * cout, kBlock);
}

void pack_stride1(int kernel, bool transposed, const float* weight, const int64_t strides[4], int64_t cin, int64_t cout,
                  float* packed, Parallel run) {
  Stride1Packing f = {weight, strides[1], strides[0], strides[2], strides[3], cin, cout, packed};
  if (transposed) {  // the kernel is reversed
    std::swap(f.in, f.out);
    f.weight += (kernel - 1) * (f.row + f.column), f.row = -f.row, f.column = -f.column;
  }
  if (is_few(kernel, cin, cout)) return pack_few(f);
  const Stride1Kernels& isa = kernels().stride1(kernel);
  run(ceil_div(cout, kBlock) * (padded(cin) / kSlice),
      [&](int64_t begin, int64_t end) { isa.pack(f, begin, end); });
}

void convolve_stride1(const ShapeStride1& s, const float* x, const float* packed, const Epilogue& e,
                      const float* residual, float* out, Parallel run) {
  if (is_few(s.kernel, s.cin, s.cout)) return convolve_few(s, x, packed, e, residual, out, run);
  const Stride1 whole = make_stride1(s);
  const int64_t lines = s.n * whole.tile_rows, items = items_of(whole, lines);
  // With more threads than items, each computes some of the output channels.
  const int64_t parts = std::min(ceil_div(run.threads, items), ceil_div(s.cout, kBlock));
  std::vector<float> statistics(e.mean ? 2 * items * s.cout : 0);
  const Stride1Kernels& isa = kernels().stride1(s.kernel);
  run_items(items * parts, run, [&](int64_t item) {
    const int64_t index = item / parts;
    const ChannelRange r = channel_range(s.cout, kBlock, item % parts, parts);
    Stride1 f = whole;
    f.first = lines * index / items, f.lines = lines * (index + 1) / items - f.first;
    f.cout = r.size, f.x = x, f.out = out + r.first;
    f.panels = packed + r.first * tile_products(s.kernel) * padded(s.cin);
    f.scale = e.scale ? e.scale + r.first : nullptr, f.shift = e.shift ? e.shift + r.first : nullptr;
    f.residual = residual ? residual + r.first : nullptr, f.slope = e.slope;
    if (e.mean) f.mean = statistics.data() + index * s.cout + r.first, f.m2 = f.mean + items * s.cout;
    float* scratch = set_workspace(f, s.kernel);
    isa.scatter_input(f, scratch);
    isa.multiply(f, scratch);
    isa.gather(f, scratch);
  });
  if (e.mean) merge_items(whole, statistics.data(), statistics.data() + items * s.cout, items, lines, e);
}

void weight_gradient_stride1(const ShapeStride1& s, const float* x, const float* grad, float* out, Parallel run) {
  if (is_few(s.kernel, s.cin, s.cout)) return few_weight_gradient(s, x, grad, out, run);
  const Stride1 whole = make_stride1(s);
  const int64_t lines = s.n * whole.tile_rows, items = items_of(whole, lines);
  const int64_t points = tile_products(s.kernel), rows = ceil_div(lines, items) * whole.tile_columns;
  const GradientWork work = {s.cout, s.cin, items, points, rows * points, rows * points, rows * points, false};
  const Stride1Kernels& isa = kernels().stride1(s.kernel);
  const auto of = [&](const GradientItem& item) {
    Stride1 f = whole;
    f.cin = item.columns.size, f.cout = item.rows.size, f.x = x + item.columns.first, f.grad = grad + item.rows.first;
    f.gradient = out + item.rows.first * s.kernel * s.kernel * s.cin + item.columns.first;
    f.products = item.products, f.is_first = item.first, f.is_last = item.last;
    return f;
  };
  const auto multiply = [&](const GradientItem& item) {
    Stride1 f = of(item);
    f.first = lines * item.chunk / items, f.lines = lines * (item.chunk + 1) / items - f.first;
    float* scratch = set_workspace(f, s.kernel);
    isa.scatter_input(f, scratch);
    isa.scatter_gradient(f, scratch);
    isa.multiply_gradient(f, scratch);
  };
  run_gradient(work, run, multiply, [&](const GradientItem& item) { isa.join_gradient(of(item), nullptr); });
}

}  // namespace ganzoo
