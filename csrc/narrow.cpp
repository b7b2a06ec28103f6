// Operations of layers whose big image has few channels: the generator's last one with its tanh, and the derivatives of
// both networks' with the activation's in them. Without an activation they are `up`, `down` and `weight_gradient`.
#include <torch/csrc/stable/library.h>

#include <tuple>

#include "tensors.h"

namespace {

using namespace ganzoo::tensors;
using ganzoo::Activation;
using ganzoo::Shape;

void check_narrow(int64_t channels) {
  STD_TORCH_CHECK(channels >= 1 && channels <= ganzoo::kMaxFewChannels, "ganzoo: the big image must have 1 to ",
                  ganzoo::kMaxFewChannels, " channels, but has ", channels);
}

Tensor up_tanh(Tensor x, Tensor weight, Maybe shift, int64_t height, int64_t width) {
  check(x, "input", 4);
  check_weight(weight);
  check_narrow(weight.size(1));
  STD_TORCH_CHECK(x.size(1) == weight.size(0), "ganzoo: weight is for ", weight.size(0), " input channels, but there are ",
                  x.size(1));
  const Shape s = {x.size(0), x.size(2), x.size(3), x.size(1), height, width, weight.size(1)};
  check_sizes(s);
  Maybe keep;
  const float* bias = channel(shift, "shift", s.cb, keep);
  return narrow(true, s, x, weight, bias, {}, {true, 1});
}

// grad, and the results out of the activation that it is the gradient of.
void check_gradient(const Tensor& grad, const Tensor& out) {
  check(grad, "grad", 4);
  check(out, "out", 4);
  for (int i = 0; i < 4; ++i) STD_TORCH_CHECK(grad.size(i) == out.size(i), "ganzoo: grad must have the shape of out");
}

Activation activation(bool up, double slope) { return {up, static_cast<float>(slope)}; }

Tensor narrow_input_gradient(Tensor grad, Tensor out, Tensor weight, bool up, double slope, int64_t height,
                             int64_t width) {
  check_gradient(grad, out);
  check_weight(weight);
  const int64_t cs = weight.size(0), cb = weight.size(1);
  check_narrow(cb);
  STD_TORCH_CHECK(grad.size(1) == (up ? cb : cs), "ganzoo: weight is for ", up ? cb : cs,
                  " output channels, but there are ", grad.size(1));
  const Shape s = up ? Shape{grad.size(0), height, width, cs, grad.size(2), grad.size(3), cb}
                     : Shape{grad.size(0), grad.size(2), grad.size(3), cs, height, width, cb};
  check_sizes(s);
  return narrow(!up, s, grad, weight, nullptr, out, activation(up, slope));
}

std::tuple<Tensor, Tensor> narrow_weight_gradient(Tensor grad, Tensor out, Tensor x, bool up, double slope) {
  check_gradient(grad, out);
  check(x, "input", 4);
  const Tensor g = nhwc(grad), o = nhwc(out), in = nhwc(x);
  const Tensor &small = up ? in : g, &big = up ? g : in;
  STD_TORCH_CHECK(small.size(0) == big.size(0), "ganzoo: grad and input must be of one batch");
  const Shape s = {small.size(0), small.size(2), small.size(3), small.size(1), big.size(2), big.size(3), big.size(1)};
  check_sizes(s);
  check_narrow(s.cb);
  STD_TORCH_CHECK(s.cs > 0, "ganzoo: grad and input must have channels");
  Tensor weight = empty_nhwc(s.cs, s.cb, 4, 4), shift = vector(g, grad.size(1));
  ganzoo::few_channels_weight_gradient(s, up, small.const_data_ptr<float>(), big.const_data_ptr<float>(),
                                       o.const_data_ptr<float>(),
                          activation(up, slope), weight.mutable_data_ptr<float>(), shift.mutable_data_ptr<float>(), threads());
  return {weight, shift};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganzoo, m) {
  m.def("up_tanh(Tensor x, Tensor weight, Tensor? shift, SymInt height, SymInt width) -> Tensor");
  // of tanh(up(x) + shift), or, where not `up`, of the leaky ReLU of down(x) + shift
  m.def(
      "narrow_input_gradient(Tensor grad, Tensor out, Tensor weight, bool up, float slope, SymInt height, SymInt width) "
      "-> Tensor");
  m.def(
      "narrow_weight_gradient(Tensor grad, Tensor out, Tensor x, bool up, float slope) -> (Tensor weight, Tensor shift)");
}

STABLE_TORCH_LIBRARY_IMPL(ganzoo, CPU, m) {
  m.impl("up_tanh", TORCH_BOX(&up_tanh));
  m.impl("narrow_input_gradient", TORCH_BOX(&narrow_input_gradient));
  m.impl("narrow_weight_gradient", TORCH_BOX(&narrow_weight_gradient));
}
