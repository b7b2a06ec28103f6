// Times of the kernels for images of few channels, without torch: `make cuda-few-channels`. For each: microseconds, the
// bytes that must be moved at least, and the rate. Calls take turns with images that together exceed the L2 cache, and
// are replayed from a CUDA graph.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "../csrc/cuda/few_channels.h"

using namespace ganzoo::cuda;

constexpr int kRounds = 15;

static void check(cudaError_t error) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "CUDA error: %s\n", cudaGetErrorString(error));
  std::exit(1);
}

static void* allocate(int64_t bytes) {
  void* p = nullptr;
  check(cudaMalloc(&p, bytes));
  check(cudaMemset(p, 0x3c, bytes));  // small positive numbers, 0x3c3c, in both types
  return p;
}

// The median time of a call of body(copy), copy < copies, in microseconds.
static double microseconds(int copies, cudaStream_t stream, const std::function<void(int)>& body) {
  const int calls = std::max(20, 2 * copies);
  cudaGraph_t graph;
  cudaGraphExec_t replay;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  for (int i = 0; i < calls; ++i) body(i % copies);
  check(cudaStreamEndCapture(stream, &graph));
  check(cudaGraphInstantiate(&replay, graph, 0));
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin)), check(cudaEventCreate(&end));
  std::vector<float> times;
  for (int round = 0; round < kRounds; ++round) {
    check(cudaEventRecord(begin, stream));
    check(cudaGraphLaunch(replay, stream));
    check(cudaEventRecord(end, stream));
    check(cudaEventSynchronize(end));
    float ms = 0;
    check(cudaEventElapsedTime(&ms, begin, end));
    times.push_back(ms * 1000 / calls);
  }
  check(cudaGraphExecDestroy(replay)), check(cudaGraphDestroy(graph));
  check(cudaEventDestroy(begin)), check(cudaEventDestroy(end));
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

static void measure(const FewChannels& s, Type type, int processors, cudaStream_t stream) {
  const int64_t small = int64_t{2} * s.n * s.h * s.w * s.cs, big = int64_t{2} * s.n * s.H * s.W * s.cb,
                weights = int64_t{64} * s.cs * s.cb;
  const int copies = static_cast<int>(std::min<int64_t>(16, 1 + (int64_t{200} << 20) / (small + big)));
  std::vector<void*> smalls, bigs, small_outs, big_outs;
  for (int i = 0; i < copies; ++i)
    smalls.push_back(allocate(small)), bigs.push_back(allocate(big)), small_outs.push_back(allocate(small)),
        big_outs.push_back(allocate(big));
  float* weight = static_cast<float*>(allocate(weights));
  float* gradient = static_cast<float*>(allocate(weights));
  float* shift = static_cast<float*>(allocate(4 * std::max(s.cs, s.cb)));
  void* scratch = allocate(bytes_of_few_channels_gradient(s, processors));
  const Weight w = {weight, true, {16 * s.cb, 16, 4, 1}};
  const FewEpilogue leaky = {nullptr, shift, false, 0.2f}, none = {nullptr, nullptr, false, 1},
                    tanh = {nullptr, nullptr, true, 1};
  const auto report = [&](const char* name, int64_t bytes, const std::function<void(int)>& body) {
    const double us = microseconds(copies, stream, body);
    std::printf("  %-44s %8.2f us %8.2f MB %7.0f GB/s\n", name, us, bytes / 1e6, bytes / us / 1e3);
  };
  std::printf("%s, batch %d, %d channels of %d x %d, %d of %d x %d\n", type == Type::kFloat16 ? "fp16" : "bf16", s.n, s.cb,
              s.H, s.W, s.cs, s.h, s.w);
  report("strided + bias + leaky ReLU", small + big, [&](int i) {
    check(few_channels_strided(type, s, bigs[i], {nullptr, 0}, w, leaky, smalls[i], processors, stream));
  });
  report("strided, of a gradient through tanh", small + 2 * big, [&](int i) {
    check(few_channels_strided(type, s, bigs[i], {big_outs[i], 0}, w, none, smalls[i], processors, stream));
  });
  report("transposed + tanh", small + big, [&](int i) {
    check(few_channels_transposed(type, s, smalls[i], {nullptr, 0}, w, tanh, bigs[i], processors, stream));
  });
  report("transposed", small + big, [&](int i) {
    check(few_channels_transposed(type, s, smalls[i], {nullptr, 0}, w, none, bigs[i], processors, stream));
  });
  report("transposed, of a gradient through leaky ReLU", 2 * small + big, [&](int i) {
    check(few_channels_transposed(type, s, smalls[i], {small_outs[i], 0.2f}, w, none, bigs[i], processors, stream));
  });
  report("weight gradient", small + big, [&](int i) {
    check(few_channels_gradient(type, s, smalls[i], bigs[i], false, {nullptr, 0}, gradient, nullptr, scratch,
                                processors, stream));
  });
  report("weight and bias gradients through leaky ReLU", 2 * small + big, [&](int i) {
    check(few_channels_gradient(type, s, smalls[i], bigs[i], false, {small_outs[i], 0.2f}, gradient, shift, scratch,
                                processors, stream));
  });
  report("weight and bias gradients through tanh", small + 2 * big, [&](int i) {
    check(few_channels_gradient(type, s, smalls[i], bigs[i], true, {big_outs[i], 0}, gradient, shift, scratch,
                                processors, stream));
  });
  for (const auto& images : {smalls, bigs, small_outs, big_outs})
    for (void* image : images) check(cudaFree(image));
  for (void* p : {static_cast<void*>(weight), static_cast<void*>(gradient), static_cast<void*>(shift), scratch})
    check(cudaFree(p));
}

int main() {
  int processors = 0;
  check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0));
  cudaStream_t stream;
  check(cudaStreamCreate(&stream));
  measure({128, 32, 32, 64, 64, 64, 3}, Type::kBFloat16, processors, stream);
  measure({128, 32, 32, 64, 64, 64, 3}, Type::kFloat16, processors, stream);
  measure({128, 32, 32, 64, 64, 64, 1}, Type::kBFloat16, processors, stream);
  measure({128, 32, 32, 64, 64, 64, 4}, Type::kBFloat16, processors, stream);
  measure({1024, 32, 32, 64, 64, 64, 3}, Type::kBFloat16, processors, stream);
  measure({64, 64, 64, 128, 128, 128, 3}, Type::kBFloat16, processors, stream);
  measure({64, 16, 16, 64, 32, 32, 3}, Type::kBFloat16, processors, stream);
}
