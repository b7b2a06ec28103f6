// Convolutions with kernel 4, stride 2, padding 1 on CPU tensors, and their weight gradient.
#include <torch/csrc/stable/library.h>

#include <tuple>

#include "../../cpu/workspace.h"
#include "tensors.h"

namespace {

using namespace ganzoo::tensors;
using ganzoo::Shape;
using ganzoo::Type;

void pack_into(const Tensor& weight, bool transposed, float* packed) {
  const int64_t strides[] = {weight.stride(0), weight.stride(1), weight.stride(2), weight.stride(3)};
  ganzoo::pack(transposed, weight.const_data_ptr<float>(), strides, weight.size(0), weight.size(1), packed, threads());
}

Tensor conv4x4s2_pack_weight(Tensor weight, bool transposed) {
  check_weight(weight);
  Tensor packed = vector(weight, ganzoo::packed_size(transposed, weight.size(0), weight.size(1)));
  ask_for_large_pages(packed);
  pack_into(weight, transposed, packed.mutable_data_ptr<float>());
  return packed;
}

// The panels of `packed`, or those of the weight, packed into this thread's workspace.
const float* packed_or_pack(const Tensor& weight, const Maybe& packed, bool transposed) {
  const int64_t size = ganzoo::packed_size(transposed, weight.size(0), weight.size(1));
  if (packed) {
    STD_TORCH_CHECK(packed->size(0) == size && packed->stride(0) == 1, "ganzoo: packed is not of weight");
    return packed->const_data_ptr<float>();
  }
  float* panels = ganzoo::workspace<ganzoo::Scratch::kShared>(size);
  pack_into(weight, transposed, panels);
  return panels;
}

struct Result {
  Tensor out, mean, var;
};

Result convolve(bool transposed, const Tensor& x, const Tensor& weight, const Maybe& packed, const Maybe& scale,
                const Maybe& shift, double slope, int64_t height, int64_t width, bool statistics) {
  const Type type = check_image(x, "input");
  check_weight(weight);
  const int64_t cs = weight.size(0), cb = weight.size(1), cin = transposed ? cs : cb, cout = transposed ? cb : cs;
  STD_TORCH_CHECK(x.size(1) == cin, "ganzoo: weight is for ", cin, " input channels, but there are ", x.size(1));
  const Shape s = transposed ? Shape{x.size(0), x.size(2), x.size(3), cs, height, width, cb}
                             : Shape{x.size(0), x.size(2) / 2, x.size(3) / 2, cs, x.size(2), x.size(3), cb};
  check_sizes(s);
  STD_TORCH_CHECK(!statistics || s.n > 0, "ganzoo: an empty batch has no statistics");
  Maybe keep_scale, keep_shift;
  ganzoo::Epilogue e = {channel(scale, "scale", cout, keep_scale), channel(shift, "shift", cout, keep_shift),
                        static_cast<float>(slope), nullptr, nullptr};
  if (cb <= ganzoo::kMaxFewChannels && !packed && !scale && !statistics)
    return {few_channels(type, transposed, s, x, weight, e.shift, {}, {false, e.slope}), {}, {}};
  if (packed) check(*packed, "packed", 1);
  const float* panels = packed_or_pack(weight, packed, transposed);
  const Tensor in = nhwc(x);
  Result r = {transposed ? empty_nhwc(type, s.n, cb, s.H, s.W) : empty_nhwc(type, s.n, cs, s.h, s.w),
              vector(in, statistics ? cout : 0), vector(in, statistics ? cout : 0)};
  if (statistics) e.mean = r.mean.mutable_data_ptr<float>(), e.var = r.var.mutable_data_ptr<float>();
  if (s.n > 0)
    ganzoo::convolve(type, transposed, winograd_is_faster(s), s, in.const_data_ptr(), panels, e,
                     r.out.mutable_data_ptr(), threads());
  return r;
}

Tensor conv_transpose4x4s2(Tensor x, Tensor weight, Maybe packed, Maybe scale, Maybe shift, double slope,
                           int64_t height, int64_t width) {
  return convolve(true, x, weight, packed, scale, shift, slope, height, width, false).out;
}

Tensor conv4x4s2(Tensor x, Tensor weight, Maybe packed, Maybe scale, Maybe shift, double slope) {
  return convolve(false, x, weight, packed, scale, shift, slope, 0, 0, false).out;
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
  const Type type = check_image(small, "small");
  check_image(big, "big", type);
  STD_TORCH_CHECK(small.size(0) == big.size(0), "ganzoo: small and big must be of one batch");
  const Shape s = {small.size(0), small.size(2), small.size(3), small.size(1), big.size(2), big.size(3), big.size(1)};
  check_sizes(s);
  STD_TORCH_CHECK(s.cs > 0 && s.cb > 0, "ganzoo: small and big must have channels");
  const Tensor a = nhwc(small), b = nhwc(big);
  Tensor out = empty_nhwc(Type::kFloat32, s.cs, s.cb, 4, 4);
  if (s.cb <= ganzoo::kMaxFewChannels)
    ganzoo::few_channels_weight_gradient(type, s, false, a.const_data_ptr(), b.const_data_ptr(), nullptr, {false, 1},
                                         out.mutable_data_ptr<float>(), nullptr, threads());
  else
    ganzoo::weight_gradient(type, winograd_is_faster(s), s, a.const_data_ptr(), b.const_data_ptr(),
                            out.mutable_data_ptr<float>(), threads());
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganzoo, m) {
  m.def("conv4x4s2_pack_weight(Tensor weight, bool transposed) -> Tensor");
  m.def(
      "conv_transpose4x4s2(Tensor x, Tensor weight, Tensor? packed, Tensor? scale, Tensor? shift, float slope, "
      "SymInt height, SymInt width) -> Tensor");
  m.def("conv4x4s2(Tensor x, Tensor weight, Tensor? packed, Tensor? scale, Tensor? shift, float slope) -> Tensor");
  // out, and the mean and biased variance of each channel
  m.def("conv_transpose4x4s2_stats(Tensor x, Tensor weight, SymInt height, SymInt width) -> (Tensor, Tensor, Tensor)");
  m.def("conv4x4s2_stats(Tensor x, Tensor weight) -> (Tensor, Tensor, Tensor)");
  m.def("conv4x4s2_weight_grad(Tensor small, Tensor big) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(ganzoo, CPU, m) {
  m.impl("conv4x4s2_pack_weight", TORCH_BOX(&conv4x4s2_pack_weight));
  m.impl("conv_transpose4x4s2", TORCH_BOX(&conv_transpose4x4s2));
  m.impl("conv4x4s2", TORCH_BOX(&conv4x4s2));
  m.impl("conv_transpose4x4s2_stats", TORCH_BOX(&conv_transpose4x4s2_stats));
  m.impl("conv4x4s2_stats", TORCH_BOX(&conv4x4s2_stats));
  m.impl("conv4x4s2_weight_grad", TORCH_BOX(&conv4x4s2_weight_grad));
}
