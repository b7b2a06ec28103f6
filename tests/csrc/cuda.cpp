// Compares the CUDA kernels with plain loops in double, without torch: on a CPU through the emulator, under the
// sanitizers (`make cuda-emulate`), or on a GPU, under compute-sanitizer (`make cuda-sanitize`). `kernels bench`
// measures the products.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>
#include <vector>

#include "../../csrc/cuda/ptx.h"
#include "../../csrc/cuda/kernels.h"

#ifndef GANZOO_EMULATE
#define UNSANITIZED
#endif

using namespace ganzoo::cuda;

struct Shape {
  int n, h, w, cs, H, W, cb;
};

static std::mt19937 rng(7);

static void fail(const char* what, size_t i, double actual, double expected) {
  std::fprintf(stderr, "%s: element %zu is %.9g, expected %.9g\n", what, i, actual, expected);
  std::exit(1);
}

// Random numbers in (-1, 1), which the type multiplies exactly; of full precision for kFloat32.
template <class T>
static std::vector<T> random_numbers(size_t count, Type type) {
  std::vector<T> values(count);
  for (T& v : values) {
    const float whole = static_cast<float>(rng() >> 8) / (1 << 23) - 1;
    v = from_float<T>(type == Type::kFloat32 ? whole : std::round(whole * 64) / 64);
  }
  return values;
}

template <class T>
static std::vector<double> in_double(const std::vector<T>& values) {
  std::vector<double> numbers(values.size());
  std::transform(values.begin(), values.end(), numbers.begin(), [](T v) { return double{to_float(v)}; });
  return numbers;
}

// Fails unless |actual - expected| <= relative |expected| + absolute.
template <class T>
static void compare(const char* what, const std::vector<T>& actual, const std::vector<double>& expected,
                    double relative, double absolute) {
  for (size_t i = 0; i < expected.size(); ++i)
    if (!(std::fabs(to_float(actual[i]) - expected[i]) <= relative * std::fabs(expected[i]) + absolute))
      fail(what, i, to_float(actual[i]), expected[i]);
}

#ifndef GANZOO_EMULATE
static void check(cudaError_t error) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "CUDA error: %s\n", cudaGetErrorString(error));
  std::exit(1);
}
#else
static void check(cudaError_t) {}
#endif

// A copy of host numbers in memory of the kernels: of exactly their size and aligned to at least 16 bytes.
template <class T>
class Buffer {
 public:
  explicit Buffer(const std::vector<T>& values) : size_(values.size()) {
#ifdef GANZOO_EMULATE
    data_ = static_cast<T*>(std::malloc(size_ * sizeof(T)));
    if (size_) std::memcpy(static_cast<void*>(data_), values.data(), size_ * sizeof(T));
#else
    check(cudaMalloc(&data_, size_ * sizeof(T) + (size_ == 0)));
    check(cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice));
#endif
  }
  explicit Buffer(size_t count) : Buffer(std::vector<T>(count)) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
#ifdef GANZOO_EMULATE
  ~Buffer() { std::free(data_); }
#else
  ~Buffer() { cudaFree(data_); }
#endif

  operator T*() { return data_; }

  std::vector<T> to_host() const {
    std::vector<T> values(size_);
#ifdef GANZOO_EMULATE
    if (size_) std::memcpy(static_cast<void*>(values.data()), data_, size_ * sizeof(T));
#else
    check(cudaMemcpy(values.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost));
#endif
    return values;
  }

 private:
  size_t size_;
  T* data_ = nullptr;
};

template <class T>
static std::vector<T> nan_values(size_t count) {
  return std::vector<T>(count, from_float<T>(NAN));
}

// Calls body(small pixel, big pixel, kernel element) for every product of the convolution.
template <class Body>
static void for_pairs(const Shape& s, const Body& body) {
  for (int image = 0; image < s.n; ++image)
    for (int i = 0; i < s.h; ++i)
      for (int j = 0; j < s.w; ++j)
        for (int k = 0; k < 16; ++k) {
          const int row = 2 * i - 1 + k / 4, col = 2 * j - 1 + k % 4;
          if (row >= 0 && row < s.H && col >= 0 && col < s.W)
            body((image * s.h + i) * s.w + j, (image * s.H + row) * s.W + col, k);
        }
}

// One pair's part of the three sums. x and y are the pixels, weight is [cs][cb], gradient [cs][pitch]. These loops are
// most of the test's own work.
UNSANITIZED static void add_pair(const Shape& s, const double* x, const double* y, const double* weight, double* up,
                                 double* down, double* gradient, int pitch) {
  for (int a = 0; a < s.cs; ++a)
    for (int b = 0; b < s.cb; ++b) {
      const double v = weight[a * s.cb + b];
      up[b] += x[a] * v, down[a] += y[b] * v, gradient[a * pitch + b] += x[a] * y[b];
    }
}

struct Moments {
  std::vector<double> mean, var;
};

template <class Number>
static Moments moments(const std::vector<Number>& values, int channels) {
  Moments m = {std::vector<double>(channels), std::vector<double>(channels)};
  const double pixels = static_cast<double>(values.size()) / channels;
  for (size_t i = 0; i < values.size(); ++i) m.mean[i % channels] += values[i] / pixels;
  for (size_t i = 0; i < values.size(); ++i)
    m.var[i % channels] += std::pow(values[i] - m.mean[i % channels], 2) / pixels;
  return m;
}

// `weight_order`: the strides of an NCHW (0) or channels_last (1) weight. `processors` determines the tile.
template <class T>
static void check_products(const Shape& s, Type type, int weight_order, int processors) {
  const int pixels_small = s.n * s.h * s.w, pixels_big = s.n * s.H * s.W;
  const std::vector<T> small = random_numbers<T>(pixels_small * s.cs, type);
  const std::vector<T> big = random_numbers<T>(pixels_big * s.cb, type);
  const std::vector<float> weight = random_numbers<float>(16 * s.cs * s.cb, type);
  const std::vector<int64_t> strides =
      weight_order ? std::vector<int64_t>{16 * s.cb, 1, 4 * s.cb, s.cb} : std::vector<int64_t>{16 * s.cb, 16, 4, 1};
  std::vector<double> x = in_double(small), y = in_double(big), weight_of_k(weight.size());
  for (int k = 0; k < 16; ++k)
    for (int a = 0; a < s.cs; ++a)
      for (int b = 0; b < s.cb; ++b)
        weight_of_k[(k * s.cs + a) * s.cb + b] =
            weight[a * strides[0] + b * strides[1] + k / 4 * strides[2] + k % 4 * strides[3]];
  std::vector<double> up(y.size()), down(x.size()), gradient(weight.size());
  for_pairs(s, [&](int p, int q, int k) {
    add_pair(s, &x[p * s.cs], &y[q * s.cb], &weight_of_k[k * s.cs * s.cb], &up[q * s.cb], &down[p * s.cs],
             &gradient[k * s.cb], 16 * s.cb);
  });
  const double rounding = sizeof(T) == 2 ? (type == Type::kFloat16 ? 0x1p-11 : 0x1p-8) : 1e-6;
  const double sums = type == Type::kFloat32 ? 3e-4 : 2e-5;  // products of kFloat32 are rounded

  for (const bool is_up : {true, false}) {
    const Convolution f = is_up ? convolution(true, s.n, s.h, s.w, s.cs, s.H, s.W, s.cb)
                                : convolution(false, s.n, s.H, s.W, s.cb, s.h, s.w, s.cs);
    const std::vector<double>& exact = is_up ? up : down;
    Buffer<char> packed(bytes_of_packed(type, f)), scratch(bytes_of_statistics(f));
    Buffer<float> weights(weight);
    Buffer<T> x(is_up ? small : big), out(nan_values<T>(exact.size()));
    Buffer<float> mean(nan_values<float>(f.cout)), var(nan_values<float>(f.cout));
    check(pack(type, f, weights, true, strides.data(), packed, nullptr));
    check(convolve(type, f, x, packed, {nullptr, nullptr, 1, mean, var}, out, scratch, processors, nullptr));
    compare(is_up ? "up" : "down", out.to_host(), exact, rounding, sums);
    const Moments m = moments(exact, f.cout);
    compare("mean of a product", mean.to_host(), m.mean, 1e-5, 1e-5);
    compare("variance of a product", var.to_host(), m.var, 1e-4, 1e-5);

    const std::vector<float> scale = random_numbers<float>(f.cout, type), shift = random_numbers<float>(f.cout, type);
    Buffer<float> scales(scale), shifts(shift);
    Buffer<T> activated(nan_values<T>(exact.size()));
    check(convolve(type, f, x, packed, {scales, shifts, 0.2f, nullptr, nullptr}, activated, nullptr, processors,
                   nullptr));
    std::vector<double> expected(exact.size());
    for (size_t i = 0; i < exact.size(); ++i) {
      const double v = scale[i % f.cout] * exact[i] + shift[i % f.cout];
      expected[i] = v > 0 ? v : 0.2f * v;
    }
    compare("activated", activated.to_host(), expected, rounding, sums);
  }

  const Gradient g = ganzoo::cuda::gradient(s.n, s.h, s.w, s.cs, s.H, s.W, s.cb);
  Buffer<T> a(small), b(big);
  Buffer<float> weight_grad(nan_values<float>(gradient.size()));
  Buffer<char> splits(bytes_of_splits(type, g, processors));
  check(weight_gradient(type, g, a, b, weight_grad, splits, processors, nullptr));
  compare("weight gradient", weight_grad.to_host(), gradient, 1e-6, 1e-4);
}

// A sum of numbers of one sign, in which the errors of all additions add up. Truncated by tensor cores it would be
// wrong by 1e-5.
static void check_long_sum() {
  const int cin = 128, cout = 8, weights = 16 * cin * cout;
  const Convolution f = convolution(false, 1, 4, 4, cin, 2, 2, cout);
  std::vector<float> x = random_numbers<float>(16 * cin, Type::kFloat32);
  std::vector<float> weight = random_numbers<float>(weights, Type::kFloat32);
  for (float& v : x) v = std::fabs(v);
  for (float& v : weight) v = std::fabs(v);
  std::vector<double> exact(4 * cout);
  for_pairs({1, 2, 2, cout, 4, 4, cin}, [&](int p, int q, int k) {
    for (int a = 0; a < cout; ++a)
      for (int b = 0; b < cin; ++b)
        exact[p * cout + a] += double{x[q * cin + b]} * weight[(a * cin + b) * 16 + k];
  });
  const int64_t strides[] = {16 * cin, 16, 4, 1};
  Buffer<float> images(x), weights_on_device(weight), out(nan_values<float>(exact.size()));
  Buffer<char> packed(bytes_of_packed(Type::kFloat32, f));
  check(pack(Type::kFloat32, f, weights_on_device, true, strides, packed, nullptr));
  check(convolve(Type::kFloat32, f, images, packed, {nullptr, nullptr, 1, nullptr, nullptr}, out, nullptr, 0, nullptr));
  compare("a long sum", out.to_host(), exact, 2e-6, 0);
}

template <class T>
static void check_passes(Type type, int pixels, int channels, bool affine) {
  std::vector<T> y = random_numbers<T>(pixels * channels, type), grad = random_numbers<T>(pixels * channels, type);
  for (size_t i = 0; i < y.size(); ++i) y[i] = from_float<T>(to_float(y[i]) + static_cast<float>(i % channels % 3));
  const std::vector<double> exact = in_double(y);
  const Moments m = moments(exact, channels);
  Buffer<char> scratch(bytes_of_sums(pixels, channels));
  Buffer<T> ys(y), grads(grad), out(nan_values<T>(y.size())), back(nan_values<T>(y.size()));
  Buffer<float> mean(nan_values<float>(channels)), var(nan_values<float>(channels));
  check(channel_statistics(type, ys, pixels, channels, mean, var, scratch, nullptr));
  compare("channel mean", mean.to_host(), m.mean, 1e-5, 1e-6);
  compare("channel variance", var.to_host(), m.var, 1e-4, 1e-6);

  const std::vector<float> gamma = random_numbers<float>(channels, type), beta = random_numbers<float>(channels, type);
  const float eps = 1e-5f, slope = 0.2f;
  Buffer<float> gammas(gamma), betas(beta);
  const BatchNorm norm = {
      mean, var,  affine ? static_cast<float*>(gammas) : nullptr, affine ? static_cast<float*>(betas) : nullptr,
      eps,  slope};
  std::vector<double> activated(y.size()), inner_grad(y.size()), dy(y.size()), dgamma(channels), dbeta(channels),
      edge(y.size());
  const auto xhat = [&](size_t i) { return (exact[i] - m.mean[i % channels]) / std::sqrt(m.var[i % channels] + eps); };
  for (size_t i = 0; i < y.size(); ++i) {
    const size_t c = i % channels;
    const double v = xhat(i) * (affine ? gamma[c] : 1) + (affine ? beta[c] : 0);
    activated[i] = v > 0 ? v : slope * v, edge[i] = std::fabs(v) < 1e-4;
    inner_grad[i] = to_float(grad[i]) * (v > 0 ? 1 : slope);
    dbeta[c] += inner_grad[i], dgamma[c] += inner_grad[i] * xhat(i);
  }
  for (size_t i = 0; i < y.size(); ++i) {
    const size_t c = i % channels;
    dy[i] = (affine ? gamma[c] : 1) / std::sqrt(m.var[c] + eps) *
            (inner_grad[i] - dbeta[c] / pixels - xhat(i) * dgamma[c] / pixels);
  }
  const double rounding = sizeof(T) == 2 ? 0x1p-8 : 1e-4;
  check(norm_act(type, ys, pixels, channels, norm, out, nullptr));
  compare("norm_act", out.to_host(), activated, rounding, 1e-4);
  Buffer<float> gradient_of_gamma(nan_values<float>(channels)), gradient_of_beta(nan_values<float>(channels));
  check(norm_act_backward(type, grads, ys, pixels, channels, norm, back, gradient_of_gamma, gradient_of_beta, scratch,
                          nullptr));
  std::vector<T> actual = back.to_host();
  for (size_t i = 0; i < y.size(); ++i)
    if (edge[i])
      actual[i] = from_float<T>(static_cast<float>(dy[i]));  // its sign depends on rounding
  compare("norm_act_backward", actual, dy, rounding, 1e-3);
  compare("dgamma", gradient_of_gamma.to_host(), dgamma, 1e-3, 1e-2);
  compare("dbeta", gradient_of_beta.to_host(), dbeta, 1e-3, 1e-2);
}

#include "cuda_few_channels.h"

template <class T>
static void check_type(const char* name, Type type) {
  // whole chunks of 64 or 32 channels and 8 more, with both tile widths and several splits; channels that do not fill
  // chunks; one image; many images of one pixel
  const int channels = sizeof(T) == 2 ? 72 : 40;
  check_products<T>({3, 5, 3, channels, 10, 7, 136}, type, 1, 0);
  check_products<T>({3, 5, 3, channels, 10, 7, 72}, type, 0, 50);
  check_products<T>({2, 3, 4, 13, 7, 9, 19}, type, 0, 0);
  check_products<T>({1, 1, 1, 1, 2, 2, 1}, type, 1, 0);
  check_products<T>({1, 17, 9, 8, 34, 19, 16}, type, 1, 3);
  check_products<T>({140, 1, 2, 16, 2, 4, 24}, type, 1, 50);
  if (sizeof(T) == 2) {
    // the kernels for Hopper, there and in the emulator: both tiles, one or several blocks of a cluster, several parts;
    // columns that do not fill a tile, images of one pixel and of odd sizes, rows of pixels in one tile
    check_products<T>({64, 2, 3, 64, 4, 6, 64}, type, 1, 132);
    check_products<T>({64, 2, 2, 128, 4, 4, 128}, type, 0, 132);
    check_products<T>({128, 1, 2, 128, 3, 4, 64}, type, 1, 132);
    check_products<T>({192, 1, 1, 64, 2, 2, 128}, type, 1, 4);
    check_products<T>({64, 3, 1, 192, 7, 3, 64}, type, 1, 132);
    check_products<T>({64, 5, 3, 64, 10, 7, 192}, type, 1, 2000);
    check_products<T>({128, 4, 4, 64, 8, 8, 64}, type, 1, 500);
  }
  for (const bool affine : {true, false}) {
    check_passes<T>(type, 700, 24, affine);
    check_passes<T>(type, 70, 13, affine);
  }
  check_passes<T>(type, 2, 2056, true);
  check_passes<T>(type, 66000, 8, true);
  if (type == Type::kFloat32) check_long_sum();
  if constexpr (sizeof(T) == 2) check_few_channels<T>(type);
  std::printf("%s: passed\n", name);
}

static void check_arithmetic() {
  for (const bool up : {true, false}) {
    const Convolution f = convolution(up, 1, 2, 2, 1, up ? 4 : 1, up ? 4 : 1, 1);
    for (int phase = 0; phase < phase_count(f); ++phase)
      for (int tap = 0; tap < taps(f); ++tap) {
        const TapOfPhase back = tap_of_kernel(f, tap_of(f, phase_of(f, phase), tap).kernel);
        if (back.phase != phase || back.tap != tap) fail("the tap of a kernel element", tap, back.tap, tap);
      }
  }
  for (int round = 0; round < 200000; ++round) {
    const uint32_t d = round < 1000 ? round + 1 : (rng() >> (1 + rng() % 31)) + (rng() & 1), value = d ? d : 1;
    const int x = static_cast<int>(round % 3 ? rng() >> (1 + rng() % 31)
                                             : value * ((rng() >> 1) / value) - (rng() & 1 && value > 1));
    if (x >= 0 && quotient(x, divisor(value)) != x / static_cast<int>(value))
      fail("quotient", x, quotient(x, divisor(value)), value);
  }
  for (int k = 0; k < 64; k += 4)  // a warp reads 32-bit numbers stored k by k from 32 different banks
    for (int row = 0; row < 128; row += 8) {
      uint32_t banks = 0;
      for (int lane = 0; lane < 32; ++lane) {
        const int r = row + lane / 4;
        banks |= 1u << (swizzled(k + lane % 4, r / 4, 32, true) * 4 + r % 4) % 32;
      }
      if (banks != ~0u) fail("banks", k, row, 0);
    }
}

#ifndef GANZOO_EMULATE
#include "cuda_bench.h"
#endif

int main(int, char** arguments) {
  const std::string_view type = arguments[1] ? arguments[1] : "";
#ifndef GANZOO_EMULATE
  if (type == "bench") return measure_all(), 0;
#endif
  check_arithmetic();
  if (type.empty() || type == "bfloat16") check_type<bfloat16>("bfloat16", Type::kBFloat16);
  if (type.empty() || type == "float16") check_type<float16>("float16", Type::kFloat16);
  if (type.empty() || type == "tf32") check_type<float>("tf32", Type::kTf32);
  if (type.empty() || type == "float32") check_type<float>("float32", Type::kFloat32);
}
