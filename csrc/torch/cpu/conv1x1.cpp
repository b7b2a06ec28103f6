// Convolutions with kernel 1 on CPU tensors, and their weight gradient.
#include <torch/csrc/stable/library.h>

#include "tensors.h"

namespace {

using namespace ganzoo::tensors;
using ganzoo::Signs;

// Channels of a weight [cout, cin, 1, 1], or of its transpose.
struct Weight {
  const float* values;
  int64_t cin, cout, in, out;  // in, out: strides
  Weight(const Tensor& weight, bool transposed) {
    check(weight, "weight", 4);
    STD_TORCH_CHECK(weight.size(2) == 1 && weight.size(3) == 1, "ganzoo: weight must be [*, *, 1, 1]");
    STD_TORCH_CHECK(weight.size(0) > 0 && weight.size(1) > 0, "ganzoo: weight must have channels");
    STD_TORCH_CHECK(fits({weight.size(0) + 32, weight.size(1) + 32, 16}), "ganzoo: weight is too large");
    values = weight.const_data_ptr<float>();
    cin = weight.size(transposed ? 0 : 1), cout = weight.size(transposed ? 1 : 0);
    in = weight.stride(transposed ? 0 : 1), out = weight.stride(transposed ? 1 : 0);
  }
};

void check_like(const Tensor& t, const char* name, const Tensor& x, int64_t channels) {
  check(t, name, 4);
  STD_TORCH_CHECK(t.size(0) == x.size(0) && t.size(1) == channels && t.size(2) == x.size(2) && t.size(3) == x.size(3),
                  "ganzoo: ", name, " must be [", x.size(0), ", ", channels, ", ", x.size(2), ", ", x.size(3), "]");
}

// The tensor, if there is one, as an array of channels for each pixel; `keep` owns the copy.
const float* pixels(const Maybe& t, const char* name, const Tensor& x, int64_t channels, Maybe& keep) {
  if (!t) return nullptr;
  check_like(*t, name, x, channels);
  keep = nhwc(*t);
  return keep->const_data_ptr<float>();
}

Tensor convolve(const Tensor& x, const Weight& weight, const Maybe& shift, const Maybe& residual, double slope,
                const Maybe& in_signs, double in_slope, const Maybe& out_signs, double out_slope) {
  check(x, "input", 4);
  STD_TORCH_CHECK(x.size(1) == weight.cin, "ganzoo: weight is for ", weight.cin, " input channels, but there are ",
                  x.size(1));
  STD_TORCH_CHECK(fits({x.size(0), x.size(1), x.size(2), x.size(3)}), "ganzoo: the images are too large");
  const Tensor in = nhwc(x), out = empty_nhwc(ganzoo::Type::kFloat32, x.size(0), weight.cout, x.size(2), x.size(3));
  Maybe keep[4];
  ganzoo::Pointwise f = {};
  f.pixels = x.size(0) * x.size(2) * x.size(3), f.cin = weight.cin, f.cout = weight.cout;
  f.x = in.const_data_ptr<float>();
  f.weight = weight.values, f.weight_in = weight.in, f.weight_out = weight.out;
  f.shift = channel(shift, "shift", weight.cout, keep[0]);
  f.residual = pixels(residual, "residual", x, weight.cout, keep[1]);
  f.slope = static_cast<float>(slope);
  f.in_signs = {pixels(in_signs, "in_signs", x, weight.cin, keep[2]), static_cast<float>(in_slope)};
  f.out_signs = {pixels(out_signs, "out_signs", x, weight.cout, keep[3]), static_cast<float>(out_slope)};
  f.out = out.mutable_data_ptr<float>();
  if (f.pixels > 0) ganzoo::convolve1x1(f, threads());
  return out;
}

Tensor conv1x1(Tensor x, Tensor weight, Maybe shift, Maybe residual, double input_slope, double slope) {
  return convolve(x, Weight(weight, false), shift, residual, slope, {}, input_slope, {}, 1);
}

Tensor conv1x1_masked(Tensor x, Tensor weight, bool transposed, Maybe in_signs, double in_slope, Maybe out_signs,
                      double out_slope) {
  STD_TORCH_CHECK(out_signs || out_slope == 1, "ganzoo: out_slope needs out_signs");
  return convolve(x, Weight(weight, transposed), {}, {}, 1, in_signs, in_slope, out_signs, out_slope);
}

// The gradient with respect to the weight, stored transposed if `transposed`, and with `weight` that of x as well.
std::tuple<Maybe, Tensor> gradients(const Tensor& x, const Tensor& grad, const Weight* weight, bool transposed,
                                    const Maybe& x_signs, double x_slope, const Maybe& grad_signs, double grad_slope) {
  check(x, "input", 4);
  check_like(grad, "grad", x, grad.dim() == 4 ? grad.size(1) : 0);
  STD_TORCH_CHECK(x.size(1) > 0 && grad.size(1) > 0, "ganzoo: input and grad must have channels");
  STD_TORCH_CHECK(fits({x.size(0), x.size(1), x.size(2), x.size(3)}) && fits({grad.numel()}) &&
                      fits({x.size(1) + 32, grad.size(1) + 32, 16}),
                  "ganzoo: the images are too large");
  Maybe keep[2];
  const Tensor a = nhwc(x), b = nhwc(grad);
  const int64_t cin = x.size(1), cout = grad.size(1);
  const Tensor out = empty_nhwc(ganzoo::Type::kFloat32, transposed ? cin : cout, transposed ? cout : cin, 1, 1);
  const ganzoo::PointwiseGradient f = {
      x.size(0) * x.size(2) * x.size(3),
      cin,
      cout,
      a.const_data_ptr<float>(),
      b.const_data_ptr<float>(),
      {pixels(x_signs, "x_signs", x, cin, keep[0]), static_cast<float>(x_slope)},
      {pixels(grad_signs, "grad_signs", x, cout, keep[1]), static_cast<float>(grad_slope)},
      out.mutable_data_ptr<float>(),
      transposed ? cout : 1,
      transposed ? 1 : cin};
  if (!weight) {
    ganzoo::weight_gradient1x1(f, threads());
    return {Maybe(), out};
  }
  STD_TORCH_CHECK(weight->cin == cout && weight->cout == cin, "ganzoo: weight is for ", weight->cout, " and ", weight->cin,
                  " channels, but there are ", cin, " and ", cout);
  const Tensor dx = empty_nhwc(ganzoo::Type::kFloat32, x.size(0), cin, x.size(2), x.size(3));
  ganzoo::Pointwise back = {};
  back.pixels = f.pixels, back.cin = cout, back.cout = cin, back.x = f.grad, back.out = dx.mutable_data_ptr<float>();
  back.weight = weight->values, back.weight_in = weight->in, back.weight_out = weight->out, back.slope = 1;
  back.in_signs = f.grad_signs, back.out_signs = f.x_signs;
  if (!x_signs && x_slope != 1) back.out_signs.values = f.x;
  ganzoo::gradients1x1(f, back, threads());
  return {Maybe(dx), out};
}

Tensor conv1x1_weight_grad(Tensor x, Tensor grad, Maybe x_signs, double x_slope, Maybe grad_signs, double grad_slope) {
  return std::get<1>(gradients(x, grad, nullptr, false, x_signs, x_slope, grad_signs, grad_slope));
}

std::tuple<Tensor, Tensor> conv1x1_gradients(Tensor x, Tensor grad, Tensor weight, bool transposed, Maybe x_signs,
                                             double x_slope, Maybe grad_signs, double grad_slope) {
  const Weight back(weight, !transposed);
  const auto [dx, dweight] = gradients(x, grad, &back, transposed, x_signs, x_slope, grad_signs, grad_slope);
  return {*dx, dweight};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganzoo, m) {
  // leaky_relu(weight leaky_relu(x, input_slope) + shift + residual, slope)
  m.def(
      "conv1x1(Tensor x, Tensor weight, Tensor? shift, Tensor? residual, float input_slope, float slope) -> Tensor");
  // the weight, or its transpose, times x; both sides times the derivatives of leaky ReLUs at *_signs. Without
  // in_signs, the leaky ReLU is applied to x; so are both in the weight gradient
  m.def(
      "conv1x1_masked(Tensor x, Tensor weight, bool transposed, Tensor? in_signs, float in_slope, Tensor? out_signs, "
      "float out_slope) -> Tensor");
  m.def(
      "conv1x1_weight_grad(Tensor x, Tensor grad, Tensor? x_signs, float x_slope, Tensor? grad_signs, float "
      "grad_slope) -> Tensor");
  // the gradients of (weight, or its transpose) times x with respect to x and to weight, with signs as above: without
  // x_signs, the gradient of x is multiplied by the derivative of its leaky ReLU at x
  m.def(
      "conv1x1_gradients(Tensor x, Tensor grad, Tensor weight, bool transposed, Tensor? x_signs, float x_slope, Tensor? "
      "grad_signs, float grad_slope) -> (Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(ganzoo, CPU, m) {
  m.impl("conv1x1", TORCH_BOX(&conv1x1));
  m.impl("conv1x1_masked", TORCH_BOX(&conv1x1_masked));
  m.impl("conv1x1_weight_grad", TORCH_BOX(&conv1x1_weight_grad));
  m.impl("conv1x1_gradients", TORCH_BOX(&conv1x1_gradients));
}
