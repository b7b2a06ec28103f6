// Convolutions with kernel 3, stride 1, padding 1 on CPU tensors, and their weight gradient.
#include <torch/csrc/stable/library.h>

#include <tuple>

#include "../../cpu/workspace.h"
#include "tensors.h"

namespace {

using namespace ganzoo::tensors;
using ganzoo::Shape3x3;

void check_weight3x3(const Tensor& weight) {
  check(weight, "weight", 4);
  STD_TORCH_CHECK(weight.size(2) == 3 && weight.size(3) == 3, "ganzoo: weight must be [*, *, 3, 3]");
  STD_TORCH_CHECK(weight.size(0) > 0 && weight.size(1) > 0, "ganzoo: weight must have channels");
  STD_TORCH_CHECK(fits({weight.size(0) + 32, weight.size(1) + 16, 6, 6}), "ganzoo: weight is too large");
}

void check_images(const Shape3x3& s) {
  STD_TORCH_CHECK(s.h > 0 && s.w > 0, "ganzoo: the image must have a height and a width");
  STD_TORCH_CHECK(fits({s.n, s.h, s.w, s.cin}) && fits({s.n, s.h, s.w, s.cout}), "ganzoo: the images are too large");
}

int64_t size_of_panels(const Tensor& weight, bool transposed) {
  return ganzoo::packed_size3x3(weight.size(transposed ? 0 : 1), weight.size(transposed ? 1 : 0));
}

void pack_into(const Tensor& weight, bool transposed, float* packed) {
  const int64_t strides[] = {weight.stride(0), weight.stride(1), weight.stride(2), weight.stride(3)};
  ganzoo::pack3x3(transposed, weight.const_data_ptr<float>(), strides, weight.size(transposed ? 0 : 1),
                  weight.size(transposed ? 1 : 0), packed, threads());
}

Tensor conv3x3_pack_weight(Tensor weight) {
  check_weight3x3(weight);
  Tensor packed = vector(weight, size_of_panels(weight, false));
  ask_for_large_pages(packed);
  pack_into(weight, false, packed.mutable_data_ptr<float>());
  return packed;
}

struct Result {
  Tensor out, mean, var;
};

Result convolve(bool transposed, const Tensor& x, const Tensor& weight, const Maybe& packed, const Maybe& scale,
                const Maybe& shift, const Maybe& residual, double slope, bool statistics) {
  check(x, "input", 4);
  check_weight3x3(weight);
  const Shape3x3 s = {x.size(0), x.size(2), x.size(3), weight.size(transposed ? 0 : 1), weight.size(transposed ? 1 : 0)};
  STD_TORCH_CHECK(x.size(1) == s.cin, "ganzoo: weight is for ", s.cin, " input channels, but there are ", x.size(1));
  check_images(s);
  STD_TORCH_CHECK(!statistics || s.n > 0, "ganzoo: an empty batch has no statistics");
  Maybe keep_scale, keep_shift, keep_residual;
  ganzoo::Epilogue e = {channel(scale, "scale", s.cout, keep_scale), channel(shift, "shift", s.cout, keep_shift),
                        static_cast<float>(slope), nullptr, nullptr};
  if (residual) {
    check(*residual, "residual", 4);
    STD_TORCH_CHECK(residual->size(0) == s.n && residual->size(1) == s.cout && residual->size(2) == s.h &&
                        residual->size(3) == s.w,
                    "ganzoo: residual must have the shape of the result");
    keep_residual = nhwc(*residual);
  }
  const float* panels = nullptr;
  if (packed) {
    check(*packed, "packed", 1);
    STD_TORCH_CHECK(packed->size(0) == size_of_panels(weight, transposed) && packed->stride(0) == 1,
                    "ganzoo: packed is not of weight");
    panels = packed->const_data_ptr<float>();
  } else {
    float* scratch = ganzoo::workspace<ganzoo::Scratch::kShared>(size_of_panels(weight, transposed));
    pack_into(weight, transposed, scratch);
    panels = scratch;
  }
  const Tensor in = nhwc(x);
  Result r = {empty_nhwc(s.n, s.cout, s.h, s.w), vector(in, statistics ? s.cout : 0), vector(in, statistics ? s.cout : 0)};
  if (statistics) e.mean = r.mean.mutable_data_ptr<float>(), e.var = r.var.mutable_data_ptr<float>();
  if (s.n > 0)
    ganzoo::convolve3x3(s, in.const_data_ptr<float>(), panels, e,
                        keep_residual ? keep_residual->const_data_ptr<float>() : nullptr,
                        r.out.mutable_data_ptr<float>(), threads());
  return r;
}

Tensor conv3x3(Tensor x, Tensor weight, Maybe packed, Maybe scale, Maybe shift, Maybe residual, double slope) {
  return convolve(false, x, weight, packed, scale, shift, residual, slope, false).out;
}

Tensor conv3x3_input_grad(Tensor grad, Tensor weight) {
  return convolve(true, grad, weight, {}, {}, {}, {}, 1, false).out;
}

std::tuple<Tensor, Tensor, Tensor> conv3x3_stats(Tensor x, Tensor weight) {
  Result r = convolve(false, x, weight, {}, {}, {}, {}, 1, true);
  return {r.out, r.mean, r.var};
}

Tensor conv3x3_weight_grad(Tensor x, Tensor grad) {
  check(x, "input", 4);
  check(grad, "grad", 4);
  STD_TORCH_CHECK(x.size(0) == grad.size(0) && x.size(2) == grad.size(2) && x.size(3) == grad.size(3),
                  "ganzoo: input and grad must have the same batch and size");
  const Shape3x3 s = {x.size(0), x.size(2), x.size(3), x.size(1), grad.size(1)};
  check_images(s);
  STD_TORCH_CHECK(s.cin > 0 && s.cout > 0, "ganzoo: input and grad must have channels");
  const Tensor a = nhwc(x), b = nhwc(grad);
  Tensor out = empty_nhwc(s.cout, s.cin, 3, 3);
  float* values = out.mutable_data_ptr<float>();
  if (s.n > 0)
    ganzoo::weight_gradient3x3(s, a.const_data_ptr<float>(), b.const_data_ptr<float>(), values, threads());
  else
    std::fill(values, values + out.numel(), 0.0f);
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganzoo, m) {
  m.def("conv3x3_pack_weight(Tensor weight) -> Tensor");
  m.def(
      "conv3x3(Tensor x, Tensor weight, Tensor? packed, Tensor? scale, Tensor? shift, Tensor? residual, float slope) "
      "-> Tensor");
  // out, and the mean and biased variance of each channel
  m.def("conv3x3_stats(Tensor x, Tensor weight) -> (Tensor, Tensor, Tensor)");
  m.def("conv3x3_input_grad(Tensor grad, Tensor weight) -> Tensor");
  m.def("conv3x3_weight_grad(Tensor x, Tensor grad) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(ganzoo, CPU, m) {
  m.impl("conv3x3_pack_weight", TORCH_BOX(&conv3x3_pack_weight));
  m.impl("conv3x3", TORCH_BOX(&conv3x3));
  m.impl("conv3x3_stats", TORCH_BOX(&conv3x3_stats));
  m.impl("conv3x3_input_grad", TORCH_BOX(&conv3x3_input_grad));
  m.impl("conv3x3_weight_grad", TORCH_BOX(&conv3x3_weight_grad));
}
