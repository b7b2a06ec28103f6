// Batch normalisation with its activation: statistics, forward and backward, as passes over [pixels, channels].
#include <algorithm>
#include <cmath>
#include <vector>

#include "driver.h"
#include "kernels.h"

namespace ganzoo {
namespace {

int64_t chunks_of(int64_t pixels) { return (pixels + kPixelChunk - 1) / kPixelChunk; }

// act(a y + b) is the normalised, scaled, shifted and activated y.
void fold(const BatchNorm& norm, int64_t c, std::vector<float>& a, std::vector<float>& b) {
  a.resize(c), b.resize(c);
  for (int64_t i = 0; i < c; ++i) {
    const double scale = (norm.gamma ? norm.gamma[i] : 1.0) / std::sqrt(norm.var[i] + norm.eps);
    a[i] = static_cast<float>(scale);
    b[i] = static_cast<float>((norm.beta ? norm.beta[i] : 0.0) - norm.mean[i] * scale);
  }
}

}  // namespace

void channel_statistics(const float* y, int64_t pixels, int64_t c, float* mean, float* var, Parallel run) {
  const int64_t chunks = chunks_of(pixels);
  std::vector<float> partial(2 * chunks * c);
  Norm f = {};
  f.y = y, f.pixels = pixels, f.c = c, f.first = partial.data(), f.second = partial.data() + chunks * c;
  const Kernels& isa = kernels();
  run(chunks, [&](int64_t begin, int64_t end) { isa.statistics(f, begin, end); });
  for (int64_t i = 0; i < c; ++i) {
    double average = 0, m2 = 0;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      const double before = static_cast<double>(chunk * kPixelChunk);
      const double more = static_cast<double>(std::min<int64_t>(kPixelChunk, pixels - chunk * kPixelChunk));
      const double delta = f.first[chunk * c + i] - average;
      average += delta * more / (before + more);
      m2 += f.second[chunk * c + i] + delta * delta * before * more / (before + more);
    }
    mean[i] = static_cast<float>(average);
    var[i] = static_cast<float>(m2 / static_cast<double>(pixels));
  }
}

void norm_act(const float* y, int64_t pixels, int64_t c, const BatchNorm& norm, float* out, Parallel run) {
  std::vector<float> a, b;
  fold(norm, c, a, b);
  Norm f = {};
  f.y = y, f.a = a.data(), f.b = b.data(), f.out = out, f.slope = norm.slope, f.pixels = pixels, f.c = c;
  const Kernels& isa = kernels();
  run(chunks_of(pixels), [&](int64_t begin, int64_t end) { isa.norm_act(f, begin, end); });
}

void norm_act_backward(const float* grad, const float* y, int64_t pixels, int64_t c, const BatchNorm& norm, float* dy,
                       float* dgamma, float* dbeta, Parallel run) {
  const int64_t chunks = chunks_of(pixels);
  std::vector<float> a, b, partial(2 * chunks * c), slopes(2 * c);
  fold(norm, c, a, b);
  Norm f = {};
  f.y = y, f.grad = grad, f.a = a.data(), f.b = b.data(), f.mean = norm.mean, f.out = dy, f.slope = norm.slope;
  f.pixels = pixels, f.c = c, f.first = partial.data(), f.second = partial.data() + chunks * c;
  const Kernels& isa = kernels();
  run(chunks, [&](int64_t begin, int64_t end) { isa.norm_act_sums(f, begin, end); });
  for (int64_t i = 0; i < c; ++i) {
    double sum = 0, product = 0;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      sum += f.first[chunk * c + i];
      product += f.second[chunk * c + i];
    }
    const double rstd = 1 / std::sqrt(norm.var[i] + norm.eps);
    dbeta[i] = static_cast<float>(sum);
    dgamma[i] = static_cast<float>(product * rstd);
    slopes[i] = static_cast<float>(a[i] * sum / static_cast<double>(pixels));
    slopes[c + i] = static_cast<float>(a[i] * product * rstd * rstd / static_cast<double>(pixels));
  }
  f.slope_of_mean = slopes.data(), f.slope_of_dev = slopes.data() + c;
  run(chunks, [&](int64_t begin, int64_t end) { isa.norm_act_backward(f, begin, end); });
}

}  // namespace ganzoo
