// Batch norm with a leaky ReLU on CUDA tensors; the schemas are in ../cpu/batch_norm.cpp.
#include <torch/csrc/stable/library.h>

#include <tuple>

#include "tensors.h"

namespace {

using namespace ganzoo::cuda;

void check_pixels(const Tensor& y) {
  check(y, "y", 4, y);
  STD_TORCH_CHECK(y.numel() > 0, "ganzoo: an empty batch has no statistics");
  STD_TORCH_CHECK(y.size(1) <= kMaxChannels && y.numel() / y.size(1) <= kMaxPixels, "ganzoo: y is too large");
}

std::tuple<Tensor, Tensor> channel_stats(Tensor y) {
  check_pixels(y);
  const Call call(y);
  const Tensor in = nhwc(y);
  const int64_t c = y.size(1), pixels = y.numel() / c;
  Tensor mean = vector(y, c), var = vector(y, c);
  const Tensor sums = scratch(y, bytes_of_sums(pixels, c));
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

Tensor batch_norm_act(Tensor y, Tensor mean, Tensor var, Maybe gamma, Maybe beta, double eps, double slope) {
  check_pixels(y);
  const Call call(y);
  const Tensor in = nhwc(y);
  const int64_t c = y.size(1);
  const Norm norm(y, mean, var, gamma, beta, eps, slope);
  Tensor out = empty_nhwc(y, y.scalar_type(), y.size(0), c, y.size(2), y.size(3));
  check(norm_act(type_of(y, "y"), in.data_ptr(), y.numel() / c, c, norm.values, out.data_ptr(), call.stream));
  return out;
}

std::tuple<Tensor, Tensor, Tensor> batch_norm_act_backward(Tensor grad, Tensor y, Tensor mean, Tensor var, Maybe gamma,
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
  const Tensor sums = scratch(y, bytes_of_sums(pixels, c));
  check(norm_act_backward(type_of(y, "y"), g.data_ptr(), in.data_ptr(), pixels, c, norm.values, dy.data_ptr(),
                          dgamma.mutable_data_ptr<float>(), dbeta.mutable_data_ptr<float>(), sums.data_ptr(),
                          call.stream));
  return {dy, dgamma, dbeta};
}

float* running(const Tensor& t, const char* name, int64_t size, const Tensor& like) {
  Maybe keep;
  channel(t, name, size, like, keep);
  STD_TORCH_CHECK(t.is_contiguous(), "ganzoo: ", name, " must be contiguous");
  return t.mutable_data_ptr<float>();
}

void update_running_statistics(Tensor mean, Tensor var, Tensor running_mean, Tensor running_var, double momentum,
                               double correction) {
  check(mean, "mean", 1, mean);
  const int64_t c = mean.size(0);
  if (c == 0) return;
  Maybe keep[2];
  const Call call(mean);
  check(update_running(static_cast<int>(c), channel(mean, "mean", c, mean, keep[0]),
                       channel(var, "var", c, mean, keep[1]), static_cast<float>(momentum),
                       static_cast<float>(correction), running(running_mean, "running_mean", c, mean),
                       running(running_var, "running_var", c, mean), call.stream));
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(ganzoo, GANZOO_DEVICE, m) {
  m.impl("channel_stats", TORCH_BOX(&channel_stats));
  m.impl("batch_norm_act", TORCH_BOX(&batch_norm_act));
  m.impl("batch_norm_act_backward", TORCH_BOX(&batch_norm_act_backward));
  m.impl("update_running_statistics", TORCH_BOX(&update_running_statistics));
}
