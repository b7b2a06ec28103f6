// The kernels against plain loops in double, in every instruction set, for `make sanitize` and `make portable`:
// heap arrays of the exact size, so that AddressSanitizer sees every step over an edge.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "../../csrc/cpu/driver.h"
#include "../../csrc/cpu/kernels.h"

using namespace ganzoo;
using Floats = std::vector<float>;

static void halves(int64_t items, const Body& body) {
  std::thread half([&] { body(0, items / 2); });
  body(items / 2, items);
  half.join();
}
static const Parallel two_threads = {halves, 2};

static Floats numbers(int64_t count, unsigned seed) {
  Floats values(count);
  for (float& v : values) v = static_cast<float>((seed = seed * 1664525u + 1013904223u) >> 8) / (1 << 24) - 0.5f;
  return values;
}

static void compare(const char* what, const Floats& found, const std::vector<double>& expected) {
  for (size_t i = 0; i < found.size(); ++i)
    if (!(std::fabs(found[i] - expected[i]) <= 1e-4 * (1 + std::fabs(expected[i])))) {
      std::fprintf(stderr, "%s, %s: element %zu is %g, not %g\n", kernels().name, what, i, found[i], expected[i]);
      std::exit(1);
    }
}

// body(small index, big index, weight index) for every product of the convolution.
template <class F>
static void each_product(const Shape& s, const F& body) {
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

static void check(const Shape& s) {
  const int64_t small_size = s.n * s.h * s.w * s.cs, big_size = s.n * s.H * s.W * s.cb, size = s.cs * 16 * s.cb;
  const Floats small = numbers(small_size, 1), big = numbers(big_size, 2), weight = numbers(size, 3);
  const int64_t strides[4] = {16 * s.cb, 1, 4 * s.cb, s.cb};
  std::vector<double> up(big_size), down(small_size), gradient(size);
  each_product(s, [&](int64_t a, int64_t b, int64_t w) {
    up[b] += double(small[a]) * weight[w];
    down[a] += double(big[b]) * weight[w];
    gradient[w] += double(small[a]) * big[b];
  });
  for (const int way : {0, 1, 2, 3}) {
    const bool is_up = way & 1, winograd = way & 2;
    const int64_t channels = is_up ? s.cb : s.cs;
    Floats packed(floats_of_packed(is_up, s.cs, s.cb)), out(is_up ? big_size : small_size), mean(channels), var(channels);
    pack(is_up, weight.data(), strides, s.cs, s.cb, packed.data(), two_threads);
    const Epilogue e = {nullptr, nullptr, 1, mean.data(), var.data()};
    convolve(is_up, winograd, s, (is_up ? small : big).data(), packed.data(), e, out.data(), two_threads);
    const std::vector<double>& expected = is_up ? up : down;
    compare(is_up ? "up" : "down", out, expected);
    const int64_t pixels = static_cast<int64_t>(out.size()) / channels;
    std::vector<double> means(channels), vars(channels);
    for (size_t i = 0; i < out.size(); ++i) means[i % channels] += expected[i] / pixels;
    for (size_t i = 0; i < out.size(); ++i) vars[i % channels] += std::pow(expected[i] - means[i % channels], 2) / pixels;
    compare("mean", mean, means);
    compare("variance", var, vars);
    channel_statistics(out.data(), pixels, channels, mean.data(), var.data(), two_threads);
    compare("channel mean", mean, means);
    compare("channel variance", var, vars);
    const BatchNorm norm = {mean.data(), var.data(), nullptr, nullptr, 1e-5, 0.2f};
    Floats normalised(out.size()), dy(out.size()), dgamma(channels), dbeta(channels);
    norm_act(out.data(), pixels, channels, norm, normalised.data(), two_threads);
    norm_act_backward(normalised.data(), out.data(), pixels, channels, norm, dy.data(), dgamma.data(), dbeta.data(),
                      two_threads);
  }
  Floats found(size);
  for (const bool winograd : {false, true}) {
    weight_gradient(winograd, s, small.data(), big.data(), found.data(), two_threads);
    compare("weight gradient", found, gradient);
  }
}

// A layer of few big channels and its derivatives: tanh(up + bias), leaky ReLU(down + bias).
static void check_narrow(const Shape& s) {
  const int64_t small_size = s.n * s.h * s.w * s.cs, big_size = s.n * s.H * s.W * s.cb, size = s.cs * 16 * s.cb;
  const Floats small = numbers(small_size, 1), big = numbers(big_size, 2), weight = numbers(size, 3);
  const Floats shift = numbers(s.cs + s.cb, 4), results = numbers(small_size + big_size, 5);
  for (const bool is_up : {true, false}) {
    const Activation act = {is_up, 0.2f};
    const int64_t channels = is_up ? s.cb : s.cs;
    std::vector<double> sums(is_up ? big_size : small_size), dx(is_up ? small_size : big_size), dw(size), db(channels);
    const Floats &x = is_up ? small : big, &grad = is_up ? big : small, out(results.begin(), results.begin() + grad.size());
    const auto masked = [&](int64_t i) {
      return grad[i] * (is_up ? 1 - double(out[i]) * out[i] : out[i] > 0 ? 1.0 : double(act.slope));
    };
    for (size_t i = 0; i < sums.size(); ++i) sums[i] = shift[i % channels], db[i % channels] += masked(i);
    each_product(s, [&](int64_t a, int64_t b, int64_t w) {
      const int64_t from = is_up ? a : b, to = is_up ? b : a;
      sums[to] += double(x[from]) * weight[w];
      dx[from] += masked(to) * weight[w];
      dw[w] += masked(to) * x[from];
    });
    for (double& v : sums) v = is_up ? std::tanh(v) : v > 0 ? v : v * act.slope;
    Narrowed e = {weight.data(), {16 * s.cb, 1, 4 * s.cb, s.cb}, shift.data(), nullptr, act};
    Floats found(sums.size()), back(dx.size()), dweight(size), dshift(channels);
    narrow_convolve(is_up, s, x.data(), e, found.data(), two_threads);
    compare("narrow layer", found, sums);
    e.shift = nullptr, e.activated = out.data();
    narrow_convolve(!is_up, s, grad.data(), e, back.data(), two_threads);
    compare("its input gradient", back, dx);
    narrow_gradient(s, is_up, is_up ? x.data() : grad.data(), is_up ? grad.data() : x.data(), out.data(), act,
                    dweight.data(), dshift.data(), two_threads);
    compare("its weight gradient", dweight, dw);
    compare("its bias gradient", dshift, db);
  }
}

static void check_product(int64_t m, int64_t n, int64_t k) {
  const Floats a = numbers(m * k, 1), b = numbers(k * n, 2), bias = numbers(n, 3);
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
  for (const bool turned_a : {false, true})
    for (const bool turned_b : {false, true}) {
      multiply((turned_a ? a_columns : a).data(), turned_a ? a_by_column : a_rows, (turned_b ? b_columns : b).data(),
               turned_b ? b_by_column : b_rows, bias.data(), m, n, k, c.data(), two_threads);
      compare("product", c, expected);
    }
}

int main() {
  for (const char* name : {"avx512", "avx2", "generic"}) {
    if (!choose(name)) {
      std::printf("%s: not on this processor\n", name);
      continue;
    }
    for (const Shape& s : {Shape{1, 1, 1, 1, 2, 2, 1}, Shape{2, 3, 5, 17, 6, 11, 33}, Shape{25, 2, 3, 130, 5, 6, 31},
                           Shape{9, 10, 2, 16, 20, 5, 70}})
      check(s);
    for (const Shape& s : {Shape{1, 1, 1, 1, 2, 2, 1}, Shape{1, 7, 9, 33, 14, 19, 3}, Shape{35, 3, 5, 64, 7, 10, 4},
                           Shape{9, 20, 2, 17, 41, 5, 2}})
      check_narrow(s);
    check_product(1, 1, 1), check_product(64, 100, 33), check_product(7, 300, 50), check_product(130, 17, 16);
    std::printf("%s: as expected\n", kernels().name);
  }
}
