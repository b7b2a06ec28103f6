// Convolutions with kernel 3 or 4, stride 1 and padding 1 on CPU tensors, and their weight gradient. The input gradient of
// kernel 4 has padding 2: the result has one row and one column less than the image.
#include <torch/csrc/stable/library.h>

#include <tuple>

#include "../../cpu/workspace.h"
#include "tensors.h"

namespace {

using namespace ganzoo::tensors;
using ganzoo::ShapeStride1;

// Returns the kernel.
int check_kernel(const Tensor& weight, int64_t groups) {
  check(weight, "weight", 4);
  const int64_t kernel = weight.size(2);
  STD_TORCH_CHECK((kernel == 3 || kernel == 4) && weight.size(3) == kernel,
                  "ganzoo: weight must be [*, *, 3, 3] or [*, *, 4, 4]");
  STD_TORCH_CHECK(weight.size(0) > 0 && weight.size(1) > 0, "ganzoo: weight must have channels");
  STD_TORCH_CHECK(groups > 0 && weight.size(0) % groups == 0, "ganzoo: ", weight.size(0),
                  " output channels cannot be divided into ", groups, " groups");
  STD_TORCH_CHECK(fits({weight.size(0) / groups + 32, groups, weight.size(1) + 16, 7, 7}),
                  "ganzoo: weight is too large");
  return static_cast<int>(kernel);
}

void check_images(const ShapeStride1& s) {
  STD_TORCH_CHECK(s.h > 0 && s.w > 0 && s.out_h() > 0 && s.out_w() > 0,
                  "ganzoo: the image must have a height and a width, at least kernel - 2");
  STD_TORCH_CHECK(fits({s.n, s.h, s.w, s.cin}) && fits({s.n, s.out_h(), s.out_w(), s.cout}),
                  "ganzoo: the images are too large");
}

// Channels of one group, and the floats of its panels.
struct Group {
  int64_t cin, cout, size;
  Group(const Tensor& weight, bool transposed, int64_t groups)
      : cin(transposed ? weight.size(0) / groups : weight.size(1)),
        cout(transposed ? weight.size(1) : weight.size(0) / groups),
        size(ganzoo::packed_size_stride1(static_cast<int>(weight.size(2)), cin, cout)) {}
};

// Calls body(group, run) for all groups. A thread computes whole groups if all threads have as many of them: the work of
// one group is often not worth starting threads for.
template <class BODY>
void for_groups(int64_t groups, const BODY& body) {
  const ganzoo::Parallel all = threads();
  if (groups % all.threads && groups < 4 * all.threads) {
    for (int64_t g = 0; g < groups; ++g) body(g, all);
    return;
  }
  run(groups, [&](int64_t begin, int64_t end) {
    for (int64_t g = begin; g < end; ++g) body(g, ganzoo::kOneThread);
  });
}

void pack_into(const Tensor& weight, bool transposed, int64_t groups, float* packed) {
  const Group one(weight, transposed, groups);
  const int64_t strides[] = {weight.stride(0), weight.stride(1), weight.stride(2), weight.stride(3)};
  const float* values = weight.const_data_ptr<float>();
  const int64_t group = weight.size(0) / groups * strides[0];
  for_groups(groups, [&](int64_t g, ganzoo::Parallel run) {
    ganzoo::pack_stride1(static_cast<int>(weight.size(2)), transposed, values + g * group, strides, one.cin, one.cout,
                         packed + g * one.size, run);
  });
}

Tensor conv_stride1_pack_weight(Tensor weight, int64_t groups) {
  check_kernel(weight, groups);
  Tensor packed = vector(weight, groups * Group(weight, false, groups).size);
  ask_for_large_pages(packed);
  pack_into(weight, false, groups, packed.mutable_data_ptr<float>());
  return packed;
}

struct Result {
  Tensor out, mean, var;
};

Result convolve(bool transposed, const Tensor& x, const Tensor& weight, const Maybe& packed, const Maybe& scale,
                const Maybe& shift, const Maybe& residual, double slope, bool statistics, int64_t groups) {
  check(x, "input", 4);
  const int kernel = check_kernel(weight, groups), padding = transposed ? kernel - 2 : 1;
  const Group one(weight, transposed, groups);
  const ShapeStride1 s = {kernel, padding, x.size(0), x.size(2), x.size(3), groups * one.cin, groups * one.cout};
  STD_TORCH_CHECK(x.size(1) == s.cin, "ganzoo: weight is for ", s.cin, " input channels, but there are ", x.size(1));
  check_images(s);
  STD_TORCH_CHECK(!statistics || s.n > 0, "ganzoo: an empty batch has no statistics");
  Maybe keep_scale, keep_shift, keep_residual;
  ganzoo::Epilogue e = {channel(scale, "scale", s.cout, keep_scale), channel(shift, "shift", s.cout, keep_shift),
                        static_cast<float>(slope), nullptr, nullptr};
  if (residual) {
    check(*residual, "residual", 4);
    STD_TORCH_CHECK(residual->size(0) == s.n && residual->size(1) == s.cout && residual->size(2) == s.out_h() &&
                        residual->size(3) == s.out_w(),
                    "ganzoo: residual must have the shape of the result");
    keep_residual = nhwc(*residual);
  }
  const float* panels = nullptr;
  if (packed) {
    check(*packed, "packed", 1);
    STD_TORCH_CHECK(packed->size(0) == groups * one.size && packed->stride(0) == 1,
                    "ganzoo: packed is not of weight");
    panels = packed->const_data_ptr<float>();
  } else {
    float* scratch = ganzoo::workspace<ganzoo::Scratch::kShared>(groups * one.size);
    pack_into(weight, transposed, groups, scratch);
    panels = scratch;
  }
  const Tensor in = nhwc(x);
  Result r = {empty_nhwc(ganzoo::Type::kFloat32, s.n, s.cout, s.out_h(), s.out_w()), vector(in, statistics ? s.cout : 0), vector(in, statistics ? s.cout : 0)};
  if (statistics) e.mean = r.mean.mutable_data_ptr<float>(), e.var = r.var.mutable_data_ptr<float>();
  const auto of_group = [](auto* values, int64_t first) { return values ? values + first : nullptr; };
  const float* values = in.const_data_ptr<float>();
  const float* added = keep_residual ? keep_residual->const_data_ptr<float>() : nullptr;
  float* out = r.out.mutable_data_ptr<float>();
  if (s.n == 0) return r;
  for_groups(groups, [&](int64_t g, ganzoo::Parallel run) {
    const int64_t to = g * one.cout;
    const ganzoo::Epilogue of = {of_group(e.scale, to), of_group(e.shift, to), e.slope, of_group(e.mean, to),
                                 of_group(e.var, to)};
    ganzoo::convolve_stride1({kernel, padding, s.n, s.h, s.w, one.cin, one.cout, s.cin, s.cout}, values + g * one.cin,
                             panels + g * one.size, of, of_group(added, to), out + to, run);
  });
  return r;
}

Tensor conv_stride1(Tensor x, Tensor weight, Maybe packed, Maybe scale, Maybe shift, Maybe residual, double slope,
               int64_t groups) {
  return convolve(false, x, weight, packed, scale, shift, residual, slope, false, groups).out;
}

Tensor conv_stride1_input_grad(Tensor grad, Tensor weight, int64_t groups) {
  return convolve(true, grad, weight, {}, {}, {}, {}, 1, false, groups).out;
}

std::tuple<Tensor, Tensor, Tensor> conv_stride1_stats(Tensor x, Tensor weight) {
  Result r = convolve(false, x, weight, {}, {}, {}, {}, 1, true, 1);
  return {r.out, r.mean, r.var};
}

Tensor conv_stride1_weight_grad(Tensor x, Tensor grad, int64_t groups) {
  check(x, "input", 4);
  check(grad, "grad", 4);
  const int64_t less = x.size(2) - grad.size(2);
  STD_TORCH_CHECK(x.size(0) == grad.size(0) && (less == 0 || less == 1) && x.size(3) - grad.size(3) == less,
                  "ganzoo: input and grad must have the same batch and size, or grad one row and one column less");
  const int kernel = 3 + static_cast<int>(less);
  const ShapeStride1 s = {kernel, 1, x.size(0), x.size(2), x.size(3), x.size(1), grad.size(1)};
  check_images(s);
  STD_TORCH_CHECK(s.cin > 0 && s.cout > 0, "ganzoo: input and grad must have channels");
  STD_TORCH_CHECK(groups > 0 && s.cin % groups == 0 && s.cout % groups == 0, "ganzoo: ", s.cin, " and ", s.cout,
                  " channels cannot be divided into ", groups, " groups");
  const Tensor a = nhwc(x), b = nhwc(grad);
  const int64_t cin = s.cin / groups, cout = s.cout / groups;  // of one group
  Tensor out = empty_nhwc(ganzoo::Type::kFloat32, s.cout, cin, kernel, kernel);
  float* values = out.mutable_data_ptr<float>();
  if (s.n == 0) {
    std::fill(values, values + out.numel(), 0.0f);
    return out;
  }
  const float *images = a.const_data_ptr<float>(), *gradients = b.const_data_ptr<float>();
  for_groups(groups, [&](int64_t g, ganzoo::Parallel run) {
    ganzoo::weight_gradient_stride1({kernel, 1, s.n, s.h, s.w, cin, cout, s.cin, s.cout}, images + g * cin,
                                    gradients + g * cout, values + g * cout * kernel * kernel * cin, run);
  });
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganzoo, m) {
  m.def("conv_stride1_pack_weight(Tensor weight, int groups=1) -> Tensor");
  m.def(
      "conv_stride1(Tensor x, Tensor weight, Tensor? packed, Tensor? scale, Tensor? shift, Tensor? residual, float slope, "
      "int groups=1) -> Tensor");
  // out, and the mean and biased variance of each channel
  m.def("conv_stride1_stats(Tensor x, Tensor weight) -> (Tensor, Tensor, Tensor)");
  m.def("conv_stride1_input_grad(Tensor grad, Tensor weight, int groups=1) -> Tensor");
  m.def("conv_stride1_weight_grad(Tensor x, Tensor grad, int groups=1) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(ganzoo, CPU, m) {
  m.impl("conv_stride1_pack_weight", TORCH_BOX(&conv_stride1_pack_weight));
  m.impl("conv_stride1", TORCH_BOX(&conv_stride1));
  m.impl("conv_stride1_stats", TORCH_BOX(&conv_stride1_stats));
  m.impl("conv_stride1_input_grad", TORCH_BOX(&conv_stride1_input_grad));
  m.impl("conv_stride1_weight_grad", TORCH_BOX(&conv_stride1_weight_grad));
}
