// Checks of the kernels for a big image of few channels; part of cuda.cpp, whose helpers it uses.
#pragma once
#include "../../csrc/cuda/few_channels.h"

// The result of an activation: what `Derivative` refers to.
template <class T>
static std::vector<T> results(size_t count, Type type, bool tanh) {
  std::vector<T> out = random_numbers<T>(count, type);
  for (size_t i = 0; i < count; ++i)
    if (i % 7 == 0) out[i] = from_float<T>(tanh ? 1 : i % 2 ? -0.0f : 0.0f);
  return out;
}

// `grad` times the derivative, rounded as the kernels round it.
template <class T>
static std::vector<T> through(const std::vector<T>& grad, const std::vector<T>& out, bool tanh, float slope) {
  std::vector<T> inner(grad.size());
  for (size_t i = 0; i < grad.size(); ++i) {
    const float g = to_float(grad[i]), o = to_float(out[i]);
    inner[i] = from_float<T>(tanh ? g * (1 - o * o) : o > 0 ? g : slope * g);
  }
  return inner;
}

template <class T>
static void check_few_channels(const Shape& s, Type type, int weight_order, int processors, size_t shift_of_pointers) {
  const FewChannels f = {s.n, s.h, s.w, s.cs, s.H, s.W, s.cb};
  const int pixels_small = s.n * s.h * s.w, pixels_big = s.n * s.H * s.W;
  const std::vector<T> small = random_numbers<T>(pixels_small * s.cs, type);
  const std::vector<T> big = random_numbers<T>(pixels_big * s.cb, type);
  const std::vector<T> small_out = results<T>(small.size(), type, false), big_out = results<T>(big.size(), type, true);
  const std::vector<float> weight = random_numbers<float>(16 * s.cs * s.cb, type);
  std::vector<T> rounded(weight.size());
  for (size_t i = 0; i < weight.size(); ++i) rounded[i] = from_float<T>(weight[i]);
  Weight w = {nullptr, weight_order != 2, {16 * s.cb, 16, 4, 1}};
  if (weight_order == 1) w.strides[1] = 1, w.strides[2] = 4 * s.cb, w.strides[3] = s.cb;
  Buffer<float> weights(weight);
  Buffer<T> rounded_weights(rounded);
  w.data = w.is_float32 ? static_cast<void*>(static_cast<float*>(weights)) : static_cast<T*>(rounded_weights);
  const auto weight_at = [&](int a, int b, int k) {
    return double{weight[a * w.strides[0] + b * w.strides[1] + k / 4 * w.strides[2] + k % 4 * w.strides[3]]};
  };
  const double rounding = type == Type::kFloat16 ? 0x1p-10 : 0x1p-7, sums = 1e-4;
  const std::vector<float> cs_scale = random_numbers<float>(s.cs, type), cs_shift = random_numbers<float>(s.cs, type),
                           cb_scale = random_numbers<float>(s.cb, type), cb_shift = random_numbers<float>(s.cb, type);
  Buffer<float> cs_scales(cs_scale), cs_shifts(cs_shift), cb_scales(cb_scale), cb_shifts(cb_shift);

  // Images of the big size may start anywhere.
  const auto shifted = [&](const std::vector<T>& values) {
    std::vector<T> more(shift_of_pointers);
    more.insert(more.end(), values.begin(), values.end());
    return more;
  };
  Buffer<T> smalls(small), bigs(shifted(big)), small_outs(small_out), big_outs(shifted(big_out));

  for (const bool derivative : {false, true}) {
    const float slope = 0.25f;
    const std::vector<T> x = derivative ? through(small, small_out, false, slope) : small,
                         y = derivative ? through(big, big_out, true, 0) : big;
    std::vector<double> up(big.size()), down(small.size()), gradient(16 * s.cs * s.cb), of_big(16 * s.cs * s.cb),
        small_sums(s.cs), big_sums(s.cb);
    for_pairs(s, [&](int p, int q, int k) {
      for (int a = 0; a < s.cs; ++a)
        for (int b = 0; b < s.cb; ++b) {
          const double v = to_float(x[p * s.cs + a]), u = to_float(y[q * s.cb + b]), z = weight_at(a, b, k);
          up[q * s.cb + b] += v * z, down[p * s.cs + a] += u * z;
          gradient[(a * 16 + k) * s.cb + b] += v * to_float(big[q * s.cb + b]);
          of_big[(a * 16 + k) * s.cb + b] += to_float(small[p * s.cs + a]) * u;
        }
    });
    for (size_t i = 0; i < x.size(); ++i) small_sums[i % s.cs] += to_float(x[i]);
    for (size_t i = 0; i < y.size(); ++i) big_sums[i % s.cb] += to_float(y[i]);

    Buffer<T> small_result(nan_values<T>(small.size())), big_result(shifted(nan_values<T>(big.size())));
    const T* big_out_or_null = derivative ? big_outs + shift_of_pointers : nullptr;
    const T* small_out_or_null = derivative ? static_cast<T*>(small_outs) : nullptr;
    check(few_channels_strided(type, f, bigs + shift_of_pointers, {big_out_or_null, 0}, w, {nullptr, nullptr, false, 1},
                               small_result, processors, nullptr));
    compare("few channels, down", small_result.to_host(), down, rounding, sums);
    check(few_channels_strided(type, f, bigs + shift_of_pointers, {big_out_or_null, 0}, w,
                               {cs_scales, cs_shifts, false, 0.25f}, small_result, processors, nullptr));
    std::vector<double> expected(small.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      const double v = cs_scale[i % s.cs] * down[i] + cs_shift[i % s.cs];
      expected[i] = v > 0 ? v : 0.25 * v;
    }
    compare("few channels, down, activated", small_result.to_host(), expected, rounding, sums);

    for (const bool tanh : {false, true}) {
      check(few_channels_transposed(type, f, smalls, {small_out_or_null, slope}, w,
                                    {tanh ? nullptr : static_cast<float*>(cb_scales), cb_shifts, tanh, 0.0f},
                                    big_result + shift_of_pointers, processors, nullptr));
      expected.resize(big.size());
      for (size_t i = 0; i < expected.size(); ++i) {
        const double v = (tanh ? 1 : cb_scale[i % s.cb]) * up[i] + cb_shift[i % s.cb];
        expected[i] = tanh ? std::tanh(v) : v > 0 ? v : 0;
      }
      std::vector<T> actual = big_result.to_host();
      actual.erase(actual.begin(), actual.begin() + shift_of_pointers);
      compare(tanh ? "few channels, up, tanh" : "few channels, up, activated", actual, expected, rounding, sums);
    }

    for (const bool grad_is_big : {false, true}) {
      Buffer<float> grad(nan_values<float>(gradient.size())), shift(nan_values<float>(grad_is_big ? s.cb : s.cs));
      Buffer<char> scratch(bytes_of_few_channels_gradient(f, processors));
      check(few_channels_gradient(type, f, smalls, bigs + shift_of_pointers, grad_is_big,
                                  {grad_is_big ? big_out_or_null : small_out_or_null, slope}, grad,
                                  derivative ? static_cast<float*>(shift) : nullptr, scratch, processors, nullptr));
      compare("few channels, weight gradient", grad.to_host(), grad_is_big ? of_big : gradient, 1e-5, 2e-4);
      if (derivative) compare("few channels, bias gradient", shift.to_host(), grad_is_big ? big_sums : small_sums, 1e-5, 2e-4);
    }
  }
}

// Nothing outside a pixel's 4 x 4 neighbours reaches it, not even an infinity multiplied by 0. (The padding, whose zeros
// the weight gradient multiplies with the gradient at the border, counts as inside.)
template <class T>
static void check_infinities(Type type) {
  const Shape s = {2, 9, 5, 16, 18, 10, 3};
  const FewChannels f = {s.n, s.h, s.w, s.cs, s.H, s.W, s.cb};
  std::vector<T> big(s.n * s.H * s.W * s.cb, from_float<T>(1)), small(s.n * s.h * s.w * s.cs, from_float<T>(1));
  big[(17 * s.W + 9) * s.cb + 1] = small[(7 * s.w + 3) * s.cs + 3] = from_float<T>(INFINITY);
  Buffer<T> bigs(big), smalls(small), down(nan_values<T>(small.size())), up(nan_values<T>(big.size()));
  const std::vector<float> weight(16 * s.cs * s.cb, 1.0f);
  Buffer<float> weights(weight), grad(nan_values<float>(weight.size()));
  Buffer<char> scratch(bytes_of_few_channels_gradient(f, 1));
  const Weight w = {static_cast<float*>(weights), true, {16 * s.cb, 16, 4, 1}};
  const FewEpilogue e = {nullptr, nullptr, false, 1};
  check(few_channels_strided(type, f, bigs, {nullptr, 0}, w, e, down, 1, nullptr));
  check(few_channels_transposed(type, f, smalls, {nullptr, 0}, w, e, up, 1, nullptr));
  check(few_channels_gradient(type, f, smalls, bigs, false, {nullptr, 0}, grad, nullptr, scratch, 1, nullptr));
  std::vector<char> down_infinite(small.size()), up_infinite(big.size()), grad_infinite(weight.size());
  for_pairs(s, [&](int p, int q, int k) {
    for (int a = 0; a < s.cs; ++a)
      for (int b = 0; b < s.cb; ++b) {
        const bool small_is = std::isinf(to_float(small[p * s.cs + a])), big_is = std::isinf(to_float(big[q * s.cb + b]));
        down_infinite[p * s.cs + a] |= big_is, up_infinite[q * s.cb + b] |= small_is;
        grad_infinite[(a * 16 + k) * s.cb + b] |= small_is || big_is;
      }
  });
  const auto same = [](const char* what, const auto& actual, const std::vector<char>& infinite) {
    for (size_t i = 0; i < infinite.size(); ++i)
      if (std::isnan(to_float(actual[i])) || std::isinf(to_float(actual[i])) != bool(infinite[i]))
        fail(what, i, to_float(actual[i]), infinite[i] ? INFINITY : 0);
  };
  same("infinities, down", down.to_host(), down_infinite);
  same("infinities, up", up.to_host(), up_infinite);
  same("infinities, weight gradient", grad.to_host(), grad_infinite);
}

template <class T>
static void check_few_channels(Type type) {
  // one tile and several, lines of whole chunks and not, odd sizes, wide, flat and tall images, one and several slices
  check_few_channels<T>({3, 5, 3, 64, 10, 7, 3}, type, 0, 1, 0);
  check_few_channels<T>({2, 9, 16, 64, 18, 32, 3}, type, 1, 1, 0);
  check_few_channels<T>({1, 4, 40, 16, 9, 80, 1}, type, 2, 1, 0);
  check_few_channels<T>({5, 1, 1, 32, 2, 2, 4}, type, 0, 2, 0);
  check_few_channels<T>({1, 19, 2, 128, 39, 5, 2}, type, 1, 2, 0);
  check_few_channels<T>({2, 4, 4, 80, 8, 8, 4}, type, 2, 0, 0);
  check_few_channels<T>({1, 3, 35, 256, 7, 70, 3}, type, 0, 3, 0);
  check_few_channels<T>({2, 4, 8, 64, 8, 16, 3}, type, 0, 1, 1);
  check_few_channels<T>({9, 8, 8, 64, 16, 16, 1}, type, 1, 1, 0);
  check_infinities<T>(type);
}
