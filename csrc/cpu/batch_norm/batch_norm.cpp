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

// Folds statistics, gamma and beta into out = act(scale * y + shift).
void fold(const BatchNorm& norm, int64_t c, std::vector<float>& scale, std::vector<float>& shift) {
  scale.resize(c), shift.resize(c);
  for (int64_t i = 0; i < c; ++i) {
    const double factor = (norm.gamma ? norm.gamma[i] : 1.0) / std::sqrt(norm.var[i] + norm.eps);
    scale[i] = static_cast<float>(factor);
    shift[i] = static_cast<float>((norm.beta ? norm.beta[i] : 0.0) - norm.mean[i] * factor);
  }
}

}  // namespace

void channel_statistics(const float* y, int64_t pixels, int64_t c, float* mean, float* var, Parallel run) {
  const int64_t chunks = ceil_div(pixels, kPixelChunk);
  std::vector<float> partial(2 * chunks * c);
  BatchNormPass f = {};
  f.y = y, f.pixels = pixels, f.c = c;
  f.partial_first = partial.data(), f.partial_second = partial.data() + chunks * c;
  const Kernels& isa = kernels();
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

void norm_act(const float* y, int64_t pixels, int64_t c, const BatchNorm& norm, float* out, Parallel run) {
  std::vector<float> scale, shift;
  fold(norm, c, scale, shift);
  BatchNormPass f = {};
  f.y = y, f.scale = scale.data(), f.shift = shift.data(), f.out = out;
  f.slope = norm.slope, f.pixels = pixels, f.c = c;
  const Kernels& isa = kernels();
  run(ceil_div(pixels, kPixelChunk), [&](int64_t begin, int64_t end) { isa.norm_act(f, begin, end); });
}

void norm_act_backward(const float* grad, const float* y, int64_t pixels, int64_t c, const BatchNorm& norm, float* dy,
                       float* dgamma, float* dbeta, Parallel run) {
  const int64_t chunks = ceil_div(pixels, kPixelChunk);
  std::vector<float> scale, shift, partial(2 * chunks * c), corrections(2 * c);
  fold(norm, c, scale, shift);
  BatchNormPass f = {};
  f.y = y, f.grad = grad, f.scale = scale.data(), f.shift = shift.data(), f.mean = norm.mean, f.out = dy;
  f.slope = norm.slope, f.pixels = pixels, f.c = c;
  f.partial_first = partial.data(), f.partial_second = partial.data() + chunks * c;
  const Kernels& isa = kernels();
  run(chunks, [&](int64_t begin, int64_t end) { isa.norm_act_sums(f, begin, end); });
  for (int64_t i = 0; i < c; ++i) {
    double sum = 0, product = 0;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      sum += f.partial_first[chunk * c + i];
      product += f.partial_second[chunk * c + i];
    }
    const double rstd = 1 / std::sqrt(norm.var[i] + norm.eps);
    dbeta[i] = static_cast<float>(sum);
    dgamma[i] = static_cast<float>(product * rstd);
    corrections[i] = static_cast<float>(scale[i] * sum / static_cast<double>(pixels));
    corrections[c + i] = static_cast<float>(scale[i] * product * rstd * rstd / static_cast<double>(pixels));
  }
  f.grad_mean = corrections.data(), f.grad_slope = corrections.data() + c;
  run(chunks, [&](int64_t begin, int64_t end) { isa.norm_act_backward(f, begin, end); });
}

}  // namespace ganzoo
