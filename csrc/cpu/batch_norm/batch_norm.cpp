// Batch normalization with its activation: statistics, forward and backward, as passes over [pixels, channels].
#include "batch_norm.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "../api.h"
#include "../blocking.h"
#include "../isa/kernels.h"

namespace ganzoo {
namespace {

// The arguments of a pass of the norm over y; statistics, gamma and beta are folded into out = act(scale * y + shift).
struct Pass : BatchNormPass {
  std::vector<float> scales, shifts;
  int64_t items;

  Pass(const void* images, int64_t all_pixels, int64_t channels, const BatchNorm& norm)
      : BatchNormPass(), scales(norm.sets * channels), shifts(norm.sets * channels) {
    y = images, pixels = all_pixels, c = channels, slope = norm.slope, mean = norm.mean;
    set_pixels = pixels / norm.sets, chunks = ceil_div(set_pixels, kPixelChunk), items = norm.sets * chunks;
    for (int64_t set = 0, at = 0; set < norm.sets; ++set)
      for (int64_t i = 0; i < c; ++i, ++at) {
        const double factor = (norm.gamma ? norm.gamma[at] : 1.0) / std::sqrt(norm.var[i] + norm.eps);
        scales[at] = static_cast<float>(factor);
        shifts[at] = static_cast<float>((norm.beta ? norm.beta[at] : 0.0) - norm.mean[i] * factor);
      }
    scale = scales.data(), shift = shifts.data();
  }
};

}  // namespace

void channel_statistics(Type type, const void* y, int64_t pixels, int64_t c, float* mean, float* var, Parallel run) {
  const int64_t chunks = ceil_div(pixels, kPixelChunk);
  std::vector<float> partial(2 * chunks * c);
  BatchNormPass f = {};
  f.y = y, f.pixels = pixels, f.c = c;
  f.partial_first = partial.data(), f.partial_second = partial.data() + chunks * c;
  const ImageKernels& isa = image_kernels(type);
  run(chunks, [&](int64_t begin, int64_t end) { isa.statistics(f, begin, end); });
  for (int64_t i = 0; i < c; ++i) {
    double average = 0, m2 = 0;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      const double before = static_cast<double>(chunk * kPixelChunk);
      const double added = static_cast<double>(std::min<int64_t>(kPixelChunk, pixels - chunk * kPixelChunk));
      const double delta = f.partial_first[chunk * c + i] - average;
      average += delta * added / (before + added);
      m2 += f.partial_second[chunk * c + i] + delta * delta * before * added / (before + added);
    }
    mean[i] = static_cast<float>(average);
    var[i] = static_cast<float>(m2 / static_cast<double>(pixels));
  }
}

void norm_act(Type type, const void* y, int64_t pixels, int64_t c, const BatchNorm& norm, void* out, Parallel run) {
  Pass f(y, pixels, c, norm);
  f.out = out;
  const ImageKernels& isa = image_kernels(type);
  run(f.items, [&](int64_t begin, int64_t end) { isa.norm_act(f, begin, end); });
}

void norm_act_backward(Type type, const void* grad, const void* y, int64_t pixels, int64_t c, const BatchNorm& norm,
                       void* dy, float* dgamma, float* dbeta, Parallel run) {
  Pass f(y, pixels, c, norm);
  std::vector<float> partial(2 * f.items * c), corrections(2 * c);
  f.grad = grad, f.out = dy, f.partial_first = partial.data(), f.partial_second = partial.data() + f.items * c;
  const ImageKernels& isa = image_kernels(type);
  run(f.items, [&](int64_t begin, int64_t end) { isa.norm_act_sums(f, begin, end); });
  for (int64_t i = 0; i < c; ++i) {
    const double rstd = 1 / std::sqrt(norm.var[i] + norm.eps);
    double all_sums = 0, all_products = 0;  // of all sets, times their scales
    for (int64_t set = 0; set < norm.sets; ++set) {
      double sum = 0, product = 0;
      for (int64_t chunk = set * f.chunks; chunk < (set + 1) * f.chunks; ++chunk) {
        sum += f.partial_first[chunk * c + i];
        product += f.partial_second[chunk * c + i];
      }
      dbeta[set * c + i] = static_cast<float>(sum);
      dgamma[set * c + i] = static_cast<float>(product * rstd);
      all_sums += f.scale[set * c + i] * sum;
      all_products += f.scale[set * c + i] * product;
    }
    corrections[i] = static_cast<float>(all_sums / static_cast<double>(pixels));
    corrections[c + i] = static_cast<float>(all_products * rstd * rstd / static_cast<double>(pixels));
  }
  f.grad_mean = corrections.data(), f.grad_slope = corrections.data() + c;
  run(f.items, [&](int64_t begin, int64_t end) { isa.norm_act_backward(f, begin, end); });
}

}  // namespace ganzoo
