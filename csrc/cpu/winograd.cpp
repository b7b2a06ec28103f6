// Winograd's scheme for both convolutions and the weight gradient: axes, chunks of images, the order of the passes.
#include "winograd.h"

#include <algorithm>
#include <vector>

#include "driver.h"
#include "kept.h"
#include "kernels.h"

namespace ganzoo {
namespace {

// A chunk of images has so many rows of a panel's products if there are as many: enough to be worth the panel, which is
// put together anew for each chunk, and few enough for planes and sums to stay in the L3.
constexpr int64_t kChunkRows = 160;
constexpr int64_t kMostValues = int64_t{6} << 20;  // floats of planes and sums

int64_t padded_to(int64_t channels, int64_t of) { return (channels + of - 1) / of * of; }

void count(Kinds& kinds, int64_t number) {
  kinds.total = 0;
  for (int64_t k = 0; k < number; ++k) {
    kinds.start[k] = kinds.total;
    kinds.total += kinds.count[k];
  }
}

Axis axis(int64_t small, int64_t big) {
  Axis a = {small, big, 0, 0, 0, {}, {}};
  const int64_t between = small - 1;
  a.fours = between >= 4 && between % 3 == 1 ? 1 : between >= 8 && between % 3 == 2 ? 2 : 0;
  const int64_t rest = between - 4 * a.fours;
  a.tiles = a.fours + (rest + 2) / 3;
  a.last = rest == 0 ? 4 : rest % 3 == 0 ? 3 : rest % 3;
  for (int p = 0; p < kPoints; ++p) {
    int64_t tiles = 0;
    for (int64_t t = 0; t < a.tiles; ++t) tiles += p <= a.size(t);
    a.planes.count[p] = a.sums.count[p] = a.sums.count[kPoints + p] = tiles;
  }
  a.planes.count[kPlaneFirst] = a.planes.count[kPlaneLast] = a.sums.count[kSumFirst] = a.sums.count[kSumLast] = 1;
  a.sums.count[kSumBeyond] = big % 2;
  count(a.planes, kPlaneKinds), count(a.sums, kSumKinds);
  return a;
}

Winograd plan(const Shape& s) {
  Winograd f = {};
  f.axis[0] = axis(s.h, s.H), f.axis[1] = axis(s.w, s.W);
  f.cs = s.cs, f.cb = s.cb, f.slope = 1;
  return f;
}

int64_t rows_of_image(const Winograd& f, bool planes) {
  return planes ? f.axis[0].planes.total * f.axis[1].planes.total : f.axis[0].sums.total * f.axis[1].sums.total;
}

// Calls body for one chunk of images after the other, f set up for it.
template <class Body>
void each_chunk(const Shape& s, Winograd& f, const float* small, const float* big, const Body& body) {
  const int64_t planes = padded_to(s.cs, kBlock), sums = padded_to(s.cb, kBlock);
  const int64_t image = rows_of_image(f, true) * planes + rows_of_image(f, false) * sums;
  const int64_t tiles = std::max<int64_t>(1, f.axis[0].tiles * f.axis[1].tiles);
  const int64_t fits = std::max<int64_t>(1, std::min((kChunkRows + tiles - 1) / tiles, kMostValues / image));
  const int64_t chunks = (s.n + fits - 1) / fits, chunk = (s.n + chunks - 1) / chunks;
  // register tiles read past the last row
  const int64_t plane_stride = (rows_of_image(f, true) * chunk + kSlice) * kSlice;
  const int64_t sum_stride = (rows_of_image(f, false) * chunk + kSlice) * kSlice;
  float* memory = kept<kCaller>(plane_stride * (planes / kSlice) + sum_stride * (sums / kSlice));
  f.planes = {memory, plane_stride}, f.sums = {memory + plane_stride * (planes / kSlice), sum_stride};
  for (int64_t first = 0; first < s.n; first += chunk) {
    f.n = std::min(chunk, s.n - first), f.first = first == 0, f.last = first + f.n == s.n;
    f.small = small ? small + first * s.h * s.w * s.cs : nullptr;
    f.big = big ? big + first * s.H * s.W * s.cb : nullptr;
    body(first);
  }
}

// Passes over the images of a chunk.
void run_images(const Winograd& f, Parallel run, bool small, void (*pass)(const Winograd&, int64_t, int64_t, float*)) {
  const int64_t pixels = small ? f.axis[1].small : f.axis[1].big;
  const int64_t floats = kPoints * pixels * padded_to(small ? f.cs : f.cb, kSlice);
  run(f.n, [&](int64_t begin, int64_t end) { pass(f, begin, end, kept<kWorker>(floats)); });
}

}  // namespace

void convolve_winograd(bool up, const Shape& s, const float* x, const float* packed, const int* place,
                       const Epilogue& e, float* out, Parallel run) {
  Winograd f = plan(s);
  const int64_t channels = up ? s.cb : s.cs, pixels = up ? s.H * s.W : s.h * s.w;
  const int64_t blocks = padded_to(channels, kBlock) / kBlock;
  std::vector<float> statistics(e.mean ? 2 * s.n * channels : 0);
  f.packed = packed, f.scale = e.scale, f.shift = e.shift, f.slope = e.slope;
  std::copy(place, place + kTaps, f.place);
  const Kernels& isa = kernels();
  each_chunk(s, f, up ? x : nullptr, up ? nullptr : x, [&](int64_t first) {
    f.out = out + first * pixels * channels;
    if (e.mean) f.mean = statistics.data() + first * channels, f.m2 = f.mean + s.n * channels;
    run_images(f, run, up, up ? isa.scatter_small : isa.scatter_big);
    if (up)
      run(kPanels * kPanels * blocks, [&](int64_t begin, int64_t end) {
        isa.multiply_up(f, begin, end, kept<kWorker>(padded_to(s.cs, kSlice) * kBlock));
      });
    else
      run(kPlaneKinds * kPlaneKinds * blocks, [&](int64_t begin, int64_t end) {
        isa.multiply_down(f, begin, end, kept<kWorker>(4 * padded_to(s.cb, kSlice) * kBlock));
      });
    run_images(f, run, !up, up ? isa.gather_big : isa.gather_small);
  });
  if (!e.mean) return;
  // images have the same number of pixels each (Chan, Golub, LeVeque 1983)
  for (int64_t c = 0; c < channels; ++c) {
    double mean = 0, m2 = 0;
    for (int64_t i = 0; i < s.n; ++i) {
      const double delta = statistics[i * channels + c] - mean;
      mean += delta / static_cast<double>(i + 1);
      m2 += statistics[(s.n + i) * channels + c] + delta * delta * static_cast<double>(pixels * i) / static_cast<double>(i + 1);
    }
    e.mean[c] = static_cast<float>(mean);
    e.var[c] = static_cast<float>(m2 / static_cast<double>(s.n * pixels));
  }
}

void winograd_weight_gradient(const Shape& s, const float* small, const float* big, float* out, Parallel run) {
  Winograd f = plan(s);
  const int64_t items = padded_to(s.cs, kGradientRows) / kGradientRows * (padded_to(s.cb, kBlock) / kBlock);
  const int64_t size = kPanels * kPanels * kGradientRows * kBlock;
  f.gradient = out;
  const Kernels& isa = kernels();
  each_chunk(s, f, small, big, [&](int64_t) {
    if (f.n < s.n) f.products = kept<kProductsOfGradient>(items * size);
    run_images(f, run, true, isa.scatter_small);
    run_images(f, run, false, isa.scatter_big);
    run(items, [&](int64_t begin, int64_t end) { isa.multiply_gradient(f, begin, end, kept<kWorker>(size)); });
  });
}

}  // namespace ganzoo
