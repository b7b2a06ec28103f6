// 1x1 convolutions: the panels of weights, work items, and the sum of the parts of the weight gradient.
#include "conv1x1.h"

#include <algorithm>
#include <cstdint>

#include "../isa/kernels.h"
#include "../workspace.h"

namespace ganzoo {

static int64_t panels_size(const Pointwise& f) { return ceil_div(f.cout, kBlock) * f.cin * kBlock; }

static Conv1x1 pack(const Pointwise& f, float* panels) {
  for (int64_t block = 0; block < ceil_div(f.cout, kBlock); ++block)
    kernels().pack_panel({f.weight, f.weight_in, f.weight_out}, f.cin, f.cout, block, panels + block * f.cin * kBlock);
  return {f, panels};
}

void convolve1x1(const Pointwise& layer, Parallel run) {
  const Conv1x1 f = pack(layer, workspace<Scratch::kShared>(panels_size(layer)));
  const Kernels& isa = kernels();
  run(ceil_div(f.pixels, kPixels1x1), [&](int64_t begin, int64_t end) {
    isa.conv1x1(f, begin, end, workspace<Scratch::kThread>(kPixels1x1 * f.cin));
  });
}

static void gradient1x1(const PointwiseGradient& layer, const Pointwise* input, Parallel run) {
  Gradient1x1 f = {layer, 0, 0, 0, 0, nullptr, nullptr};
  f.parts = std::clamp<int64_t>(f.pixels / kMinPart1x1, 1, kMaxParts1x1);
  f.rows = round_up(f.cout, kBlock), f.columns = round_up(f.cin, kBlock);
  // Parts are added up, so their number must not depend on the threads. Divisions may: they share no sum.
  f.divisions = std::min(f.rows / kBlock, ceil_div(run.threads, f.parts));
  const bool fused = input && run.threads <= f.parts;  // else some threads would have no part; one division, then
  if (input && !fused) convolve1x1(*input, run);
  const int64_t size = f.rows * f.columns;
  float* sums = f.sums = workspace<Scratch::kShared>(f.parts * size + (fused ? panels_size(*input) : 0));
  Conv1x1 packed;
  if (fused) packed = pack(*input, sums + f.parts * size), f.input = &packed;
  const Kernels& isa = kernels();
  run(f.parts * f.divisions, [&](int64_t begin, int64_t end) {
    isa.conv1x1_gradient(f, begin, end, workspace<Scratch::kThread>(kGradPixels1x1 * (f.rows + f.columns)));
  });
  run(ceil_div(f.cout, kSummedRows1x1), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin * kSummedRows1x1; o < std::min(f.cout, end * kSummedRows1x1); ++o) {
      float* out = f.out + o * f.out_out;
      for (int64_t i = 0; i < f.cin; ++i) out[i * f.out_in] = 0;
      for (int64_t part = 0; part < f.parts; ++part)
        for (int64_t i = 0; i < f.cin; ++i) out[i * f.out_in] += sums[part * size + o * f.columns + i];
    }
  });
}

void weight_gradient1x1(const PointwiseGradient& layer, Parallel run) { gradient1x1(layer, nullptr, run); }

void gradients1x1(const PointwiseGradient& layer, const Pointwise& input, Parallel run) {
  gradient1x1(layer, &input, run);
}

}  // namespace ganzoo
