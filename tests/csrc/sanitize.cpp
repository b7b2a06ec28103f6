// Compares the kernels with plain loops in double, in every instruction set, for `make sanitize` and `make portable`.
// Arrays are heap blocks of the exact size, so that AddressSanitizer reports every access past an end.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "../../csrc/cpu/api.h"
#include "../../csrc/cpu/bfloat16.h"

using namespace ganzoo;
using Floats = std::vector<float>;

static void run_halves(int64_t items, const Body& body) {
  std::thread half([&] { body(0, items / 2); });
  body(items / 2, items);
  half.join();
}
static const Parallel two_threads = {run_halves, 2};

// Uniform random numbers in [-0.5, 0.5).
static Floats random_floats(int64_t count, unsigned seed) {
  Floats values(count);
  for (float& v : values) v = static_cast<float>((seed = seed * 1664525u + 1013904223u) >> 8) / (1 << 24) - 0.5f;
  return values;
}

// An array of this type: floats, which for bfloat16 are rounded.
struct Image {
  Type type;
  Floats values;
  std::vector<Bfloat16> rounded;

  Image(Type type, const Floats& floats) : type(type), values(floats) {
    if (type == Type::kFloat32) return;
    for (float& v : values) rounded.push_back(to_bfloat16(v)), v = to_float(rounded.back());
  }
  Image(Type type, size_t size) : Image(type, Floats(size)) {}
  void* data() { return type == Type::kFloat32 ? static_cast<void*>(values.data()) : rounded.data(); }
  const void* data() const { return const_cast<Image*>(this)->data(); }
  size_t size() const { return values.size(); }
  float operator[](size_t i) const { return type == Type::kFloat32 ? values[i] : to_float(rounded[i]); }
};

template <class Values>
static void compare(const char* what, const Values& actual, const std::vector<double>& expected,
                    Type type = Type::kFloat32) {
  const double tolerance = type == Type::kFloat32 ? 1e-4 : 6e-2;
  for (size_t i = 0; i < actual.size(); ++i)
    if (!(std::fabs(actual[i] - expected[i]) <= tolerance * (1 + std::fabs(expected[i])))) {
      std::fprintf(stderr, "%s, %s, %s: element %zu is %g, expected %g\n", instruction_set(),
                   type == Type::kFloat32 ? "float32" : "bfloat16", what, i, actual[i], expected[i]);
      std::exit(1);
    }
}

// Calls body(small index, big index, weight index) for every product of the convolution.
template <class F>
static void for_products(const Shape& s, const F& body) {
  for (int64_t n = 0; n < s.n; ++n)
    for (int64_t i = 0; i < s.h; ++i)
      for (int64_t j = 0; j < s.w; ++j)
        for (int64_t k = 0; k < 16; ++k) {
          const int64_t row = 2 * i - 1 + k / 4, col = 2 * j - 1 + k % 4;
          if (row < 0 || row >= s.H || col < 0 || col >= s.W) continue;
          for (int64_t a = 0; a < s.cs; ++a)
            for (int64_t b = 0; b < s.cb; ++b)
              body(((n * s.h + i) * s.w + j) * s.cs + a, ((n * s.H + row) * s.W + col) * s.cb + b,
                   (a * 16 + k) * s.cb + b);
        }
}

static void check_convolutions(Type type, const Shape& s) {
  const int64_t small_size = s.n * s.h * s.w * s.cs, big_size = s.n * s.H * s.W * s.cb, size = s.cs * 16 * s.cb;
  const Image small(type, random_floats(small_size, 1)), big(type, random_floats(big_size, 2));
  const Floats weight = random_floats(size, 3);
  const int64_t strides[4] = {16 * s.cb, 1, 4 * s.cb, s.cb};
  std::vector<double> up(big_size), down(small_size), gradient(size);
  for_products(s, [&](int64_t a, int64_t b, int64_t w) {
    up[b] += double(small[a]) * weight[w];
    down[a] += double(big[b]) * weight[w];
    gradient[w] += double(small[a]) * big[b];
  });
  for (const int variant : {0, 1, 2, 3}) {
    const bool transposed = variant & 1, winograd = variant & 2;
    const int64_t channels = transposed ? s.cb : s.cs;
    Floats packed(packed_size(transposed, s.cs, s.cb));
    Image out(type, transposed ? big_size : small_size);
    Floats mean(channels), var(channels);
    pack(transposed, weight.data(), strides, s.cs, s.cb, packed.data(), two_threads);
    const Epilogue e = {nullptr, nullptr, 1, mean.data(), var.data()};
    convolve(type, transposed, winograd, s, (transposed ? small : big).data(), packed.data(), e, out.data(), two_threads);
    const std::vector<double>& expected = transposed ? up : down;
    compare(transposed ? "transposed convolution" : "strided convolution", out, expected, type);
    const int64_t pixels = static_cast<int64_t>(out.size()) / channels;
    std::vector<double> means(channels), vars(channels);
    for (size_t i = 0; i < out.size(); ++i) means[i % channels] += expected[i] / pixels;
    for (size_t i = 0; i < out.size(); ++i)
      vars[i % channels] += std::pow(expected[i] - means[i % channels], 2) / pixels;
    compare("mean", mean, means, type);
    compare("variance", var, vars, type);
    channel_statistics(type, out.data(), pixels, channels, mean.data(), var.data(), two_threads);
    compare("channel mean", mean, means, type);
    compare("channel variance", var, vars, type);
    const BatchNorm norm = {mean.data(), var.data(), nullptr, nullptr, 1e-5, 0.2f};
    Image normalized(type, out.size()), dy(type, out.size());
    Floats dgamma(channels), dbeta(channels);
    norm_act(type, out.data(), pixels, channels, norm, normalized.data(), two_threads);
    norm_act_backward(type, normalized.data(), out.data(), pixels, channels, norm, dy.data(), dgamma.data(),
                      dbeta.data(), two_threads);
  }
  Floats weight_grad(size);
  for (const bool winograd : {false, true}) {
    weight_gradient(type, winograd, s, small.data(), big.data(), weight_grad.data(), two_threads);
    compare("weight gradient", weight_grad, gradient, type);
  }
}

// Layers whose big image has few channels, and their gradients: tanh(transposed), leaky ReLU(strided).
static void check_few_channels(Type type, const Shape& s) {
  const int64_t small_size = s.n * s.h * s.w * s.cs, big_size = s.n * s.H * s.W * s.cb, size = s.cs * 16 * s.cb;
  const Image small(type, random_floats(small_size, 1)), big(type, random_floats(big_size, 2));
  const Floats weight = random_floats(size, 3);
  const Floats shift = random_floats(s.cs + s.cb, 4), outputs = random_floats(small_size + big_size, 5);
  for (const bool transposed : {true, false}) {
    const Activation act = {transposed, 0.2f};
    const int64_t channels = transposed ? s.cb : s.cs;
    std::vector<double> sums(transposed ? big_size : small_size), dx(transposed ? small_size : big_size);
    std::vector<double> dw(size), db(channels);
    const Image &x = transposed ? small : big, &grad = transposed ? big : small;
    const Image forward_out(type, Floats(outputs.begin(), outputs.begin() + grad.size()));
    const auto sum_gradient = [&](int64_t i) {
      const double y = forward_out[i];
      return grad[i] * (transposed ? 1 - y * y : y > 0 ? 1.0 : double(act.slope));
    };
    for (size_t i = 0; i < sums.size(); ++i) sums[i] = shift[i % channels], db[i % channels] += sum_gradient(i);
    for_products(s, [&](int64_t a, int64_t b, int64_t w) {
      const int64_t from = transposed ? a : b, to = transposed ? b : a;
      sums[to] += double(x[from]) * weight[w];
      dx[from] += sum_gradient(to) * weight[w];
      dw[w] += sum_gradient(to) * x[from];
    });
    for (double& v : sums) v = transposed ? std::tanh(v) : v > 0 ? v : v * act.slope;
    FewChannelsLayer layer = {weight.data(), {16 * s.cb, 1, 4 * s.cb, s.cb}, shift.data(), nullptr, act};
    Image out(type, sums.size()), input_grad(type, dx.size());
    Floats dweight(size), dshift(channels);
    few_channels_convolve(type, transposed, s, x.data(), layer, out.data(), two_threads);
    compare("few-channel layer", out, sums, type);
    layer.shift = nullptr, layer.forward_out = forward_out.data();
    few_channels_convolve(type, !transposed, s, grad.data(), layer, input_grad.data(), two_threads);
    compare("its input gradient", input_grad, dx, type);
    few_channels_weight_gradient(type, s, transposed, transposed ? x.data() : grad.data(),
                                 transposed ? grad.data() : x.data(), forward_out.data(), act, dweight.data(),
                                 dshift.data(), two_threads);
    compare("its weight gradient", dweight, dw);
    compare("its shift gradient", dshift, db);
  }
}

// Half of the channels on each side, as in one of two groups.
static void check_3x3_pitch() {
  const ShapeStride1 half = {3, 1, 2, 5, 6, 20, 17, 40, 34};
  const Floats x = random_floats(60 * 40, 1), grad = random_floats(60 * 34, 2), weight = random_floats(17 * 9 * 20, 3);
  const auto halved = [](const Floats& all, int64_t c) {
    Floats some;
    for (size_t p = 0; p < all.size() / (2 * c); ++p)
      some.insert(some.end(), all.begin() + p * 2 * c, all.begin() + p * 2 * c + c);
    return some;
  };
  const int64_t strides[4] = {180, 1, 60, 20};
  Floats packed(packed_size_stride1(3, 20, 17)), out(60 * 34), part(60 * 17), gradient(17 * 180), expected(17 * 180);
  pack_stride1(3, false, weight.data(), strides, 20, 17, packed.data(), two_threads);
  const Epilogue e = {nullptr, nullptr, 1, nullptr, nullptr};
  convolve_stride1(half, x.data(), packed.data(), e, nullptr, out.data(), two_threads);
  convolve_stride1({3, 1, 2, 5, 6, 20, 17}, halved(x, 20).data(), packed.data(), e, nullptr, part.data(), two_threads);
  compare("3x3 convolution of a group", halved(out, 17), {part.begin(), part.end()});
  for (size_t p = 0; p < 60; ++p)
    for (size_t c = 17; c < 34; ++c)
      if (out[p * 34 + c] != 0) std::exit(1);
  weight_gradient_stride1(half, x.data(), grad.data(), gradient.data(), two_threads);
  weight_gradient_stride1({3, 1, 2, 5, 6, 20, 17}, halved(x, 20).data(), halved(grad, 17).data(), expected.data(),
                          two_threads);
  compare("weight gradient of a group", gradient, {expected.begin(), expected.end()});
}

static void check_stride1(const ShapeStride1& s) {
  const int64_t in_pixels = s.n * s.h * s.w, pixels = s.n * s.out_h() * s.out_w(), taps = s.kernel * s.kernel;
  const int64_t size = s.cout * taps * s.cin;
  const Floats x = random_floats(in_pixels * s.cin, 1), grad = random_floats(pixels * s.cout, 2);
  const Floats weight = random_floats(size, 3), residual = random_floats(pixels * s.cout, 4);
  const Floats shift = random_floats(s.cout, 5);
  std::vector<double> sums(pixels * s.cout), dx(in_pixels * s.cin), dw(size);
  for (int64_t p = 0; p < pixels; ++p)
    for (int64_t k = 0; k < taps; ++k) {
      const int64_t row = p / s.out_w() % s.out_h() + k / s.kernel - s.padding;
      const int64_t column = p % s.out_w() + k % s.kernel - s.padding;
      if (row < 0 || row >= s.h || column < 0 || column >= s.w) continue;
      const int64_t from = (p / (s.out_h() * s.out_w()) * s.h + row) * s.w + column;
      for (int64_t o = 0; o < s.cout; ++o)
        for (int64_t i = 0; i < s.cin; ++i) {
          const int64_t at = (o * taps + k) * s.cin + i;
          sums[p * s.cout + o] += double(x[from * s.cin + i]) * weight[at];
          dx[from * s.cin + i] += double(grad[p * s.cout + o]) * weight[at];
          dw[at] += double(grad[p * s.cout + o]) * x[from * s.cin + i];
        }
    }
  const int64_t strides[4] = {taps * s.cin, 1, s.kernel * s.cin, s.cin};
  Floats packed(packed_size_stride1(s.kernel, s.cin, s.cout)), out(sums.size()), mean(s.cout), var(s.cout);
  pack_stride1(s.kernel, false, weight.data(), strides, s.cin, s.cout, packed.data(), two_threads);
  convolve_stride1(s, x.data(), packed.data(), {nullptr, nullptr, 1, mean.data(), var.data()}, nullptr, out.data(),
                   two_threads);
  compare("convolution with stride 1", out, sums);
  convolve_stride1(s, x.data(), packed.data(), {nullptr, shift.data(), 0.2f, nullptr, nullptr}, residual.data(),
                   out.data(), two_threads);
  for (size_t i = 0; i < sums.size(); ++i) {
    const double v = sums[i] + shift[i % s.cout] + residual[i];
    sums[i] = v > 0 ? v : v * 0.2f;
  }
  compare("the same with epilogue", out, sums);
  Floats reversed(packed_size_stride1(s.kernel, s.cout, s.cin)), input_grad(dx.size()), weight_grad(size);
  pack_stride1(s.kernel, true, weight.data(), strides, s.cout, s.cin, reversed.data(), two_threads);
  convolve_stride1({s.kernel, s.kernel - 1 - s.padding, s.n, s.out_h(), s.out_w(), s.cout, s.cin}, grad.data(),
                   reversed.data(), {nullptr, nullptr, 1, nullptr, nullptr}, nullptr, input_grad.data(), two_threads);
  compare("its input gradient", input_grad, dx);
  weight_gradient_stride1(s, x.data(), grad.data(), weight_grad.data(), two_threads);
  compare("its weight gradient", weight_grad, dw);
}

// A 1x1 convolution with activations on both sides, its transpose, and its weight gradient.
static void check_1x1(int64_t pixels, int64_t cin, int64_t cout) {
  const Floats x = random_floats(pixels * cin, 1), y = random_floats(pixels * cout, 2);
  const Floats at_x = random_floats(pixels * cin, 3), at_y = random_floats(pixels * cout, 4);
  const Floats weight = random_floats(cin * cout, 5), shift = random_floats(cout, 6);
  const auto slope = [](float v, float other) { return v > 0 ? 1.0 : double(other); };
  std::vector<double> forward(pixels * cout), back(pixels * cin), gradient(cin * cout);
  for (int64_t p = 0; p < pixels; ++p)
    for (int64_t o = 0; o < cout; ++o)
      for (int64_t i = 0; i < cin; ++i) {
        const int64_t from = p * cin + i, to = p * cout + o, at = o * cin + i;
        forward[to] += x[from] * slope(at_x[from], 0.2f) * weight[at];
        back[from] += y[to] * slope(at_y[to], 0.3f) * weight[at] * slope(at_x[from], 0.2f);
        gradient[at] += x[from] * slope(at_x[from], 0.2f) * y[to] * slope(at_y[to], 0.3f);
      }
  for (int64_t k = 0; k < pixels * cout; ++k) {
    const double v = forward[k] + shift[k % cout] + y[k];
    forward[k] = v * slope(v, 0.1f);
  }
  const Signs of_x = {at_x.data(), 0.2f}, of_y = {at_y.data(), 0.3f}, none = {nullptr, 1};
  Floats out(pixels * cout), input_grad(pixels * cin), weight_grad(cin * cout);
  convolve1x1({pixels, cin, cout, x.data(), weight.data(), 1, cin, shift.data(), y.data(), 0.1f, of_x, none, out.data()},
              two_threads);
  compare("1x1 convolution", out, forward);
  convolve1x1({pixels, cout, cin, y.data(), weight.data(), cin, 1, nullptr, nullptr, 1, of_y, of_x, input_grad.data()},
              two_threads);
  compare("its input gradient", input_grad, back);
  weight_gradient1x1({pixels, cin, cout, x.data(), y.data(), of_x, of_y, weight_grad.data(), 1, cin}, two_threads);
  compare("its weight gradient", weight_grad, gradient);
  Floats both_input(pixels * cin), both_weight(cin * cout);
  gradients1x1({pixels, cin, cout, x.data(), y.data(), of_x, of_y, both_weight.data(), 1, cin},
               {pixels, cout, cin, y.data(), weight.data(), cin, 1, nullptr, nullptr, 1, of_y, of_x, both_input.data()},
               two_threads);
  if (both_input != input_grad || both_weight != weight_grad) std::abort();
  // without signs the activation is the value's own
  Floats given(pixels * cout), own(pixels * cout);
  for (const Signs& signs : {Signs{x.data(), 0.2f}, Signs{nullptr, 0.2f}})
    convolve1x1({pixels, cin, cout, x.data(), weight.data(), 1, cin, nullptr, nullptr, 1, signs, none,
                 (signs.values ? given : own).data()}, two_threads);
  if (given != own) std::abort();
}

// The filter [1, 3, 3, 1], as the sum of what it reads.
static void check_blur(int64_t n, int64_t h, int64_t w, int64_t c, int64_t padding) {
  const Floats x = random_floats(n * h * w * c, 1);
  Blur f = {n, h, w, c, padding, 4, x.data(), nullptr};
  Floats out(n * f.out_h() * f.out_w() * c);
  std::vector<double> expected(out.size());
  constexpr double kFilter[] = {1, 3, 3, 1};
  for (int64_t at = 0; at < static_cast<int64_t>(out.size()); ++at) {
    const int64_t left = at / c % f.out_w() - padding, row = at / c / f.out_w();
    const int64_t image = row / f.out_h(), top = row % f.out_h() - padding;
    for (int64_t i = std::max<int64_t>(0, -top); i < 4 && top + i < h; ++i)
      for (int64_t j = std::max<int64_t>(0, -left); j < 4 && left + j < w; ++j)
        expected[at] += kFilter[i] * kFilter[j] / 16 * x[((image * h + top + i) * w + left + j) * c + at % c];
  }
  f.out = out.data();
  blur(f, two_threads);
  compare("blur", out, expected);
}

// Batch norm with a scale and shift of each image, statistics given, and its gradients if they are those of y.
static void check_conditional_norm(int64_t n, int64_t pixels, int64_t c, float slope) {
  const int64_t size = n * pixels * c;
  const Floats y = random_floats(size, 1), grad = random_floats(size, 2);
  const Floats gamma = random_floats(n * c, 3), beta = random_floats(n * c, 4);
  Floats mean(c), var(c), out(size), dy(size), dgamma(n * c), dbeta(n * c);
  channel_statistics(Type::kFloat32, y.data(), n * pixels, c, mean.data(), var.data(), two_threads);
  const BatchNorm norm = {mean.data(), var.data(), gamma.data(), beta.data(), 1e-3, slope, n};
  std::vector<double> expected(size), g(size), xhat(size), dx(size), sums(n * c), products(n * c), all(2 * c);
  for (int64_t i = 0; i < size; ++i) {
    const int64_t channel = i % c, at = i / (pixels * c) * c + channel;
    xhat[i] = (y[i] - mean[channel]) / std::sqrt(var[channel] + norm.eps);
    const double v = xhat[i] * gamma[at] + beta[at];
    expected[i] = v > 0 ? v : v * slope, g[i] = v > 0 ? grad[i] : grad[i] * slope;
    sums[at] += g[i], products[at] += g[i] * xhat[i];
    all[channel] += gamma[at] * g[i], all[c + channel] += gamma[at] * g[i] * xhat[i];
  }
  for (int64_t i = 0; i < size; ++i) {
    const int64_t channel = i % c, at = i / (pixels * c) * c + channel;
    const double total = static_cast<double>(n * pixels);
    dx[i] = (gamma[at] * g[i] - all[channel] / total - xhat[i] * all[c + channel] / total) /
            std::sqrt(var[channel] + norm.eps);
  }
  norm_act(Type::kFloat32, y.data(), n * pixels, c, norm, out.data(), two_threads);
  compare("conditional batch norm", out, expected);
  norm_act_backward(Type::kFloat32, grad.data(), y.data(), n * pixels, c, norm, dy.data(), dgamma.data(), dbeta.data(), two_threads);
  compare("its gradient", dy, dx);
  compare("its scales' gradient", dgamma, products);
  compare("its shifts' gradient", dbeta, sums);
}

static void check_gemm(int64_t m, int64_t n, int64_t k) {
  const Floats a = random_floats(m * k, 1), b = random_floats(k * n, 2), bias = random_floats(n, 3);
  std::vector<double> expected(m * n);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      expected[i * n + j] = bias[j];
      for (int64_t l = 0; l < k; ++l) expected[i * n + j] += double(a[i * k + l]) * b[l * n + j];
    }
  Floats a_columns(m * k), b_columns(k * n), c(m * n);
  for (int64_t i = 0; i < m * k; ++i) a_columns[i % k * m + i / k] = a[i];
  for (int64_t i = 0; i < k * n; ++i) b_columns[i % n * k + i / n] = b[i];
  const int64_t a_rows[2] = {k, 1}, b_rows[2] = {n, 1}, a_by_column[2] = {1, m}, b_by_column[2] = {1, k};
  for (const bool transposed_a : {false, true})
    for (const bool transposed_b : {false, true}) {
      gemm((transposed_a ? a_columns : a).data(), transposed_a ? a_by_column : a_rows,
           (transposed_b ? b_columns : b).data(), transposed_b ? b_by_column : b_rows, bias.data(), m, n, k, c.data(),
           two_threads);
      compare("matrix product", c, expected);
    }
}

static void check_same(const char* what, const Floats& one, const Floats& other) {
  if (one == other) return;
  std::fprintf(stderr, "%s, %s: not the bits of one thread\n", instruction_set(), what);
  std::exit(1);
}

// Weight gradients of many images and few channels: four threads would divide the images.
static void check_divided_gradients() {
  const Parallel four_threads = {run_halves, 4};
  const Shape s = {30, 16, 16, 20, 33, 32, 17};
  const Floats small = random_floats(s.n * s.h * s.w * s.cs, 1), big = random_floats(s.n * s.H * s.W * s.cb, 2);
  Floats alone(s.cs * 16 * s.cb), divided(alone.size());
  weight_gradient(Type::kFloat32, true, s, small.data(), big.data(), alone.data(), kOneThread);
  weight_gradient(Type::kFloat32, true, s, small.data(), big.data(), divided.data(), four_threads);
  check_same("divided weight gradient", alone, divided);
  const ShapeStride1 t = {3, 1, 30, 16, 16, 20, 17};
  const Floats x = random_floats(t.n * t.h * t.w * t.cin, 3), grad = random_floats(t.n * t.h * t.w * t.cout, 4);
  alone.assign(t.cout * 9 * t.cin, 0), divided = alone;
  weight_gradient_stride1(t, x.data(), grad.data(), alone.data(), kOneThread);
  weight_gradient_stride1(t, x.data(), grad.data(), divided.data(), four_threads);
  check_same("divided weight gradient of 3x3", alone, divided);
}

int main() {
  for (const char* name : {"avx512", "avx2", "generic"}) {
    if (!select_instruction_set(name)) {
      std::printf("%s: not available on this processor\n", name);
      continue;
    }
    for (const Type type : {Type::kFloat32, Type::kBfloat16}) {
      if (type == Type::kBfloat16 && !has_bfloat16()) {
        std::printf("%s: no products of bfloat16\n", instruction_set());
        continue;
      }
      for (const Shape& s : {Shape{1, 1, 1, 1, 2, 2, 1}, Shape{2, 3, 5, 17, 6, 11, 33}, Shape{25, 2, 3, 130, 5, 6, 31},
                             Shape{9, 10, 2, 16, 20, 5, 70}})
        check_convolutions(type, s);
      for (const Shape& s : {Shape{1, 1, 1, 1, 2, 2, 1}, Shape{1, 7, 9, 33, 14, 19, 3}, Shape{35, 3, 5, 64, 7, 10, 4},
                             Shape{9, 20, 2, 17, 41, 5, 2}})
        check_few_channels(type, s);
    }
    for (const ShapeStride1& s :
         {ShapeStride1{3, 1, 1, 1, 1, 1, 1}, ShapeStride1{3, 1, 2, 3, 5, 17, 33}, ShapeStride1{3, 1, 5, 9, 2, 40, 70},
          ShapeStride1{3, 1, 3, 21, 20, 3, 16}, ShapeStride1{3, 1, 9, 5, 11, 33, 3}, ShapeStride1{3, 1, 2, 9, 1, 2, 4},
          ShapeStride1{4, 1, 1, 2, 2, 1, 1}, ShapeStride1{4, 1, 2, 3, 5, 17, 33}, ShapeStride1{4, 1, 5, 10, 2, 40, 70}})
      check_stride1(s);
    check_3x3_pitch();
    check_blur(1, 1, 3, 1, 2), check_blur(2, 4, 4, 17, 0), check_blur(3, 5, 9, 40, 3);
    check_1x1(1, 1, 1), check_1x1(50, 17, 40), check_1x1(4500, 3, 5);
    check_conditional_norm(1, 2, 1, 0), check_conditional_norm(7, 12, 33, 0.2f), check_conditional_norm(3, 300, 40, 0);
    check_gemm(1, 1, 1), check_gemm(64, 100, 33), check_gemm(7, 300, 50), check_gemm(130, 17, 16);
    check_divided_gradients();
    std::printf("%s: passed\n", instruction_set());
  }
}
