// 1x1 convolutions: the panels of weights, work items, and the sum of the parts of the weight gradient.
#include "conv1x1.h"

#include <algorithm>
#include <cstdint>

#include "../isa/kernels.h"
#include "../workspace.h"

namespace ganzoo {

void convolve1x1(const Pointwise& layer, Parallel run) {
  Conv1x1 f = {layer, nullptr};
  const Kernels& isa = kernels();
  const int64_t panel = f.cin * kBlock, blocks = ceil_div(f.cout, kBlock);
  float* panels = workspace<Scratch::kShared>(blocks * panel);
  for (int64_t block = 0; block < blocks; ++block)
    isa.pack_panel({f.weight, f.weight_in, f.weight_out}, f.cin, f.cout, block, panels + block * panel);
  f.panels = panels;
  run(ceil_div(f.pixels, kPixels1x1), [&](int64_t begin, int64_t end) {
    isa.conv1x1(f, begin, end, workspace<Scratch::kThread>(kPixels1x1 * f.cin));
  });
}

void weight_gradient1x1(const PointwiseGradient& layer, float* out, Parallel run) {
  Gradient1x1 f = {layer, 0, 0, 0, 0, nullptr};
  f.parts = std::clamp<int64_t>(f.pixels / kMinPart1x1, 1, kMaxParts1x1);
  f.rows = round_up(f.cout, kBlock), f.columns = round_up(f.cin, kBlock);
  // Parts are added up, so their number must not depend on the threads. Divisions may: they share no sum.
  f.divisions = std::min(f.rows / kBlock, ceil_div(run.threads, f.parts));
  const int64_t size = f.rows * f.columns;
  float* sums = f.sums = workspace<Scratch::kShared>(f.parts * size);
  const Kernels& isa = kernels();
  run(f.parts * f.divisions, [&](int64_t begin, int64_t end) {
    isa.conv1x1_gradient(f, begin, end, workspace<Scratch::kThread>(kGradPixels1x1 * (f.rows + f.columns)));
  });
  run(ceil_div(f.cout, kSummedRows1x1), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin * kSummedRows1x1; o < std::min(f.cout, end * kSummedRows1x1); ++o) {
      std::fill_n(out + o * f.cin, f.cin, 0.0f);
      for (int64_t part = 0; part < f.parts; ++part)
        for (int64_t i = 0; i < f.cin; ++i) out[o * f.cin + i] += sums[part * size + o * f.columns + i];
    }
  });
}

}  // namespace ganzoo
