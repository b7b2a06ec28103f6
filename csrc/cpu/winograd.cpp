// Winograd's scheme for both convolutions and the weight gradient: axes, chunks of images, the order of the passes.
#include "winograd.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <vector>

#include "driver.h"
#include "kept.h"
#include "kernels.h"

namespace ganzoo {
namespace {

// A chunk of images has so many rows of a panel's products if there are as many: enough to be worth the panel, which is
// put together anew for each chunk, and few enough for planes and sums to stay in the L3.
constexpr int64_t kChunkRows = 160;
constexpr int64_t kLeastChunkRows = 64;            // where threads share the images
constexpr int64_t kMostValues = int64_t{6} << 20;  // floats of planes and sums

int64_t padded_to(int64_t channels, int64_t of) { return (channels + of - 1) / of * of; }

void count(Kinds& kinds, int64_t number) {
  kinds.total = 0;
  for (int64_t k = 0; k < number; ++k) {
    kinds.start[k] = kinds.total;
    kinds.total += kinds.count[k];
  }
}

// As many tiles of 4 as leave whole tiles of 3.
Axis axis(int64_t small, int64_t big) {
  Axis a = {small, big, 0, 0, 0, {}, {}};
  const int64_t between = small - 1;
  a.fours = between / 4;
  while (a.fours > 0 && (between - 4 * a.fours) % 3) --a.fours;
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
  f.cs = f.small_pitch = s.cs, f.cb = f.big_pitch = s.cb, f.slope = 1;
  return f;
}

int64_t rows_of_image(const Kinds Axis::*side, const Winograd& f) { return (f.axis[0].*side).total * (f.axis[1].*side).total; }

// Rows that an image gives the panels of inner points; a short last tile has fewer points.
int64_t inner_rows(const Axis& rows, const Axis& columns) { return rows.planes.count[2] * columns.planes.count[2]; }

int64_t images_for(const Winograd& f, int64_t rows) {
  const int64_t of_image = std::max<int64_t>(1, inner_rows(f.axis[0], f.axis[1]));
  return (rows + of_image - 1) / of_image;
}

int64_t images_of_chunk(const Winograd& f, int64_t n) {
  const int64_t image = rows_of_image(&Axis::planes, f) * padded_to(f.cs, kBlock) +
                        rows_of_image(&Axis::sums, f) * padded_to(f.cb, kBlock);
  const int64_t fit = std::max<int64_t>(1, std::min(images_for(f, kChunkRows), kMostValues / image));
  const int64_t chunks = (n + fit - 1) / fit;
  return (n + chunks - 1) / chunks;
}

// Sets f up to work in memory of this thread; returns what is left of it for the passes.
float* settle(Winograd& f) {
  const auto lay_out = [&](const Kinds Axis::*side, int64_t channels, Values& values) {
    values.stride = (rows_of_image(side, f) * f.n + kSlice) * kSlice;  // register tiles read past the last row
    return values.stride * (padded_to(channels, kBlock) / kSlice);
  };
  const int64_t planes = lay_out(&Axis::planes, f.cs, f.planes), sums = lay_out(&Axis::sums, f.cb, f.sums);
  const int64_t rows = kPoints * std::max(f.axis[1].small * padded_to(f.cs, kSlice), f.axis[1].big * padded_to(f.cb, kSlice));
  const int64_t panels = kBlock * std::max(padded_to(f.cs, kSlice), 4 * padded_to(f.cb, kSlice));
  f.planes.data = kept<kWorker>(planes + sums + std::max(rows, panels));
  f.sums.data = f.planes.data + planes;
  return f.sums.data + sums;
}

// A thread takes the next item when it has finished one. Which thread computes an item changes nothing.
void run_one_by_one(int64_t items, Parallel run, const std::function<void(int64_t item)>& body) {
  std::atomic<int64_t> next{0};
  run(items, [&](int64_t, int64_t) {
    for (int64_t item; (item = next++) < items;) body(item);
  });
}

// The `part`th of `parts` of the blocks of channels.
struct Range {
  int64_t first, size;
};
Range range(int64_t channels, int64_t block, int64_t part, int64_t parts) {
  const int64_t blocks = (channels + block - 1) / block, first = blocks * part / parts * block;
  return {first, std::min(blocks * (part + 1) / parts * block, channels) - first};
}

// Statistics of images of as many pixels each, joined in their order (Chan, Golub, LeVeque 1983).
void join_images(const float* means, const float* m2s, int64_t n, int64_t pixels, int64_t channels, const Epilogue& e) {
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

int64_t winograd_rows(int64_t h, int64_t w) { return inner_rows(axis(h, 2 * h), axis(w, 2 * w)); }

void convolve_winograd(bool up, const Shape& s, const float* x, const float* packed, const int* place,
                       const Epilogue& e, float* out, Parallel run) {
  const int64_t cin = up ? s.cs : s.cb, cout = up ? s.cb : s.cs;
  const int64_t in = up ? s.h * s.w * s.cs : s.H * s.W * s.cb, pixels = up ? s.H * s.W : s.h * s.w;
  std::vector<float> statistics(e.mean ? 2 * s.n * cout : 0);
  Winograd whole = plan(s);
  whole.slope = e.slope;
  std::copy(place, place + kTaps, whole.place);
  // chunks of images, and if there are more threads than those, parts of the outputs: neither changes a bit
  const int64_t threads = run.threads, most = (s.n + images_of_chunk(whole, s.n) - 1) / images_of_chunk(whole, s.n);
  const int64_t shared = (most + threads - 1) / threads * threads;  // every thread has as many chunks
  const int64_t chunks = std::max(most, std::min(shared, s.n / images_for(whole, kLeastChunkRows)));
  const int64_t parts = std::min((threads + chunks - 1) / chunks, (cout + kBlock - 1) / kBlock);
  const Kernels& isa = kernels();
  run_one_by_one(chunks * parts, run, [&](int64_t item) {
    const int64_t first = s.n * (item / parts) / chunks, end = s.n * (item / parts + 1) / chunks;
    const Range r = range(cout, kBlock, item % parts, parts);
    Winograd f = whole;
    f.n = end - first, (up ? f.cb : f.cs) = r.size;
    (up ? f.small : f.big) = x + first * in;
    f.out = out + first * pixels * cout + r.first;
    f.packed = packed + r.first * kTaps * cin;
    f.scale = e.scale ? e.scale + r.first : nullptr, f.shift = e.shift ? e.shift + r.first : nullptr;
    if (e.mean) f.mean = statistics.data() + first * cout + r.first, f.m2 = f.mean + s.n * cout;
    float* scratch = settle(f);
    (up ? isa.scatter_small : isa.scatter_big)(f, scratch);
    (up ? isa.multiply_up : isa.multiply_down)(f, scratch);
    (up ? isa.gather_big : isa.gather_small)(f, scratch);
  });
  if (e.mean) join_images(statistics.data(), statistics.data() + s.n * cout, s.n, pixels, cout, e);
}

void winograd_weight_gradient(const Shape& s, const float* small, const float* big, float* out, Parallel run) {
  const Winograd whole = plan(s);
  const int64_t chunk = images_of_chunk(whole, s.n), threads = run.threads;
  const int64_t rows = std::min(threads, padded_to(s.cs, kGradientRows) / kGradientRows);
  const int64_t columns = std::min((threads + rows - 1) / rows, padded_to(s.cb, kBlock) / kBlock);
  const Kernels& isa = kernels();
  run_one_by_one(rows * columns, run, [&](int64_t item) {
    const Range r = range(s.cs, kGradientRows, item / columns, rows), c = range(s.cb, kBlock, item % columns, columns);
    Winograd f = whole;
    f.cs = r.size, f.cb = c.size, f.gradient = out + r.first * kTaps * s.cb + c.first;
    const int64_t items = chunk == s.n ? 1 : padded_to(f.cs, kGradientRows) / kGradientRows * (padded_to(f.cb, kBlock) / kBlock);
    f.products = kept<kProductsOfGradient>(items * kPanels * kPanels * kGradientRows * kBlock);
    for (int64_t first = 0; first < s.n; first += chunk) {
      f.n = std::min(chunk, s.n - first), f.first = first == 0, f.last = first + f.n == s.n;
      f.small = small + first * s.h * s.w * s.cs + r.first, f.big = big + first * s.H * s.W * s.cb + c.first;
      float* scratch = settle(f);
      isa.scatter_small(f, scratch);
      isa.scatter_big(f, scratch);
      isa.multiply_gradient(f, scratch);
    }
  });
}

}  // namespace ganzoo
