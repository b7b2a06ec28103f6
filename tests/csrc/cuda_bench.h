// The times of the products on a GPU, `kernels bench`; part of cuda.cpp, whose helpers it uses.
#pragma once
#include <deque>

// Microseconds of one call of run(copy), `copy` counting through 0 .. copies - 1: the median of several replays of a
// graph with many calls, so that the time of launching them does not count.
template <class Run>
static double microseconds(int copies, const Run& run) {
  constexpr int kCalls = 24, kReplays = 9;
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t replay;
  cudaEvent_t begin, end;
  check(cudaStreamCreate(&stream));
  check(run(0, stream));
  check(cudaStreamSynchronize(stream));
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  for (int call = 0; call < kCalls; ++call) check(run(call % copies, stream));
  check(cudaStreamEndCapture(stream, &graph));
  check(cudaGraphInstantiate(&replay, graph, 0));
  check(cudaEventCreate(&begin)), check(cudaEventCreate(&end));
  std::vector<float> times;
  for (int i = 0; i <= kReplays; ++i) {
    check(cudaEventRecord(begin, stream));
    check(cudaGraphLaunch(replay, stream));
    check(cudaEventRecord(end, stream));
    check(cudaEventSynchronize(end));
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end));
    if (i > 0) times.push_back(milliseconds);  // the first warms up
  }
  std::sort(times.begin(), times.end());
  cudaGraphExecDestroy(replay), cudaGraphDestroy(graph), cudaStreamDestroy(stream);
  cudaEventDestroy(begin), cudaEventDestroy(end);
  return times[times.size() / 2] * 1e3 / kCalls;
}

// Prints the times of a layer's products in bfloat16, by both paths. The calls take turns over several copies of the
// images, which together do not fit in the L2 cache.
static void measure(const Shape& s, int processors) {
  const Type type = Type::kBFloat16;
  const size_t small_count = size_t{1} * s.n * s.h * s.w * s.cs, big_count = size_t{1} * s.n * s.H * s.W * s.cb;
  const int copies = static_cast<int>((size_t{192} << 20) / (2 * (small_count + big_count)) + 2);
  const auto numbers = [&](size_t count) {
    std::vector<bfloat16> values = random_numbers<bfloat16>(1 << 16, Type::kFloat32);
    values.resize(count);
    for (size_t i = 1 << 16; i < count; ++i) values[i] = values[i - (1 << 16) + (i >> 16) % 7];
    return values;
  };
  std::deque<Buffer<bfloat16>> small, big;
  for (int i = 0; i < copies; ++i) small.emplace_back(numbers(small_count)), big.emplace_back(numbers(big_count));
  const Convolution up = convolution(true, s.n, s.h, s.w, s.cs, s.H, s.W, s.cb),
                    down = convolution(false, s.n, s.H, s.W, s.cb, s.h, s.w, s.cs);
  const Gradient g = gradient(s.n, s.h, s.w, s.cs, s.H, s.W, s.cb);
  Buffer<float> weights(random_numbers<float>(16 * s.cs * s.cb, type)), mean(s.cs + s.cb), var(s.cs + s.cb),
      weight_grad(16 * s.cs * s.cb);
  const int64_t strides[] = {16 * s.cb, 16, 4, 1};
  const double flop = 32.0 * s.n * s.h * s.w * s.cs * s.cb;
  for (const bool hopper : {false, true}) {
    allow_hopper(hopper);
    Buffer<char> packed(bytes_of_packed(type, up)),
        scratch(std::max(bytes_of_statistics(up), bytes_of_statistics(down))),
        splits(bytes_of_splits(type, g, processors));
    const auto convolving = [&](const Convolution& f, bool statistics) {
      check(pack(type, f, weights, true, strides, packed, nullptr));
      check(cudaDeviceSynchronize());
      return microseconds(copies, [&, statistics](int copy, cudaStream_t stream) {
        Buffer<bfloat16>&x = f.up ? small[copy] : big[copy], &out = f.up ? big[copy] : small[copy];
        const Epilogue e = {nullptr, nullptr, 1, statistics ? static_cast<float*>(mean) : nullptr,
                            statistics ? static_cast<float*>(var) : nullptr};
        return convolve(type, f, x, packed, e, out, scratch, processors, stream);
      });
    };
    double total = 0;
    const auto print = [&](const char* name, double time, bool counts) {
      std::printf("%4d -> %3d at %2d, batch %4d  %-9s %-20s %8.1f us %6.0f TFLOP/s\n", s.cs, s.cb, s.h, s.n,
                  hopper ? "wgmma" : "mma.sync", name, time, flop / time * 1e-6);
      if (counts) total += time;
    };
    if (!hopper)
      print("packing for up", microseconds(copies, [&](int, cudaStream_t stream) {
              return pack(type, up, weights, true, strides, packed, stream);
            }), false);
    print("up", convolving(up, false), true);
    print("up and statistics", convolving(up, true), false);
    print("down", convolving(down, false), true);
    print("down and statistics", convolving(down, true), false);
    print("weight gradient", microseconds(copies, [&](int copy, cudaStream_t stream) {
            return weight_gradient(type, g, small[copy], big[copy], weight_grad, splits, processors, stream);
          }), true);
    std::printf("%66s %8.1f us\n", "the three products", total);
  }
  allow_hopper(true);
}

static void measure_all() {
  int processors = 0;
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, 0));
  check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0));
  std::printf("%s, %d multiprocessors\n", properties.name, processors);
  for (const int n : {128, 1024}) {
    measure({n, 4, 4, 512, 8, 8, 256}, processors);
    measure({n, 8, 8, 256, 16, 16, 128}, processors);
    measure({n, 16, 16, 128, 32, 32, 64}, processors);
  }
}
