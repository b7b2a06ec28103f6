// Convolutions with kernel 4, stride 2, padding 1 on CUDA tensors, and their weight gradient; the schemas are in
// ../cpu/convolution.cpp.
#include <torch/csrc/stable/library.h>

#include <tuple>

#include "few_channels.h"
#include "tensors.h"

namespace {

using namespace ganzoo::cuda;

struct Result {
  Tensor out, mean, var;
};

// The weight in the order the kernel reads: unchanged if a channels_last weight already has it, else packed.
Tensor packed(const Call& call, Type type, const Convolution& f, const Tensor& x, const Tensor& weight) {
  const int64_t cb = weight.size(1),
                strides[4] = {weight.stride(0), weight.stride(1), weight.stride(2), weight.stride(3)};
  const bool unchanged = !f.up && weight.scalar_type() == x.scalar_type() && strides[0] == 16 * cb && strides[1] == 1 &&
                         strides[2] == 4 * cb && strides[3] == cb && cb * bytes_of(type) % 16 == 0 &&
                         reinterpret_cast<uintptr_t>(weight.data_ptr()) % 16 == 0;
  if (unchanged) return weight;
  Tensor panels = scratch(x, bytes_of_packed(type, f));
  check(pack(type, f, weight.data_ptr(), weight.scalar_type() == ScalarType::Float, strides, panels.data_ptr(),
             call.stream));
  return panels;
}

Result convolve(bool transposed, const Tensor& x, const Tensor& weight, const Maybe& panels, const Maybe& scale,
                const Maybe& shift, double slope, int64_t height, int64_t width, bool statistics) {
  check(x, "input", 4, x);
  check(weight, "weight", 4, x);
  const Type type = type_of(x, "input");
  STD_TORCH_CHECK(weight.scalar_type() == ScalarType::Float || weight.scalar_type() == x.scalar_type(),
                  "ganzoo: weight must be float32 or of the input's dtype");
  STD_TORCH_CHECK(weight.size(2) == 4 && weight.size(3) == 4, "ganzoo: weight must be [*, *, 4, 4]");
  STD_TORCH_CHECK(!panels, "ganzoo: weights are packed in the call on a GPU");
  const int64_t n = x.size(0), cs = weight.size(0), cb = weight.size(1), cin = transposed ? cs : cb,
                cout = transposed ? cb : cs;
  STD_TORCH_CHECK(x.size(1) == cin, "ganzoo: weight is for ", cin, " input channels, but there are ", x.size(1));
  const int64_t out_h = transposed ? height : x.size(2) / 2, out_w = transposed ? width : x.size(3) / 2;
  if (transposed)
    check_sizes(n, x.size(2), x.size(3), cs, height, width, cb);
  else
    check_sizes(n, out_h, out_w, cs, x.size(2), x.size(3), cb);
  STD_TORCH_CHECK(!statistics || n > 0, "ganzoo: an empty batch has no statistics");

  Maybe keep_scale, keep_shift;
  Epilogue e = {channel(scale, "scale", cout, x, keep_scale), channel(shift, "shift", cout, x, keep_shift),
                static_cast<float>(slope), nullptr, nullptr};
  if (!statistics && has_few_channels(type, cs, cb)) {
    const int h = int(x.size(2)), w = int(x.size(3));
    const FewChannels s = transposed
                              ? FewChannels{int(n), h, w, int(cs), int(height), int(width), int(cb)}
                              : FewChannels{int(n), int(out_h), int(out_w), int(cs), h, w, int(cb)};
    return {few_channels(transposed, s, x, {}, 1, weight, {e.scale, e.shift, false, e.slope}), vector(x, 0),
            vector(x, 0)};
  }
  const Call call(x);
  Result r = {empty_nhwc(x, x.scalar_type(), n, cout, out_h, out_w), vector(x, statistics ? cout : 0),
              vector(x, statistics ? cout : 0)};
  if (n == 0) return r;
  const Convolution f = convolution(transposed, n, x.size(2), x.size(3), cin, out_h, out_w, cout);
  const Tensor in = nhwc(x), weights = packed(call, type, f, x, weight);
  if (statistics) e.mean = r.mean.mutable_data_ptr<float>(), e.var = r.var.mutable_data_ptr<float>();
  const Tensor partial = scratch(x, statistics ? bytes_of_statistics(f) : 0);
  check(convolve(type, f, in.data_ptr(), weights.data_ptr(), e, r.out.data_ptr(), partial.data_ptr(), call.processors,
                 call.stream));
  return r;
}

Tensor conv_transpose4x4s2(Tensor x, Tensor weight, Maybe panels, Maybe scale, Maybe shift, double slope,
                           int64_t height, int64_t width) {
  return convolve(true, x, weight, panels, scale, shift, slope, height, width, false).out;
}

Tensor conv4x4s2(Tensor x, Tensor weight, Maybe panels, Maybe scale, Maybe shift, double slope) {
  return convolve(false, x, weight, panels, scale, shift, slope, 0, 0, false).out;
}

std::tuple<Tensor, Tensor, Tensor> conv_transpose4x4s2_stats(Tensor x, Tensor weight, int64_t height, int64_t width) {
  Result r = convolve(true, x, weight, {}, {}, {}, 1, height, width, true);
  return {r.out, r.mean, r.var};
}

std::tuple<Tensor, Tensor, Tensor> conv4x4s2_stats(Tensor x, Tensor weight) {
  Result r = convolve(false, x, weight, {}, {}, {}, 1, 0, 0, true);
  return {r.out, r.mean, r.var};
}

Tensor conv4x4s2_weight_grad(Tensor small, Tensor big) {
  check(small, "small", 4, small);
  check(big, "big", 4, small);
  check_same_type(big, "big", small);
  const Type type = type_of(small, "small");
  STD_TORCH_CHECK(small.size(0) == big.size(0), "ganzoo: small and big must be of one batch");
  check_sizes(small.size(0), small.size(2), small.size(3), small.size(1), big.size(2), big.size(3), big.size(1));
  if (has_few_channels(type, small.size(1), big.size(1))) {
    const FewChannels s = {int(small.size(0)), int(small.size(2)), int(small.size(3)), int(small.size(1)),
                           int(big.size(2)),   int(big.size(3)),   int(big.size(1))};
    return std::get<0>(few_channels_gradients(s, small, big, false, {}, 1, false));
  }
  Tensor out = empty_nhwc(small, ScalarType::Float, small.size(1), big.size(1), 4, 4);
  if (small.size(0) == 0) return torch::stable::zero_(out);
  const Call call(small);
  const Gradient g =
      gradient(small.size(0), small.size(2), small.size(3), small.size(1), big.size(2), big.size(3), big.size(1));
  const Tensor a = nhwc(small), b = nhwc(big), splits = scratch(small, bytes_of_splits(type, g, call.processors));
  check(weight_gradient(type, g, a.data_ptr(), b.data_ptr(), out.mutable_data_ptr<float>(), splits.data_ptr(),
                        call.processors, call.stream));
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(ganzoo, GANZOO_DEVICE, m) {
  m.impl("conv_transpose4x4s2", TORCH_BOX(&conv_transpose4x4s2));
  m.impl("conv4x4s2", TORCH_BOX(&conv4x4s2));
  m.impl("conv_transpose4x4s2_stats", TORCH_BOX(&conv_transpose4x4s2_stats));
  m.impl("conv4x4s2_stats", TORCH_BOX(&conv4x4s2_stats));
  m.impl("conv4x4s2_weight_grad", TORCH_BOX(&conv4x4s2_weight_grad));
}
