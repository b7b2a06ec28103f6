// The operations on CUDA tensors, for the schemas of ../ops.cpp: checks, tensors in and out, the stream. LibTorch's
// stable ABI only. A shared object of its own: the CPU's libtorch lacks what is asked of torch here. With
// GANZOO_EMULATE it takes CPU tensors to the emulated kernels, so that what is in here is tested without a GPU, too.
#include "call.h"

#include <torch/csrc/stable/library.h>

#include <tuple>

namespace {

using ganzoo::cuda::BatchNorm;
using ganzoo::cuda::Call;
using ganzoo::cuda::channel;
using ganzoo::cuda::check;
using ganzoo::cuda::check_same_type;
using ganzoo::cuda::check_sizes;
using ganzoo::cuda::Convolution;
using ganzoo::cuda::empty_nhwc;
using ganzoo::cuda::Epilogue;
using ganzoo::cuda::Gradient;
using ganzoo::cuda::kMostChannels;
using ganzoo::cuda::kMostPixels;
using ganzoo::cuda::Maybe;
using ganzoo::cuda::nhwc;
using ganzoo::cuda::ScalarType;
using ganzoo::cuda::scratch;
using ganzoo::cuda::Tensor;
using ganzoo::cuda::tf32;
using ganzoo::cuda::Type;
using ganzoo::cuda::type_of;
using ganzoo::cuda::vector;

struct Result {
  Tensor out, mean, var;
};

// The weight as the kernel reads it: as it is where a channels_last one is that already, else packed.
Tensor packed(const Call& call, Type type, const Convolution& f, const Tensor& x, const Tensor& weight) {
  const int64_t cb = weight.size(1),
                strides[4] = {weight.stride(0), weight.stride(1), weight.stride(2), weight.stride(3)};
  const bool as_it_is = !f.up && weight.scalar_type() == x.scalar_type() && strides[0] == 16 * cb && strides[1] == 1 &&
                        strides[2] == 4 * cb && strides[3] == cb && cb * ganzoo::cuda::bytes_of(type) % 16 == 0 &&
                        reinterpret_cast<uintptr_t>(weight.data_ptr()) % 16 == 0;
  if (as_it_is) return weight;
  Tensor panels = scratch(x, ganzoo::cuda::bytes_of_packed(type, f));
  check(pack(type, f, weight.data_ptr(), weight.scalar_type() == ScalarType::Float, strides, panels.data_ptr(),
             call.stream));
  return panels;
}

Result convolve(bool up, const Tensor& x, const Tensor& weight, const Maybe& panels, const Maybe& scale,
                const Maybe& shift, double slope, int64_t height, int64_t width, bool statistics) {
  check(x, "input", 4, x);
  check(weight, "weight", 4, x);
  const Type type = type_of(x, "input");
  STD_TORCH_CHECK(weight.scalar_type() == ScalarType::Float || weight.scalar_type() == x.scalar_type(),
                  "ganzoo: weight must be float32 or of the input's dtype");
  STD_TORCH_CHECK(weight.size(2) == 4 && weight.size(3) == 4, "ganzoo: weight must be [*, *, 4, 4]");
  STD_TORCH_CHECK(!panels, "ganzoo: weights are packed in the call on a GPU");
  const int64_t n = x.size(0), cs = weight.size(0), cb = weight.size(1), cin = up ? cs : cb, cout = up ? cb : cs;
  STD_TORCH_CHECK(x.size(1) == cin, "ganzoo: weight is for ", cin, " input channels, but there are ", x.size(1));
  const int64_t out_h = up ? height : x.size(2) / 2, out_w = up ? width : x.size(3) / 2;
  if (up)
    check_sizes(n, x.size(2), x.size(3), cs, height, width, cb);
  else
    check_sizes(n, out_h, out_w, cs, x.size(2), x.size(3), cb);
  STD_TORCH_CHECK(!statistics || n > 0, "ganzoo: an empty batch has no statistics");

  Maybe keep_scale, keep_shift;
  Epilogue e = {channel(scale, "scale", cout, x, keep_scale), channel(shift, "shift", cout, x, keep_shift),
                static_cast<float>(slope), nullptr, nullptr};
  const Call call(x);
  Result r = {empty_nhwc(x, x.scalar_type(), n, cout, out_h, out_w), vector(x, statistics ? cout : 0),
              vector(x, statistics ? cout : 0)};
  if (n == 0) return r;
  const Convolution f = ganzoo::cuda::convolution(up, n, x.size(2), x.size(3), cin, out_h, out_w, cout);
  const Tensor in = nhwc(x), weights = packed(call, type, f, x, weight);
  if (statistics) e.mean = r.mean.mutable_data_ptr<float>(), e.var = r.var.mutable_data_ptr<float>();
  const Tensor partial = scratch(x, statistics ? bytes_of_statistics(f) : 0);
  check(convolve(type, f, in.data_ptr(), weights.data_ptr(), e, r.out.data_ptr(), partial.data_ptr(), call.processors,
                 call.stream));
  return r;
}

Tensor up(Tensor x, Tensor weight, Maybe panels, Maybe scale, Maybe shift, double slope, int64_t height,
          int64_t width) {
  return convolve(true, x, weight, panels, scale, shift, slope, height, width, false).out;
}

Tensor down(Tensor x, Tensor weight, Maybe panels, Maybe scale, Maybe shift, double slope) {
  return convolve(false, x, weight, panels, scale, shift, slope, 0, 0, false).out;
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
  check(small, "small", 4, small);
  check(big, "big", 4, small);
  check_same_type(big, "big", small);
  const Type type = type_of(small, "small");
  STD_TORCH_CHECK(small.size(0) == big.size(0), "ganzoo: small and big must be of one batch");
  check_sizes(small.size(0), small.size(2), small.size(3), small.size(1), big.size(2), big.size(3), big.size(1));
  Tensor out = empty_nhwc(small, ScalarType::Float, small.size(1), big.size(1), 4, 4);
  if (small.size(0) == 0) return torch::stable::zero_(out);
  const Call call(small);
  const Gradient g = ganzoo::cuda::gradient(small.size(0), small.size(2), small.size(3), small.size(1), big.size(2),
                                            big.size(3), big.size(1));
  const Tensor a = nhwc(small), b = nhwc(big), splits = scratch(small, bytes_of_splits(type, g, call.processors));
  check(weight_gradient(type, g, a.data_ptr(), b.data_ptr(), out.mutable_data_ptr<float>(), splits.data_ptr(),
                        call.processors, call.stream));
  return out;
}

void check_pixels(const Tensor& y) {
  check(y, "y", 4, y);
  STD_TORCH_CHECK(y.numel() > 0, "ganzoo: an empty batch has no statistics");
  STD_TORCH_CHECK(y.size(1) <= kMostChannels && y.numel() / y.size(1) <= kMostPixels, "ganzoo: y is too large");
}

std::tuple<Tensor, Tensor> channel_statistics(Tensor y) {
  check_pixels(y);
  const Call call(y);
  const Tensor in = nhwc(y);
  const int64_t c = y.size(1), pixels = y.numel() / c;
  Tensor mean = vector(y, c), var = vector(y, c);
  const Tensor sums = scratch(y, ganzoo::cuda::bytes_of_sums(pixels, c));
  check(channel_statistics(type_of(y, "y"), in.data_ptr(), pixels, c, mean.mutable_data_ptr<float>(),
                           var.mutable_data_ptr<float>(), sums.data_ptr(), call.stream));
  return {mean, var};
}

struct Norm {
  Maybe keep[4];
  BatchNorm values;

  Norm(const Tensor& y, const Tensor& mean, const Tensor& var, const Maybe& gamma, const Maybe& beta, double eps,
       double slope) {
    const int64_t c = y.size(1);
    values = {channel(mean, "mean", c, y, keep[0]),
              channel(var, "var", c, y, keep[1]),
              channel(gamma, "gamma", c, y, keep[2]),
              channel(beta, "beta", c, y, keep[3]),
              static_cast<float>(eps),
              static_cast<float>(slope)};
  }
};

Tensor norm_act(Tensor y, Tensor mean, Tensor var, Maybe gamma, Maybe beta, double eps, double slope) {
  check_pixels(y);
  const Call call(y);
  const Tensor in = nhwc(y);
  const int64_t c = y.size(1);
  const Norm norm(y, mean, var, gamma, beta, eps, slope);
  Tensor out = empty_nhwc(y, y.scalar_type(), y.size(0), c, y.size(2), y.size(3));
  check(norm_act(type_of(y, "y"), in.data_ptr(), y.numel() / c, c, norm.values, out.data_ptr(), call.stream));
  return out;
}

std::tuple<Tensor, Tensor, Tensor> norm_act_backward(Tensor grad, Tensor y, Tensor mean, Tensor var, Maybe gamma,
                                                     Maybe beta, double eps, double slope) {
  check_pixels(y);
  check(grad, "grad", 4, y);
  check_same_type(grad, "grad", y);
  for (int i = 0; i < 4; ++i) STD_TORCH_CHECK(grad.size(i) == y.size(i), "ganzoo: grad must have the shape of y");
  const Call call(y);
  const Tensor in = nhwc(y), g = nhwc(grad);
  const int64_t c = y.size(1), pixels = y.numel() / c;
  const Norm norm(y, mean, var, gamma, beta, eps, slope);
  Tensor dy = empty_nhwc(y, y.scalar_type(), y.size(0), c, y.size(2), y.size(3)), dgamma = vector(y, c),
         dbeta = vector(y, c);
  const Tensor sums = scratch(y, ganzoo::cuda::bytes_of_sums(pixels, c));
  check(norm_act_backward(type_of(y, "y"), g.data_ptr(), in.data_ptr(), pixels, c, norm.values, dy.data_ptr(),
                          dgamma.mutable_data_ptr<float>(), dbeta.mutable_data_ptr<float>(), sums.data_ptr(),
                          call.stream));
  return {dy, dgamma, dbeta};
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(ganzoo, GANZOO_DEVICE, m) {
  m.impl("up", TORCH_BOX(&up));
  m.impl("down", TORCH_BOX(&down));
  m.impl("up_statistics", TORCH_BOX(&up_statistics));
  m.impl("down_statistics", TORCH_BOX(&down_statistics));
  m.impl("weight_gradient", TORCH_BOX(&weight_gradient));
  m.impl("channel_statistics", TORCH_BOX(&channel_statistics));
  m.impl("norm_act", TORCH_BOX(&norm_act));
  m.impl("norm_act_backward", TORCH_BOX(&norm_act_backward));
}

// What is no op, for ctypes.
extern "C" {
__attribute__((visibility("default"))) void ganzoo_cuda_allow_tf32(int allow) { tf32 = allow != 0; }
#ifndef GANZOO_EMULATE
// Nobody calls it: it keeps digest and architectures in the binary, whose bytes are searched before it is loaded.
__attribute__((visibility("default"))) const char* ganzoo_cuda_sources() { return GANZOO_SOURCES; }
__attribute__((visibility("default"))) const char* ganzoo_cuda_architectures() { return GANZOO_ARCHITECTURES; }
__attribute__((visibility("default"))) int ganzoo_cuda_toolkit() { return CUDART_VERSION; }
#endif
}
