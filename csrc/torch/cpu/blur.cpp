// The filter [1, 3, 3, 1] on CPU tensors.
#include <torch/csrc/stable/library.h>

#include "tensors.h"

namespace {

using namespace ganzoo::tensors;

Tensor blur(Tensor x, int64_t padding, double gain) {
  check(x, "input", 4);
  STD_TORCH_CHECK(padding >= 0 && padding <= 3, "ganzoo: padding must be 0 to 3, but is ", padding);
  ganzoo::Blur f = {x.size(0), x.size(2), x.size(3), x.size(1), padding, static_cast<float>(gain), nullptr, nullptr};
  STD_TORCH_CHECK(fits({f.n, f.h + 3, f.w + 3, f.c}), "ganzoo: the images are too large");
  STD_TORCH_CHECK(f.out_h() > 0 && f.out_w() > 0, "ganzoo: images of ", f.h, " x ", f.w, " are smaller than the filter");
  const Tensor in = nhwc(x), out = empty_nhwc(ganzoo::Type::kFloat32, f.n, f.c, f.out_h(), f.out_w());
  f.x = in.const_data_ptr<float>(), f.out = out.mutable_data_ptr<float>();
  if (out.numel() > 0) ganzoo::blur(f, threads());
  return out;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(ganzoo, m) { m.def("blur(Tensor x, int padding, float gain) -> Tensor"); }

STABLE_TORCH_LIBRARY_IMPL(ganzoo, CPU, m) { m.impl("blur", TORCH_BOX(&blur)); }
