// The operations as torch sees them: schemas, checks, tensors in and out. LibTorch's stable ABI only, so that one binary
// serves every torch from 2.10 on; no Python.h, so that it serves every Python. Autograd and fakes: ganzoo/ops/native.py.
#include <torch/csrc/stable/library.h>

#include <tuple>

#include "cpu/workspace.h"
#include "tensors.h"

namespace {

using namespace ganzoo::tensors;
using ganzoo::Shape;

void pack_into(const Tensor& weight, bool up, float* packed) {
  const int64_t strides[] = {weight.stride(0), weight.stride(1), weight.stride(2), weight.stride(3)};
  ganzoo::pack(up, weight.const_data_ptr<float>(), strides, weight.size(0), weight.size(1), packed, threads());
}

Tensor pack(const Tensor& weight, bool up) {
  check_weight(weight);
  Tensor packed = vector(weight, ganzoo::packed_size(up, weight.size(0), weight.size(1)));
  ask_for_large_pages(packed);
  pack_into(weight, up, packed.mutable_data_ptr<float>());
  return packed;
}

// `packed` as it came, or the weight packed in memory that stays with this thread.
const float* panels_of(const Tensor& weight, const Maybe& packed, bool up) {
  const int64_t size = ganzoo::packed_size(up, weight.size(0), weight.size(1));
  if (packed) {
    STD_TORCH_CHECK(packed->size(0) == size && packed->stride(0) == 1, "ganzoo: packed is not of weight");
    return packed->const_data_ptr<float>();
  }
  float* panels = ganzoo::workspace<ganzoo::Scratch::kShared>(size);
  pack_into(weight, up, panels);
  return panels;
}

struct Result {
  Tensor out, mean, var;
};

Result convolve(bool up, const Tensor& x, const Tensor& weight, const Maybe& packed, const Maybe& scale,
                const Maybe& shift, double slope, int64_t height, int64_t width, bool statistics) {
  check(x, "input", 4);
  check_weight(weight);
  const int64_t cs = weight.size(0), cb = weight.size(1), cin = up ? cs : cb, cout = up ? cb : cs;
  STD_TORCH_CHECK(x.size(1) == cin, "ganzoo: weight is for ", cin, " input channels, but there are ", x.size(1));
  const Shape s = up ? Shape{x.size(0), x.size(2), x.size(3), cs, height, width, cb}
                     : Shape{x.size(0), x.size(2) / 2, x.size(3) / 2, cs, x.size(2), x.size(3), cb};
  check_sizes(s);
  STD_TORCH_CHECK(!statistics || s.n > 0, "ganzoo: an empty batch has no statistics");
  Maybe keep_scale, keep_shift;
  ganzoo::Epilogue e = {channel(scale, "scale", cout, keep_scale), channel(shift, "shift", cout, keep_shift),
                        static_cast<float>(slope), nullptr, nullptr};
  if (cb <= ganzoo::kMaxFewChannels && !packed && !scale && !statistics)
    return {narrow(up, s, x, weight, e.shift, {}, {false, e.slope}), {}, {}};
  if (packed) check(*packed, "packed", 1);
  const float* panels = panels_of(weight, packed, up);
  const Tensor in = nhwc(x);
  Result r = {up ? empty_nhwc(s.n, cb, s.H, s.W) : empty_nhwc(s.n, cs, s.h, s.w), vector(in, statistics ? cout : 0),
              vector(in, statistics ? cout : 0)};
  if (statistics) e.mean = r.mean.mutable_data_ptr<float>(), e.var = r.var.mutable_data_ptr<float>();
  if (s.n > 0)
    ganzoo::convolve(up, winograd_is_faster(s), s, in.const_data_ptr<float>(), panels, e,
                     r.out.mutable_data_ptr<float>(), threads());
  return r;
}

Tensor up(Tensor x, Tensor weight, Maybe packed, Maybe scale, Maybe shift, double slope, int64_t height,
          int64_t width) {
  return convolve(true, x, weight, packed, scale, shift, slope, height, width, false).out;
}

Tensor down(Tensor x, Tensor weight, Maybe packed, Maybe scale, Maybe shift, double slope) {
  return convolve(false, x, weight, packed, scale, shift, slope, 0, 0, false).out;
}

std::tuple<Tensor, Tensor, Tensor> up_statistics(Tensor x, Tensor weight, int64_t height, int64_t width) {
  Result r = convolve(true, x, weight, {}, {}, {}, 1, height, width, true);
  return {r.out, r.mean, r.var};
}

std::tuple<Tensor, Tensor, Tensor> down_statistics(Tensor x, Tensor weight) {
  Result r = convolve(false, x, weight, {}, {}, {}, 1, 0, 0, true);
  return {r.out, r.mean, r.var};
}

Tensor weight_gradient(Tensor small, Tensor big) {
  check(small, "small", 4);
  check(big, "big", 4);
  STD_TORCH_CHECK(small.size(0) == big.size(0), "ganzoo: small and big must be of one batch");
  const Shape s = {small.size(0), small.size(2), small.size(3), small.size(1), big.size(2), big.size(3), big.size(1)};
  check_sizes(s);
  STD_TORCH_CHECK(s.cs > 0 && s.cb > 0, "ganzoo: small and big must have channels");
  const Tensor a = nhwc(small), b = nhwc(big);
  Tensor out = empty_nhwc(s.cs, s.cb, 4, 4);
  if (s.cb <= ganzoo::kMaxFewChannels)
    ganzoo::few_channels_weight_gradient(s, false, a.const_data_ptr<float>(), b.const_data_ptr<float>(), nullptr,
                                         {false, 1},
                            out.mutable_data_ptr<float>(), nullptr, threads());
  else
    ganzoo::weight_gradient(winograd_is_faster(s), s, a.const_data_ptr<float>(), b.const_data_ptr<float>(),
                            out.mutable_data_ptr<float>(), threads());
  return out;
}

Tensor matmul(Tensor a, Tensor b, Maybe bias) {
  check(a, "the left matrix", 2);
  check(b, "the right matrix", 2);
  STD_TORCH_CHECK(a.size(1) == b.size(0), "ganzoo: a matrix of ", a.size(1), " columns cannot be multiplied by one of ",
                  b.size(0), " rows");
  const int64_t m = a.size(0), n = b.size(1), k = a.size(1), sizes[] = {m, n};
  STD_TORCH_CHECK(fits({m, n}) && fits({m, k}) && fits({k, n}), "ganzoo: the matrices are too large");
  const int64_t a_strides[] = {a.stride(0), a.stride(1)}, b_strides[] = {b.stride(0), b.stride(1)};
  Maybe keep;
  const float* shift = channel(bias, "bias", n, keep);
  Tensor c = torch::stable::new_empty(a, {sizes, 2}, ScalarType::Float);
  if (m > 0 && n > 0)
    ganzoo::gemm(a.const_data_ptr<float>(), a_strides, b.const_data_ptr<float>(), b_strides, shift, m, n, k,
                     c.mutable_data_ptr<float>(), threads());
  return c;
}

void check_pixels(const Tensor& y) {
  check(y, "y", 4);
  STD_TORCH_CHECK(y.numel() > 0, "ganzoo: an empty batch has no statistics");
}

std::tuple<Tensor, Tensor> channel_statistics(Tensor y) {
  check_pixels(y);
  const Tensor in = nhwc(y);
  const int64_t c = y.size(1);
  Tensor mean = vector(in, c), var = vector(in, c);
  ganzoo::channel_statistics(in.const_data_ptr<float>(), y.numel() / c, c, mean.mutable_data_ptr<float>(),
                             var.mutable_data_ptr<float>(), threads());
  return {mean, var};
}

struct Norm {
  Maybe keep[4];
  ganzoo::BatchNorm values;

  Norm(int64_t c, const Tensor& mean, const Tensor& var, const Maybe& gamma, const Maybe& beta, double eps,
       double slope) {
    values = {channel(mean, "mean", c, keep[0]),    channel(var, "var", c, keep[1]),
              channel(gamma, "gamma", c, keep[2]), channel(beta, "beta", c, keep[3]),
              eps,                                  static_cast<float>(slope)};
  }
};

Tensor norm_act(Tensor y, Tensor mean, Tensor var, Maybe gamma, Maybe beta, double eps, double slope) {
  check_pixels(y);
  const Tensor in = nhwc(y);
  const int64_t c = y.size(1);
  const Norm norm(c, mean, var, gamma, beta, eps, slope);
  Tensor out = empty_nhwc(y.size(0), c, y.size(2), y.size(3));
  ganzoo::norm_act(in.const_data_ptr<float>(), y.numel() / c, c, norm.values, out.mutable_data_ptr<float>(), threads());
  return out;
}

std::tuple<Tensor, Tensor, Tensor> norm_act_backward(Tensor grad, Tensor y, Tensor mean, Tensor var, Maybe gamma,
                                                     Maybe beta, double eps, double slope) {
  check_pixels(y);
  check(grad, "grad", 4);
  for (int i = 0; i < 4; ++i) STD_TORCH_CHECK(grad.size(i) == y.size(i), "ganzoo: grad must have the shape of y");
  const Tensor in = nhwc(y), g = nhwc(grad);
  const int64_t c = y.size(1);
  const Norm norm(c, mean, var, gamma, beta, eps, slope);
  Tensor dy = empty_nhwc(y.size(0), c, y.size(2), y.size(3)), dgamma = vector(in, c), dbeta = vector(in, c);
  ganzoo::norm_act_backward(g.const_data_ptr<float>(), in.const_data_ptr<float>(), y.numel() / c, c, norm.values,
                            dy.mutable_data_ptr<float>(), dgamma.mutable_data_ptr<float>(),
                            dbeta.mutable_data_ptr<float>(), threads());
  return {dy, dgamma, dbeta};
}

}  // namespace

STABLE_TORCH_LIBRARY(ganzoo, m) {
  m.def("pack(Tensor weight, bool up) -> Tensor");
  m.def(
      "up(Tensor x, Tensor weight, Tensor? packed, Tensor? scale, Tensor? shift, float slope, SymInt height, "
      "SymInt width) -> Tensor");
  m.def("down(Tensor x, Tensor weight, Tensor? packed, Tensor? scale, Tensor? shift, float slope) -> Tensor");
  m.def("up_statistics(Tensor x, Tensor weight, SymInt height, SymInt width) -> (Tensor, Tensor, Tensor)");
  m.def("down_statistics(Tensor x, Tensor weight) -> (Tensor, Tensor, Tensor)");
  m.def("weight_gradient(Tensor small, Tensor big) -> Tensor");
  m.def("matmul(Tensor a, Tensor b, Tensor? bias) -> Tensor");
  m.def("channel_statistics(Tensor y) -> (Tensor, Tensor)");
  m.def(
      "norm_act(Tensor y, Tensor mean, Tensor var, Tensor? gamma, Tensor? beta, float eps, float slope) -> Tensor");
  m.def(
      "norm_act_backward(Tensor grad, Tensor y, Tensor mean, Tensor var, Tensor? gamma, Tensor? beta, float eps, "
      "float slope) -> (Tensor, Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(ganzoo, CPU, m) {
  m.impl("pack", TORCH_BOX(&pack));
  m.impl("up", TORCH_BOX(&up));
  m.impl("down", TORCH_BOX(&down));
  m.impl("up_statistics", TORCH_BOX(&up_statistics));
  m.impl("down_statistics", TORCH_BOX(&down_statistics));
  m.impl("weight_gradient", TORCH_BOX(&weight_gradient));
  m.impl("matmul", TORCH_BOX(&matmul));
  m.impl("channel_statistics", TORCH_BOX(&channel_statistics));
  m.impl("norm_act", TORCH_BOX(&norm_act));
  m.impl("norm_act_backward", TORCH_BOX(&norm_act_backward));
}

#ifndef GANZOO_SOURCES
#define GANZOO_SOURCES ""
#endif

// What is no op, for ctypes: which instruction set, and the speed its arithmetic could reach.
extern "C" {
__attribute__((visibility("default"))) const char* ganzoo_instruction_set() { return ganzoo::instruction_set(); }
__attribute__((visibility("default"))) int ganzoo_choose(const char* name) {
  return ganzoo::select_instruction_set(name);
}
// Nobody calls it: it keeps the digest in the binary, whose bytes are searched for it before it is loaded.
__attribute__((visibility("default"))) const char* ganzoo_sources() { return GANZOO_SOURCES; }
// Runs `rounds` of a loop of nothing but fused multiply-adds on every thread; returns the operations done.
__attribute__((visibility("default"))) double ganzoo_fma_loop(int64_t rounds) {
  const int64_t threads = torch::stable::get_num_threads();
  run(threads, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ganzoo::fma_loop(rounds);
  });
  return static_cast<double>(threads) * static_cast<double>(rounds) * ganzoo::fma_loop(1);
}
}
