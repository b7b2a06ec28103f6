// Transposed and strided convolution and their weight gradient: phases, work items, statistics.
#include "convolution.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../api.h"
#include "../bfloat16.h"
#include "../isa/kernels.h"
#include "../winograd/winograd.h"
#include "../workspace.h"

namespace ganzoo {
namespace {

constexpr int64_t kMinWinogradRows = 12;      // of a panel's product, all images: fewer do not fill a register tile
constexpr int64_t kMinWinogradChannels = 16;  // with fewer, the transforms cost more than they save

// Output row 2i takes kernel row 1 of input row i and kernel row 3 of row i - 1; output row 2i + 1 takes kernel row 2
// of input row i and kernel row 0 of row i + 1. Columns likewise.
void set_transposed_phases(const Shape& s, Convolution& f) {
  static const int shift[2][2] = {{0, -1}, {0, 1}}, kernel[2][2] = {{1, 3}, {2, 0}};
  f.input_step = 1, f.output_step = 2, f.phase_count = 4;
  for (int a = 0; a < 2; ++a)
    for (int b = 0; b < 2; ++b) {
      Phase& phase = f.phases[a * 2 + b];
      phase.row = a, phase.column = b, phase.taps = 4;
      phase.rows = (s.H - a + 1) / 2, phase.columns = (s.W - b + 1) / 2;
      for (int t = 0; t < 4; ++t) {
        phase.dh[t] = shift[a][t / 2], phase.dw[t] = shift[b][t % 2];
        phase.kernel[t] = kernel[a][t / 2] * 4 + kernel[b][t % 2];
      }
    }
}

void set_strided_phase(const Shape& s, Convolution& f) {
  f.input_step = 2, f.output_step = 1, f.phase_count = 1;
  Phase& phase = f.phases[0];
  phase.row = phase.column = 0, phase.taps = kTaps, phase.rows = s.h, phase.columns = s.w;
  for (int t = 0; t < kTaps; ++t) phase.dh[t] = t / 4 - 1, phase.dw[t] = t % 4 - 1, phase.kernel[t] = t;
}

Convolution make_convolution(bool transposed, const Shape& s) {
  Convolution f = {};
  f.n = s.n;
  if (transposed) {
    f.h = s.h, f.w = s.w, f.cin = s.cs, f.out_h = s.H, f.out_w = s.W, f.cout = s.cb;
    set_transposed_phases(s, f);
  } else {
    f.h = s.H, f.w = s.W, f.cin = s.cb, f.out_h = s.h, f.out_w = s.w, f.cout = s.cs;
    set_strided_phase(s, f);
  }
  f.blocks = ceil_div(f.cout, kBlock);
  f.groups = ceil_div(s.n, kGroup);
  f.chunks = ceil_div(f.phases[0].rows, kRowChunk);  // phase 0 has the most rows
  return f;
}

// Where each tap of the kernel is stored in a packed panel.
void place_taps(const Convolution& f, int* place) {
  for (int p = 0; p < f.phase_count; ++p)
    for (int t = 0; t < f.phases[p].taps; ++t) place[f.phases[p].kernel[t]] = p * f.phases[p].taps + t;
}

// Output pixels of each item of a block, in the order of the items.
std::vector<double> pixels_of_items(const Convolution& f) {
  std::vector<double> counts;
  for (int64_t item = 0; item < f.phase_count * f.groups * f.chunks; ++item) {
    const int64_t chunk = item % f.chunks, group = item / f.chunks % f.groups;
    const Phase& phase = f.phases[item / (f.chunks * f.groups)];
    const int64_t rows = std::max<int64_t>(0, std::min<int64_t>(kRowChunk, phase.rows - chunk * kRowChunk));
    counts.push_back(static_cast<double>(rows * std::min<int64_t>(kGroup, f.n - group * kGroup) * phase.columns));
  }
  return counts;
}

// Merges the statistics of a block's items, in their order (Chan, Golub, LeVeque 1983).
void merge_statistics(const Convolution& f, const std::vector<double>& counts, int64_t block, float* mean_out,
                      float* var_out) {
  const int64_t items = static_cast<int64_t>(counts.size());
  for (int64_t c = 0; c < kBlock && block * kBlock + c < f.cout; ++c) {
    double count = 0, mean = 0, m2 = 0;
    for (int64_t item = 0; item < items; ++item) {
      const double added = counts[item], total = count + added;
      if (added == 0) continue;
      const int64_t at = (block * items + item) * kBlock + c;
      const double delta = f.mean[at] - mean;
      mean += delta * added / total;
      m2 += f.m2[at] + delta * delta * count * added / total;
      count = total;
    }
    mean_out[block * kBlock + c] = static_cast<float>(mean);
    var_out[block * kBlock + c] = static_cast<float>(m2 / count);
  }
}

constexpr int64_t kConverted = 1 << 16;  // numbers of one work item

std::vector<float> floats(const void* from, int64_t size, Parallel run) {
  const Bfloat16* values = static_cast<const Bfloat16*>(from);
  std::vector<float> to(size);
  run(ceil_div(size, kConverted), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * kConverted; i < std::min(size, end * kConverted); ++i) to[i] = to_float(values[i]);
  });
  return to;
}

void round(const std::vector<float>& from, Bfloat16* to, Parallel run) {
  const int64_t size = static_cast<int64_t>(from.size());
  run(ceil_div(size, kConverted), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * kConverted; i < std::min(size, end * kConverted); ++i) to[i] = to_bfloat16(from[i]);
  });
}

}  // namespace

bool winograd_is_faster(const Shape& s) {
  return std::min(s.cs, s.cb) >= kMinWinogradChannels && s.n * winograd_rows(s.h, s.w) >= kMinWinogradRows;
}

int64_t packed_size(bool transposed, int64_t cs, int64_t cb) {
  return round_up(transposed ? cb : cs, kBlock) * kTaps * (transposed ? cs : cb);
}

void pack(bool transposed, const float* weight, const int64_t strides[4], int64_t cs, int64_t cb, float* packed,
          Parallel run) {
  const Convolution f = make_convolution(transposed, {1, 1, 1, cs, 2, 2, cb});
  WeightPacking p = {weight, transposed ? strides[0] : strides[1], transposed ? strides[1] : strides[0],
                     strides[2], strides[3], f.cin, f.cout, {}, packed};
  place_taps(f, p.place);
  const Kernels& isa = kernels();
  run(f.blocks * ceil_div(f.cin, kPackRows), [&](int64_t begin, int64_t end) { isa.pack(p, begin, end); });
}

void convolve(Type type, bool transposed, bool winograd, const Shape& s, const void* x, const float* packed,
              const Epilogue& e, void* out, Parallel run) {
  Convolution f = make_convolution(transposed, s);
  if (winograd) {
    int place[kTaps];
    place_taps(f, place);
    return winograd_convolve(type, transposed, s, x, packed, place, e, out, run);
  }
  if (type == Type::kBfloat16) {
    const int64_t size = f.n * f.out_h * f.out_w * f.cout;
    std::vector<float> sums(size);
    const std::vector<float> in = floats(x, f.n * f.h * f.w * f.cin, run);
    convolve(Type::kFloat32, transposed, false, s, in.data(), packed, e, sums.data(), run);
    return round(sums, static_cast<Bfloat16*>(out), run);
  }
  std::vector<double> counts;
  if (e.mean) counts = pixels_of_items(f);
  const int64_t size = f.blocks * static_cast<int64_t>(counts.size()) * kBlock;
  const std::vector<float> zeros(f.cin);
  std::vector<float> statistics(2 * size);
  f.x = static_cast<const float*>(x), f.packed = packed, f.zeros = zeros.data(), f.out = static_cast<float*>(out);
  f.scale = e.scale, f.shift = e.shift, f.slope = e.slope;
  if (e.mean) f.mean = statistics.data(), f.m2 = statistics.data() + size;
  const Kernels& isa = kernels();
  run(f.blocks * f.phase_count * f.groups * f.chunks,
      [&](int64_t begin, int64_t end) { isa.convolve(f, begin, end); });
  if (e.mean)
    for (int64_t block = 0; block < f.blocks; ++block) merge_statistics(f, counts, block, e.mean, e.var);
}

void weight_gradient(Type type, bool winograd, const Shape& s, const void* small, const void* big, float* out,
                     Parallel run) {
  if (winograd) return winograd_weight_gradient(type, s, small, big, out, run);
  if (type == Type::kBfloat16) {
    const std::vector<float> a = floats(small, s.n * s.h * s.w * s.cs, run), b = floats(big, s.n * s.H * s.W * s.cb, run);
    return weight_gradient(Type::kFloat32, false, s, a.data(), b.data(), out, run);
  }
  const WeightGradient g = {static_cast<const float*>(small), static_cast<const float*>(big), out, s.n, s.h, s.w, s.H, s.W, s.cs, s.cb};
  const Kernels& isa = kernels();
  run(kTaps * ceil_div(s.cs, kGradRows), [&](int64_t begin, int64_t end) {
    isa.weight_gradient(g, begin, end, workspace<Scratch::kThread>(weight_gradient_scratch_size(s.cb)));
  });
}

}  // namespace ganzoo
