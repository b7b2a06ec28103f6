// CUDA tensors for the kernels: stream and device of a call, argument checks, new results. LibTorch's stable ABI only,
// in a separate shared object, because a libtorch for CPUs lacks the symbols used here. With GANZOO_EMULATE the
// bindings pass CPU tensors to the emulated kernels, which tests them without a GPU.
#pragma once
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <atomic>
#include <exception>
#include <optional>

#include "../../cuda/kernels.h"

namespace ganzoo::cuda {

using torch::headeronly::MemoryFormat;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using Maybe = std::optional<Tensor>;

inline std::atomic<bool> tf32{false};  // whether float32 may be multiplied as tf32; follows torch's own setting

constexpr int64_t kMaxPixels = (int64_t{1} << 31) - 256, kMaxChannels = 1 << 20;

#ifdef GANZOO_EMULATE
#define GANZOO_DEVICE CPU

inline bool on_gpu(const Tensor& t) { return t.is_cpu(); }
inline void check(cudaError_t) {}
inline void check_device() {}

struct Call {
  cudaStream_t stream = nullptr;
  int processors = 4;
  explicit Call(const Tensor&) {}
};
#else
#define GANZOO_DEVICE CUDA

inline bool on_gpu(const Tensor& t) { return t.is_cuda(); }

inline void check(cudaError_t error) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // clears the error, so that the next caller does not report it again
  STD_TORCH_CHECK(error != cudaErrorNoKernelImageForDevice && error != cudaErrorInvalidDeviceFunction,
                  "ganzoo: no kernel image for this GPU: the CUDA kernels were built for ", GANZOO_ARCHITECTURES,
                  ". Build them again on this machine, or with its architecture in TORCH_CUDA_ARCH_LIST; until then "
                  "GANZOO_OPS=reference lets PyTorch compute.");
  STD_TORCH_CHECK(error != cudaErrorInsufficientDriver && error != cudaErrorUnsupportedPtxVersion,
                  "ganzoo: the NVIDIA driver is older than the CUDA toolkit that built the kernels (",
                  CUDART_VERSION / 1000, ".", CUDART_VERSION % 1000 / 10,
                  "): update the driver, or build them with an older toolkit.");
  STD_TORCH_CHECK(false, "ganzoo: CUDA error: ", cudaGetErrorString(error), " (", cudaGetErrorName(error), ")");
}

// Reports an earlier, asynchronous error of the GPU.
inline void check_device() {
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total));
}

// The device and stream of a call: torch's current stream on the GPU of the tensors.
struct Call {
  torch::stable::accelerator::DeviceGuard guard;
  cudaStream_t stream = nullptr;
  int processors = 0;

  explicit Call(const Tensor& t) : guard(t.get_device_index()) {
    void* current = nullptr;
    STD_TORCH_CHECK(aoti_torch_get_current_cuda_stream(t.get_device_index(), &current) == AOTI_TORCH_SUCCESS,
                    "ganzoo: torch has no current CUDA stream");
    stream = static_cast<cudaStream_t>(current);
    check(cudaSetDevice(t.get_device_index()));  // the guard set it in torch's runtime, ours is linked statically
    check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, t.get_device_index()));
  }
};
#endif

inline void check(const Tensor& t, const char* name, int64_t dim, const Tensor& like) {
  STD_TORCH_CHECK(on_gpu(t), "ganzoo: ", name, " must be on the GPU");
  STD_TORCH_CHECK(t.get_device_index() == like.get_device_index(), "ganzoo: ", name,
                  " is on cuda:", t.get_device_index(), ", but the first tensor on cuda:", like.get_device_index());
  STD_TORCH_CHECK(t.layout() == torch::headeronly::Layout::Strided, "ganzoo: ", name, " must be a dense tensor");
  STD_TORCH_CHECK(t.dim() == dim, "ganzoo: ", name, " must have ", dim, " dimensions, but has ", t.dim());
}

inline Type type_of(const Tensor& t, const char* name) {
  if (t.scalar_type() == ScalarType::Half) return Type::kFloat16;
  if (t.scalar_type() == ScalarType::BFloat16) return Type::kBFloat16;
  STD_TORCH_CHECK(t.scalar_type() == ScalarType::Float, "ganzoo: ", name, " must be float32, float16 or bfloat16");
  return tf32 ? Type::kTf32 : Type::kFloat32;
}

inline void check_same_type(const Tensor& t, const char* name, const Tensor& like) {
  STD_TORCH_CHECK(t.scalar_type() == like.scalar_type(), "ganzoo: ", name, " must be of the first tensor's dtype");
}

// Returns make(). The stable ABI does not say why an allocation fails: unless the GPU reports an error, memory ran out.
template <class Make>
Tensor allocated(const Make& make) {
  try {
    return make();
  } catch (const std::exception&) {
    check_device();
    STD_TORCH_CHECK(false, "CUDA out of memory. ganzoo's kernels could not allocate a result or workspace.");
  }
}

inline Tensor nhwc(const Tensor& t) {
  return allocated([&] { return torch::stable::contiguous(t, MemoryFormat::ChannelsLast); });
}

inline Tensor empty_nhwc(const Tensor& like, ScalarType type, int64_t n, int64_t c, int64_t h, int64_t w) {
  const int64_t sizes[] = {n, c, h, w};
  return allocated([&] {
    return torch::stable::empty({sizes, 4}, type, std::nullopt, like.device(), std::nullopt,
                                MemoryFormat::ChannelsLast);
  });
}

inline Tensor vector(const Tensor& like, int64_t size) {
  return allocated([&] { return torch::stable::new_empty(like, {&size, 1}, ScalarType::Float); });
}

inline Tensor scratch(const Tensor& like, int64_t bytes) {
  return allocated([&] { return torch::stable::new_empty(like, {&bytes, 1}, ScalarType::Byte); });
}

// A vector of `size` floats, or null; `keep` owns its contiguous copy.
inline const float* channel(const Maybe& t, const char* name, int64_t size, const Tensor& like, Maybe& keep) {
  if (!t) return nullptr;
  check(*t, name, 1, like);
  STD_TORCH_CHECK(t->scalar_type() == ScalarType::Float, "ganzoo: ", name, " must be float32");
  STD_TORCH_CHECK(t->size(0) == size, "ganzoo: ", name, " must have ", size, " elements, but has ", t->size(0));
  keep = torch::stable::contiguous(*t);
  return keep->const_data_ptr<float>();
}

// The big image must be one that a convolution with kernel 4, stride 2, padding 1 reduces to h x w.
inline void check_sizes(int64_t n, int64_t h, int64_t w, int64_t cs, int64_t H, int64_t W, int64_t cb) {
  STD_TORCH_CHECK(h > 0 && w > 0, "ganzoo: the image must have a height and a width, at least 2 to be halved");
  STD_TORCH_CHECK(H / 2 == h && W / 2 == w, "ganzoo: ", H, " x ", W, " is not twice ", h, " x ", w, ", nor one more");
  STD_TORCH_CHECK(cs > 0 && cb > 0, "ganzoo: images must have channels");
  STD_TORCH_CHECK(H < kMaxPixels && W < kMaxPixels && (n == 0 || H * W <= kMaxPixels / n) && cs <= kMaxChannels &&
                      cb <= kMaxChannels && cs * cb <= kMaxPixels / 16,
                  "ganzoo: the images or weights are too large");
}

}  // namespace ganzoo::cuda
