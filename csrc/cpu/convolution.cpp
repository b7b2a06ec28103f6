// Transposed convolution, convolution and weight gradient for k4, s2, p1: plans, packing and work items.
#include <algorithm>
#include <vector>

#include "driver.h"
#include "kept.h"
#include "kernels.h"

namespace ganzoo {
namespace {

constexpr int64_t kLeastRows = 12;      // of a panel's products, all images together: fewer do not fill a register tile
constexpr int64_t kLeastChannels = 16;  // below which transforming them costs more than it saves

int64_t blocks_of(int64_t channels) { return (channels + kBlock - 1) / kBlock; }

// A transposed convolution is four convolutions of 2 x 2, one for each parity of the output's row and column: output
// row 2i takes kernel row 1 of input row i and kernel row 3 of i - 1; row 2i + 1 takes 2 of i and 0 of i + 1.
void plan_up(const Shape& s, Convolution& f) {
  static const int shift[2][2] = {{0, -1}, {0, 1}}, kernel[2][2] = {{1, 3}, {2, 0}};
  f.step_in = 1, f.step_out = 2, f.classes = 4;
  for (int a = 0; a < 2; ++a)
    for (int b = 0; b < 2; ++b) {
      Class& k = f.cls[a * 2 + b];
      k.a = a, k.b = b, k.taps = 4, k.rows = (s.H - a + 1) / 2, k.cols = (s.W - b + 1) / 2;
      for (int t = 0; t < 4; ++t) {
        k.dh[t] = shift[a][t / 2], k.dw[t] = shift[b][t % 2];
        k.kernel[t] = kernel[a][t / 2] * 4 + kernel[b][t % 2];
      }
    }
}

void plan_down(const Shape& s, Convolution& f) {
  f.step_in = 2, f.step_out = 1, f.classes = 1;
  Class& k = f.cls[0];
  k.a = k.b = 0, k.taps = kTaps, k.rows = s.h, k.cols = s.w;
  for (int t = 0; t < kTaps; ++t) k.dh[t] = t / 4 - 1, k.dw[t] = t % 4 - 1, k.kernel[t] = t;
}

Convolution plan(bool up, const Shape& s) {
  Convolution f = {};
  f.n = s.n;
  if (up) {
    f.h = s.h, f.w = s.w, f.cin = s.cs, f.out_h = s.H, f.out_w = s.W, f.cout = s.cb;
    plan_up(s, f);
  } else {
    f.h = s.H, f.w = s.W, f.cin = s.cb, f.out_h = s.h, f.out_w = s.w, f.cout = s.cs;
    plan_down(s, f);
  }
  f.blocks = blocks_of(f.cout);
  f.groups = (s.n + kGroup - 1) / kGroup;
  f.chunks = (f.cls[0].rows + kRowChunk - 1) / kRowChunk;
  return f;
}

// Output pixels behind each row of statistics, in their order.
std::vector<double> counts_of_items(const Convolution& f) {
  std::vector<double> counts;
  for (int64_t item = 0; item < f.classes * f.groups * f.chunks; ++item) {
    const int64_t chunk = item % f.chunks, group = item / f.chunks % f.groups;
    const Class& k = f.cls[item / (f.chunks * f.groups)];
    const int64_t rows = std::max<int64_t>(0, std::min<int64_t>(kRowChunk, k.rows - chunk * kRowChunk));
    counts.push_back(static_cast<double>(rows * std::min<int64_t>(kGroup, f.n - group * kGroup) * k.cols));
  }
  return counts;
}

// Joins the statistics of a block's items in their order (Chan, Golub, LeVeque 1983); none has overlapping pixels.
void join_statistics(const Convolution& f, const std::vector<double>& counts, int64_t block, float* mean_out,
                     float* var_out) {
  const int64_t items = static_cast<int64_t>(counts.size());
  for (int64_t c = 0; c < kBlock && block * kBlock + c < f.cout; ++c) {
    double count = 0, mean = 0, m2 = 0;
    for (int64_t item = 0; item < items; ++item) {
      const double more = counts[item], total = count + more;
      if (more == 0) continue;
      const int64_t at = (block * items + item) * kBlock + c;
      const double delta = f.mean[at] - mean;
      mean += delta * more / total;
      m2 += f.m2[at] + delta * delta * count * more / total;
      count = total;
    }
    mean_out[block * kBlock + c] = static_cast<float>(mean);
    var_out[block * kBlock + c] = static_cast<float>(m2 / count);
  }
}

}  // namespace

bool takes_winograd(const Shape& s) {
  return std::min(s.cs, s.cb) >= kLeastChannels && s.n * winograd_rows(s.h, s.w) >= kLeastRows;
}

int64_t floats_of_packed(bool up, int64_t cs, int64_t cb) {
  return blocks_of(up ? cb : cs) * kBlock * kTaps * (up ? cs : cb);
}

namespace {

// Where each tap comes in the panels.
void place_taps(const Convolution& f, int* place) {
  for (int k = 0; k < f.classes; ++k)
    for (int t = 0; t < f.cls[k].taps; ++t) place[f.cls[k].kernel[t]] = k * f.cls[k].taps + t;
}

}  // namespace

void pack(bool up, const float* weight, const int64_t strides[4], int64_t cs, int64_t cb, float* packed, Parallel run) {
  const Convolution f = plan(up, {1, 1, 1, cs, 2, 2, cb});
  Packing p = {weight, up ? strides[0] : strides[1], up ? strides[1] : strides[0], strides[2], strides[3], f.cin,
               f.cout, {}, packed};
  place_taps(f, p.place);
  const Kernels& isa = kernels();
  run(f.blocks * ((f.cin + kPackRows - 1) / kPackRows), [&](int64_t begin, int64_t end) { isa.pack(p, begin, end); });
}

void convolve(bool up, bool winograd, const Shape& s, const float* x, const float* packed, const Epilogue& e,
              float* out, Parallel run) {
  Convolution f = plan(up, s);
  if (winograd) {
    int place[kTaps];
    place_taps(f, place);
    return convolve_winograd(up, s, x, packed, place, e, out, run);
  }
  std::vector<double> counts;
  if (e.mean) counts = counts_of_items(f);
  const int64_t rows = f.blocks * static_cast<int64_t>(counts.size()) * kBlock;
  const std::vector<float> zeros(f.cin);
  std::vector<float> statistics(2 * rows);
  f.x = x, f.packed = packed, f.zeros = zeros.data(), f.out = out;
  f.scale = e.scale, f.shift = e.shift, f.slope = e.slope;
  if (e.mean) f.mean = statistics.data(), f.m2 = statistics.data() + rows;
  const Kernels& isa = kernels();
  run(f.blocks * f.classes * f.groups * f.chunks, [&](int64_t begin, int64_t end) { isa.convolve(f, begin, end); });
  if (e.mean)
    for (int64_t block = 0; block < f.blocks; ++block) join_statistics(f, counts, block, e.mean, e.var);
}

void weight_gradient(bool winograd, const Shape& s, const float* small, const float* big, float* out, Parallel run) {
  if (winograd) return winograd_weight_gradient(s, small, big, out, run);
  const Gradient g = {small, big, out, s.n, s.h, s.w, s.H, s.W, s.cs, s.cb};
  const Kernels& isa = kernels();
  run(kTaps * ((s.cs + kGradRows - 1) / kGradRows), [&](int64_t begin, int64_t end) {
    isa.weight_gradient(g, begin, end, kept<kWorker>(floats_of_gradient_scratch(s.cb)));
  });
}

}  // namespace ganzoo
