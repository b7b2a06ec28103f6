// Batch normalization with its activation: the order of the passes and the blocks of pixels.
#include "batch_norm.cuh"

#include <cstdint>

#include "kernels.h"
#include "ptx.h"
#include "welford.cuh"

namespace ganzoo::cuda {
namespace {

constexpr int kBlocksOfReduction = 264;  // two for each multiprocessor of the largest GPUs; their results are merged
constexpr int kBlocksOfPass = 512, kMaxPixels = 4;  // kMaxPixels: of a thread

int64_t share_of_reduction(int64_t pixels) {
  const int64_t min_share = 16, share = (pixels + kBlocksOfReduction - 1) / kBlocksOfReduction;
  return share > min_share ? share : min_share;
}

// Pixels of one thread in a pass without a reduction: fewer if there are few pixels, so that all processors have work.
int pixels_of_thread(int64_t pixels, int lanes) {
  const int64_t fair = pixels / (int64_t{lanes} * kBlocksOfPass);
  return max(1, static_cast<int>(fair < kMaxPixels ? fair : kMaxPixels));
}

int blocks_of_reduction(int64_t pixels) { return ceil_div(pixels, share_of_reduction(pixels)); }

bool in_chunks(const void* p, int channels, int width) {
  return channels % width == 0 && reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

enum class Pass { kStatistics, kSums, kForward, kBackward };

template <class T, int kWidth>
cudaError_t launch_pass(Pass pass, PassArguments<T> p, cudaStream_t stream) {
  const int groups = ceil_div(p.channels / kWidth, kThreads),
            lanes = kThreads / threads_of_pixel(p.channels, kWidth, 0);
  const bool reduces = pass == Pass::kStatistics || pass == Pass::kSums;
  p.share = reduces ? share_of_reduction(p.pixels) : int64_t{lanes} * pixels_of_thread(p.pixels, lanes);
  const dim3 grid(ceil_div(p.pixels, p.share), groups, 1);
  const auto kernel = pass == Pass::kStatistics ? &reduce_pass<T, kWidth, false>
                      : pass == Pass::kSums     ? &reduce_pass<T, kWidth, true>
                      : pass == Pass::kForward  ? &norm_act_pass<T, kWidth>
                                                : &norm_act_backward_pass<T, kWidth>;
  const int rows = pass == Pass::kStatistics ? 0 : pass == Pass::kSums ? 3 : pass == Pass::kForward ? 2 : 5;
  const int floats = (reduces ? kThreads * kWidth : 0) + rows * threads_of_pixel(p.channels, kWidth, 0) * kWidth;
  return launch(kernel, grid, floats * 4, stream, p);
}

template <class T>
cudaError_t launch_typed(Pass pass, const void* y, const void* grad, void* out, PassArguments<T> p,
                         cudaStream_t stream) {
  constexpr int kWidth = 16 / sizeof(T);
  p.y = static_cast<const T*>(y), p.grad = static_cast<const T*>(grad), p.out = static_cast<T*>(out);
  const bool chunks =
      in_chunks(y, p.channels, kWidth) && in_chunks(grad, p.channels, kWidth) && in_chunks(out, p.channels, kWidth);
  return chunks ? launch_pass<T, kWidth>(pass, p, stream) : launch_pass<T, 1>(pass, p, stream);
}

// The arguments of a pass except the tensors, which determine its type.
struct UntypedArguments {
  int64_t pixels;
  int channels;
  BatchNorm norm;
  const float *grad_mean, *grad_slope;
  float *first, *second;
};

cudaError_t launch_typed(Type type, Pass pass, const void* y, const void* grad, void* out, const UntypedArguments& p,
                         cudaStream_t stream) {
  const auto with = [&](auto zero) {
    using T = decltype(zero);
    PassArguments<T> all = {nullptr, nullptr,         nullptr,        p.pixels, 0,       p.channels,
                            p.norm,  p.grad_mean, p.grad_slope, p.first,  p.second};
    return launch_typed<T>(pass, y, grad, out, all, stream);
  };
  if (type == Type::kFloat16) return with(float16{});
  if (type == Type::kBFloat16) return with(bfloat16{});
  return with(float{});
}

}  // namespace

int64_t bytes_of_sums(int64_t pixels, int channels) {
  return int64_t{8} * (blocks_of_reduction(pixels) + 1) * channels;
}

cudaError_t channel_statistics(Type type, const void* y, int64_t pixels, int channels, float* mean, float* var,
                               void* scratch, cudaStream_t stream) {
  const int blocks = blocks_of_reduction(pixels);
  UntypedArguments p = {};
  p.pixels = pixels, p.channels = channels;
  p.first = static_cast<float*>(scratch), p.second = p.first + int64_t{blocks} * channels;
  const cudaError_t error = launch_typed(type, Pass::kStatistics, y, nullptr, nullptr, p, stream);
  if (error != cudaSuccess) return error;
  const Blocks parts = {0, {}, 1, pixels, share_of_reduction(pixels), blocks};
  return merge({parts, channels, p.first, p.second, mean, var}, stream);
}

cudaError_t update_running(int channels, const float* mean, const float* var, float momentum, float correction,
                           float* running_mean, float* running_var, cudaStream_t stream) {
  const RunningArguments p = {channels, mean, var, momentum, correction, running_mean, running_var};
  return launch(&update_running_pass, dim3(ceil_div(channels, kThreads), 1, 1), 0, stream, p);
}

cudaError_t norm_act(Type type, const void* y, int64_t pixels, int channels, const BatchNorm& norm, void* out,
                     cudaStream_t stream) {
  UntypedArguments p = {};
  p.pixels = pixels, p.channels = channels, p.norm = norm;
  return launch_typed(type, Pass::kForward, y, nullptr, out, p, stream);
}

cudaError_t norm_act_backward(Type type, const void* grad, const void* y, int64_t pixels, int channels,
                              const BatchNorm& norm, void* dy, float* dgamma, float* dbeta, void* scratch,
                              cudaStream_t stream) {
  const int blocks = blocks_of_reduction(pixels);
  UntypedArguments p = {};
  p.pixels = pixels, p.channels = channels, p.norm = norm;
  p.first = static_cast<float*>(scratch), p.second = p.first + int64_t{blocks} * channels;
  float* slopes = p.second + int64_t{blocks} * channels;
  p.grad_mean = slopes, p.grad_slope = slopes + channels;
  cudaError_t error = launch_typed(type, Pass::kSums, y, grad, nullptr, p, stream);
  if (error != cudaSuccess) return error;
  const FinishArguments f = {blocks, channels, pixels, p.first, p.second,
                             norm,   dgamma,   dbeta,  slopes,  slopes + channels};
  error = launch(&finish_backward, dim3(ceil_div(channels, kMergeChannels), 1, 1), kMergeScratchBytes, stream, f);
  if (error != cudaSuccess) return error;
  return launch_typed(type, Pass::kBackward, y, grad, dy, p, stream);
}

}  // namespace ganzoo::cuda
