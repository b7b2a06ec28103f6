// Winograd convolutions and weight gradient: tiles of an axis, chunks of images, the order of the passes.
#include "winograd.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../api.h"
#include "../blocking.h"
#include "../isa/kernels.h"
#include "../workspace.h"
#include "work.h"

namespace ganzoo {
namespace {

// A chunk of images has this many rows for each panel's product, if there are as many: enough to pay for the panel,
// which is combined from the taps once for each chunk, and few enough for planes and sums to stay in the L3 cache.
constexpr int64_t kChunkRows = 160;
constexpr int64_t kMinChunkRows = 64;             // if that gives every thread a chunk
constexpr int64_t kMaxValues = int64_t{6} << 20;  // floats of planes and sums

void set_starts(Kinds& kinds, int64_t number) {
  kinds.total = 0;
  for (int64_t k = 0; k < number; ++k) {
    kinds.start[k] = kinds.total;
    kinds.total += kinds.count[k];
  }
}

// As many tiles of 4 as leave a multiple of 3; none in bfloat16.
Axis make_axis(Type type, int64_t small, int64_t big) {
  Axis a = {small, big, 0, 0, 0, {}, {}};
  const int64_t inner = small - 1;
  a.fours = type == Type::kFloat32 ? inner / 4 : 0;
  while (a.fours > 0 && (inner - 4 * a.fours) % 3) --a.fours;
  const int64_t rest = inner - 4 * a.fours;
  a.tiles = a.fours + (rest + 2) / 3;
  a.last = rest == 0 ? 4 : rest % 3 == 0 ? 3 : rest % 3;
  for (int p = 0; p < kPoints; ++p) {
    int64_t tiles = 0;
    for (int64_t t = 0; t < a.tiles; ++t) tiles += p <= a.size(t);
    a.planes.count[p] = a.sums.count[p] = a.sums.count[kPoints + p] = tiles;
  }
  a.planes.count[kPlaneFirst] = a.planes.count[kPlaneLast] = a.sums.count[kSumFirst] = a.sums.count[kSumLast] = 1;
  a.sums.count[kSumBeyond] = big % 2;
  set_starts(a.planes, kPlaneKinds), set_starts(a.sums, kSumKinds);
  return a;
}

Winograd make_winograd(Type type, const Shape& s) {
  Winograd f = {};
  f.axis[0] = make_axis(type, s.h, s.H), f.axis[1] = make_axis(type, s.w, s.W);
  f.cs = f.small_pitch = s.cs, f.cb = f.big_pitch = s.cb, f.slope = 1;
  return f;
}

int64_t rows_of_image(const Kinds Axis::*side, const Winograd& f) {
  return (f.axis[0].*side).total * (f.axis[1].*side).total;
}

// Point 2 has the rows of all tiles but those of size 1, whose points are 0 and infinity only.
int64_t inner_rows(const Axis& rows, const Axis& columns) { return rows.planes.count[2] * columns.planes.count[2]; }

// The number of images that have `rows` inner rows.
int64_t images_for(const Winograd& f, int64_t rows) {
  return ceil_div(rows, std::max<int64_t>(1, inner_rows(f.axis[0], f.axis[1])));
}

int64_t images_of_chunk(const Winograd& f, int64_t n) {
  const int64_t values = rows_of_image(&Axis::planes, f) * round_up(f.cs, kBlock) +
                         rows_of_image(&Axis::sums, f) * round_up(f.cb, kBlock);
  const int64_t most = std::max<int64_t>(1, std::min(images_for(f, kChunkRows), kMaxValues / values));
  return ceil_div(n, ceil_div(n, most));
}

// Lays out f's planes and sums in this thread's workspace; returns the scratch memory of the passes.
float* set_workspace(Winograd& f) {
  const auto set_stride = [&](const Kinds Axis::*side, int64_t channels, Values& values) {
    values.stride = (rows_of_image(side, f) * f.lines + kSlice) * kSlice;  // register tiles read past the last row
    return values.stride * (round_up(channels, kBlock) / kSlice);
  };
  const int64_t planes = set_stride(&Axis::planes, f.cs, f.planes), sums = set_stride(&Axis::sums, f.cb, f.sums);
  // rows of points of two images, or those of one and its pixels: kBlock is a multiple of every slice's channels
  const int64_t small_row = f.axis[1].small * round_up(f.cs, kBlock), big_row = f.axis[1].big * round_up(f.cb, kBlock);
  const int64_t rows = 2 * kPoints * std::max(small_row, big_row);
  const int64_t panels = kBlock * std::max(round_up(f.cs, kBlock), 4 * round_up(f.cb, kBlock));
  f.planes.data = workspace<Scratch::kThread>(planes + sums + std::max(rows, panels));
  f.sums.data = f.planes.data + planes;
  return f.sums.data + sums;
}

// Merges the statistics of images, which have the same number of pixels, in their order (Chan, Golub, LeVeque 1983).
void merge_images(const float* means, const float* m2s, int64_t n, int64_t pixels, int64_t channels,
                  const Epilogue& e) {
  for (int64_t c = 0; c < channels; ++c) {
    double mean = 0, m2 = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double delta = means[i * channels + c] - mean, images = static_cast<double>(i + 1);
      mean += delta / images;
      m2 += m2s[i * channels + c] + delta * delta * static_cast<double>(pixels * i) / images;
    }
    e.mean[c] = static_cast<float>(mean);
    e.var[c] = static_cast<float>(m2 / static_cast<double>(n * pixels));
  }
}

}  // namespace

int64_t winograd_rows(int64_t h, int64_t w) {
  return inner_rows(make_axis(Type::kFloat32, h, 2 * h), make_axis(Type::kFloat32, w, 2 * w));
}

void winograd_convolve(Type type, bool transposed, const Shape& s, const void* x, const float* packed, const int* place,
                       const Epilogue& e, void* out, Parallel run) {
  const int64_t cin = transposed ? s.cs : s.cb, cout = transposed ? s.cb : s.cs;
  const int64_t in = transposed ? s.h * s.w * s.cs : s.H * s.W * s.cb, pixels = transposed ? s.H * s.W : s.h * s.w;
  std::vector<float> statistics(e.mean ? 2 * s.n * cout : 0);
  Winograd whole = make_winograd(type, s);
  whole.slope = e.slope;
  std::copy(place, place + kTaps, whole.place);
  // Chunks of images and, if there are more threads than chunks, parts of the output channels. Neither affects the
  // bits.
  const int64_t threads = run.threads, fewest = ceil_div(s.n, images_of_chunk(whole, s.n));
  const int64_t balanced = round_up(fewest, threads);  // the same number of chunks for every thread
  const int64_t chunks = std::max(fewest, std::min(balanced, s.n / images_for(whole, kMinChunkRows)));
  const int64_t parts = std::min(ceil_div(threads, chunks), ceil_div(cout, kBlock));
  const ImageKernels& isa = image_kernels(type);
  run_items(chunks * parts, run, [&](int64_t item) {
    const int64_t first = s.n * (item / parts) / chunks, end = s.n * (item / parts + 1) / chunks;
    const ChannelRange r = channel_range(cout, kBlock, item % parts, parts);
    Winograd f = whole;
    f.n = f.lines = end - first, (transposed ? f.cb : f.cs) = r.size;
    (transposed ? f.small : f.big) = at(type, x, first * in);
    f.out = at(type, out, first * pixels * cout + r.first);
    f.packed = packed + r.first * kTaps * cin;
    f.scale = e.scale ? e.scale + r.first : nullptr, f.shift = e.shift ? e.shift + r.first : nullptr;
    if (e.mean) f.mean = statistics.data() + first * cout + r.first, f.m2 = f.mean + s.n * cout;
    float* scratch = set_workspace(f);
    (transposed ? isa.scatter_small : isa.scatter_big)(f, scratch);
    (transposed ? isa.multiply_transposed : isa.multiply_strided)(f, scratch);
    (transposed ? isa.gather_big : isa.gather_small)(f, scratch);
  });
  if (e.mean) merge_images(statistics.data(), statistics.data() + s.n * cout, s.n, pixels, cout, e);
}

void winograd_weight_gradient(Type type, const Shape& s, const void* small, const void* big, float* out, Parallel run) {
  const Winograd whole = make_winograd(type, s);
  const int64_t chunk = images_of_chunk(whole, s.n);
  const int64_t planes = rows_of_image(&Axis::planes, whole), sums = rows_of_image(&Axis::sums, whole);
  const GradientWork work = {s.cs, s.cb, ceil_div(s.n, chunk), kPanels * kPanels, chunk * sums, chunk * planes,
                             chunk * sums, true};
  const ImageKernels& isa = image_kernels(type);
  const auto of = [&](const GradientItem& item) {
    Winograd f = whole;
    f.cs = item.rows.size, f.cb = item.columns.size, f.gradient = out + item.rows.first * kTaps * s.cb + item.columns.first;
    f.products = item.products, f.first = item.first, f.last = item.last;
    return f;
  };
  const auto multiply = [&](const GradientItem& item) {
    Winograd f = of(item);
    const int64_t first = item.chunk * chunk;
    f.n = std::min(chunk, s.n - first), f.lines = type == Type::kFloat32 ? f.n : ceil_div(f.n, 2);
    f.small = at(type, small, first * s.h * s.w * s.cs + item.rows.first);
    f.big = at(type, big, first * s.H * s.W * s.cb + item.columns.first);
    float* scratch = set_workspace(f);
    isa.scatter_small_for_gradient(f, scratch);
    isa.scatter_big_for_gradient(f, scratch);
    isa.multiply_gradient(f, scratch);
  };
  run_gradient(work, run, multiply, [&](const GradientItem& item) { isa.join_gradient(of(item), nullptr); });
}

}  // namespace ganzoo
