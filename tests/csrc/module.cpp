// The operations of csrc/cpu/api.h as a Python module on NumPy arrays, without torch. conftest.py compiles it.
//
// Images are float32 NHWC; results start as NaN, so that an element that is never written fails every comparison. The
// GIL is held throughout: calls do not overlap.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <thread>
#include <tuple>
#include <vector>

#include "../../csrc/cpu/api.h"

namespace py = pybind11;
using namespace ganzoo;

using Dense = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Strided = py::array_t<float, 0>;  // any strides
using MaybeDense = std::optional<Dense>;

namespace {

int64_t thread_count = 1;

// Divides the items into as many contiguous ranges as there are threads, like torch's parallel_for.
void run_threads(int64_t items, const Body& body) {
  const int64_t share = std::max<int64_t>(1, (items + thread_count - 1) / thread_count);
  std::vector<std::thread> threads;
  for (int64_t begin = share; begin < items; begin += share)
    threads.emplace_back([&, begin] { body(begin, std::min(items, begin + share)); });
  if (items > 0) body(0, std::min(items, share));
  for (std::thread& thread : threads) thread.join();
}

Parallel parallel(int64_t threads) {
  thread_count = threads;
  return {run_threads, threads};
}

Dense nan_array(const std::vector<py::ssize_t>& shape) {
  Dense array(shape);
  std::fill_n(array.mutable_data(), array.size(), std::nanf(""));
  return array;
}

template <int N>
std::array<int64_t, N> strides_of(const Strided& array) {
  std::array<int64_t, N> strides;
  for (int i = 0; i < N; ++i) strides[i] = array.strides(i) / static_cast<py::ssize_t>(sizeof(float));
  return strides;
}

const float* data_or_null(const MaybeDense& array) { return array ? array->data() : nullptr; }

// The shape of a convolution of x; height and width are the big image's, used if it is the output.
Shape shape_of(bool transposed, const Dense& x, int64_t cs, int64_t cb, int64_t height, int64_t width) {
  if (x.shape(3) != (transposed ? cs : cb)) throw std::invalid_argument("x and weight have different channels");
  return transposed ? Shape{x.shape(0), x.shape(1), x.shape(2), cs, height, width, cb}
                    : Shape{x.shape(0), x.shape(1) / 2, x.shape(2) / 2, cs, x.shape(1), x.shape(2), cb};
}

Shape shape_of(const Dense& small, const Dense& big) {
  return {small.shape(0), small.shape(1), small.shape(2), small.shape(3), big.shape(1), big.shape(2), big.shape(3)};
}

Dense output_of(bool transposed, const Shape& s) {
  return transposed ? nan_array({s.n, s.H, s.W, s.cb}) : nan_array({s.n, s.h, s.w, s.cs});
}

Dense packed_weight(const Strided& weight, bool transposed, int64_t threads) {
  const int64_t cs = weight.shape(0), cb = weight.shape(1);
  Dense packed = nan_array({packed_size(transposed, cs, cb)});
  pack(transposed, weight.data(), strides_of<4>(weight).data(), cs, cb, packed.mutable_data(), parallel(threads));
  return packed;
}

std::tuple<Dense, Dense, Dense> convolution(const Dense& x, const Strided& weight, bool transposed, bool winograd,
                                            const MaybeDense& scale, const MaybeDense& shift, float slope,
                                            bool statistics, int64_t height, int64_t width, int64_t threads) {
  const Shape s = shape_of(transposed, x, weight.shape(0), weight.shape(1), height, width);
  const Dense packed = packed_weight(weight, transposed, threads);
  Dense out = output_of(transposed, s), mean = nan_array({transposed ? s.cb : s.cs});
  Dense var = nan_array({transposed ? s.cb : s.cs});
  const Epilogue e = {data_or_null(scale), data_or_null(shift), slope, statistics ? mean.mutable_data() : nullptr,
                      statistics ? var.mutable_data() : nullptr};
  convolve(Type::kFloat32, transposed, winograd, s, x.data(), packed.data(), e, out.mutable_data(), parallel(threads));
  return {out, mean, var};
}

Dense convolution_weight_gradient(const Dense& small, const Dense& big, bool winograd, int64_t threads) {
  const Shape s = shape_of(small, big);
  Dense out = nan_array({s.cs, 4, 4, s.cb});
  weight_gradient(Type::kFloat32, winograd, s, small.data(), big.data(), out.mutable_data(), parallel(threads));
  return out;
}

std::tuple<Dense, Dense, Dense> convolution_stride1(const Dense& x, const Strided& weight, int padding, bool transposed,
                                                    const MaybeDense& scale, const MaybeDense& shift,
                                                    const MaybeDense& residual, float slope, bool statistics,
                                                    int64_t threads) {
  const int64_t cin = weight.shape(transposed ? 0 : 1), cout = weight.shape(transposed ? 1 : 0);
  if (x.shape(3) != cin) throw std::invalid_argument("x and weight have different channels");
  const int kernel = static_cast<int>(weight.shape(2));
  const ShapeStride1 s = {kernel, padding, x.shape(0), x.shape(1), x.shape(2), cin, cout};
  Dense packed = nan_array({packed_size_stride1(kernel, cin, cout)});
  Dense out = nan_array({s.n, s.out_h(), s.out_w(), cout});
  Dense mean = nan_array({cout}), var = nan_array({cout});
  pack_stride1(kernel, transposed, weight.data(), strides_of<4>(weight).data(), cin, cout, packed.mutable_data(),
               parallel(threads));
  const Epilogue e = {data_or_null(scale), data_or_null(shift), slope, statistics ? mean.mutable_data() : nullptr,
                      statistics ? var.mutable_data() : nullptr};
  convolve_stride1(s, x.data(), packed.data(), e, data_or_null(residual), out.mutable_data(), parallel(threads));
  return {out, mean, var};
}

Dense stride1_weight_gradient(const Dense& x, const Dense& grad, int kernel, int padding, int64_t threads) {
  const ShapeStride1 s = {kernel, padding, x.shape(0), x.shape(1), x.shape(2), x.shape(3), grad.shape(3)};
  Dense out = nan_array({s.cout, kernel, kernel, s.cin});
  weight_gradient_stride1(s, x.data(), grad.data(), out.mutable_data(), parallel(threads));
  return out;
}

// x and grad are [pixels, channels], as are their signs, if given.
Dense gradient_1x1(const Dense& x, const Dense& grad, const MaybeDense& x_signs, const MaybeDense& grad_signs, float slope,
                   int64_t threads) {
  const auto signs = [&](const MaybeDense& of) { return Signs{data_or_null(of), of ? slope : 1}; };
  Dense out = nan_array({grad.shape(1), x.shape(1)});
  weight_gradient1x1({x.shape(0), x.shape(1), grad.shape(1), x.data(), grad.data(), signs(x_signs), signs(grad_signs),
                      out.mutable_data(), 1, x.shape(1)}, parallel(threads));
  return out;
}

Dense few_channels_convolution(const Dense& x, const Strided& weight, bool transposed, const MaybeDense& shift,
                               const MaybeDense& forward_out, bool tanh, float slope, int64_t height, int64_t width,
                               int64_t threads) {
  const Shape s = shape_of(transposed, x, weight.shape(0), weight.shape(1), height, width);
  const std::array<int64_t, 4> strides = strides_of<4>(weight);
  const FewChannelsLayer layer = {weight.data(), {strides[0], strides[1], strides[2], strides[3]}, data_or_null(shift),
                                  data_or_null(forward_out), {tanh, slope}};
  Dense out = output_of(transposed, s);
  few_channels_convolve(Type::kFloat32, transposed, s, x.data(), layer, out.mutable_data(), parallel(threads));
  return out;
}

std::tuple<Dense, Dense> few_channels_gradients(const Dense& small, const Dense& big, bool grad_is_big,
                                                const MaybeDense& forward_out, bool tanh, float slope,
                                                int64_t threads) {
  const Shape s = shape_of(small, big);
  Dense weight = nan_array({s.cs, 4, 4, s.cb}), shift = nan_array({grad_is_big ? s.cb : s.cs});
  few_channels_weight_gradient(Type::kFloat32, s, grad_is_big, small.data(), big.data(), data_or_null(forward_out), {tanh, slope},
                               weight.mutable_data(), shift.mutable_data(), parallel(threads));
  return {weight, shift};
}

Dense matrix_product(const Strided& a, const Strided& b, const MaybeDense& bias, int64_t threads) {
  if (a.shape(1) != b.shape(0)) throw std::invalid_argument("a has other columns than b has rows");
  Dense c = nan_array({a.shape(0), b.shape(1)});
  gemm(a.data(), strides_of<2>(a).data(), b.data(), strides_of<2>(b).data(), data_or_null(bias), a.shape(0),
       b.shape(1), a.shape(1), c.mutable_data(), parallel(threads));
  return c;
}

std::tuple<Dense, Dense> statistics_of(const Dense& y, int64_t threads) {
  Dense mean = nan_array({y.shape(1)}), var = nan_array({y.shape(1)});
  channel_statistics(Type::kFloat32, y.data(), y.shape(0), y.shape(1), mean.mutable_data(), var.mutable_data(), parallel(threads));
  return {mean, var};
}

Dense batch_norm(const Dense& y, const Dense& mean, const Dense& var, const MaybeDense& gamma, const MaybeDense& beta,
                 double eps, float slope, int64_t threads) {
  const BatchNorm norm = {mean.data(), var.data(), data_or_null(gamma), data_or_null(beta), eps, slope};
  Dense out = nan_array({y.shape(0), y.shape(1)});
  norm_act(Type::kFloat32, y.data(), y.shape(0), y.shape(1), norm, out.mutable_data(), parallel(threads));
  return out;
}

std::tuple<Dense, Dense, Dense> batch_norm_backward(const Dense& grad, const Dense& y, const Dense& mean,
                                                    const Dense& var, const MaybeDense& gamma, const MaybeDense& beta,
                                                    double eps, float slope, int64_t threads) {
  const BatchNorm norm = {mean.data(), var.data(), data_or_null(gamma), data_or_null(beta), eps, slope};
  Dense dy = nan_array({y.shape(0), y.shape(1)}), dgamma = nan_array({y.shape(1)}), dbeta = nan_array({y.shape(1)});
  norm_act_backward(Type::kFloat32, grad.data(), y.data(), y.shape(0), y.shape(1), norm, dy.mutable_data(), dgamma.mutable_data(),
                    dbeta.mutable_data(), parallel(threads));
  return {dy, dgamma, dbeta};
}

}  // namespace

PYBIND11_MODULE(ganzoo_kernels, m) {
  using py::literals::operator""_a;
  m.def("instruction_set", &instruction_set);
  m.def("select_instruction_set", &select_instruction_set, "name"_a);
  m.def("winograd_is_faster", [](int64_t n, int64_t h, int64_t w, int64_t cs, int64_t cb) {
    return winograd_is_faster({n, h, w, cs, 2 * h, 2 * w, cb});
  });
  m.def("pack", &packed_weight, "weight"_a.noconvert(), "transposed"_a, "threads"_a = 1);
  m.def("convolve", &convolution, "x"_a, "weight"_a.noconvert(), "transposed"_a, "winograd"_a, "scale"_a = py::none(),
        "shift"_a = py::none(), "slope"_a = 1.0f, "statistics"_a = false, "height"_a = 0, "width"_a = 0,
        "threads"_a = 1);
  m.def("weight_gradient", &convolution_weight_gradient, "small"_a, "big"_a, "winograd"_a, "threads"_a = 1);
  m.def("convolve_stride1", &convolution_stride1, "x"_a, "weight"_a.noconvert(), "padding"_a, "transposed"_a = false,
        "scale"_a = py::none(), "shift"_a = py::none(), "residual"_a = py::none(), "slope"_a = 1.0f,
        "statistics"_a = false, "threads"_a = 1);
  m.def("weight_gradient_stride1", &stride1_weight_gradient, "x"_a, "grad"_a, "kernel"_a, "padding"_a,
        "threads"_a = 1);
  m.def("weight_gradient_1x1", &gradient_1x1, "x"_a, "grad"_a, "x_signs"_a = py::none(), "grad_signs"_a = py::none(),
        "slope"_a = 1.0f, "threads"_a = 1);
  m.def("few_channels_convolve", &few_channels_convolution, "x"_a, "weight"_a.noconvert(), "transposed"_a,
        "shift"_a = py::none(), "forward_out"_a = py::none(), "tanh"_a = false, "slope"_a = 1.0f, "height"_a = 0,
        "width"_a = 0, "threads"_a = 1);
  m.def("few_channels_weight_gradient", &few_channels_gradients, "small"_a, "big"_a, "grad_is_big"_a,
        "forward_out"_a = py::none(), "tanh"_a = false, "slope"_a = 1.0f, "threads"_a = 1);
  m.def("gemm", &matrix_product, "a"_a.noconvert(), "b"_a.noconvert(), "bias"_a = py::none(), "threads"_a = 1);
  m.def("channel_statistics", &statistics_of, "y"_a, "threads"_a = 1);
  m.def("norm_act", &batch_norm, "y"_a, "mean"_a, "var"_a, "gamma"_a = py::none(), "beta"_a = py::none(),
        "eps"_a = 1e-5, "slope"_a = 1.0f, "threads"_a = 1);
  m.def("norm_act_backward", &batch_norm_backward, "grad"_a, "y"_a, "mean"_a, "var"_a, "gamma"_a = py::none(),
        "beta"_a = py::none(), "eps"_a = 1e-5, "slope"_a = 1.0f, "threads"_a = 1);
}
