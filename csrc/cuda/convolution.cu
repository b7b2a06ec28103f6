// Everything around the matrix products: packing, merging of statistics, sums of splits, and the choice of a tile.
#include <cstdint>
#include <type_traits>

#include "indexing.h"
#include "kernels.h"
#include "ptx.h"
#include "welford.cuh"

namespace ganzoo::cuda {
namespace {

constexpr int kPackTile = 32, kMaxSplits = 64;
constexpr int kMinTileRows = 64;  // of a block of statistics
constexpr int kStagesOfEpilogue = 4;  // stages of a weight gradient that take as long as writing its sums, about

template <class T, class Weight>
struct PackArguments {
  Convolution f;
  const Weight* weight;
  T* packed;
  int64_t strides[4];
  int pitch;
};

// Packs one kernel element of 32 x 32 channels: reads with the big channel fastest, writes with the input channel
// fastest.
template <class T, class Weight>
__global__ void __launch_bounds__(kThreads) pack_weights(const __grid_constant__ PackArguments<T, Weight> p) {
  float* tile = reinterpret_cast<float*>(shared_memory());
  const int cs = p.f.up ? p.f.cin : p.f.cout, cb = p.f.up ? p.f.cout : p.f.cin;
  const int which = blockIdx.z / taps(p.f), tap = blockIdx.z % taps(p.f),
            element = tap_of(p.f, phase_of(p.f, which), tap).kernel;
  const int s0 = blockIdx.y * kPackTile, b0 = blockIdx.x * kPackTile, x = threadIdx.x % kPackTile,
            y = threadIdx.x / kPackTile;
  const Weight* weight = p.weight + element / 4 * p.strides[2] + element % 4 * p.strides[3];
  for (int line = y; line < kPackTile && s0 + line < cs && b0 + x < cb; line += kThreads / kPackTile)
    tile[line * (kPackTile + 1) + x] = to_float(weight[(s0 + line) * p.strides[0] + (b0 + x) * p.strides[1]]);
  __syncthreads();
  const int out0 = p.f.up ? b0 : s0, in = (p.f.up ? s0 : b0) + x;
  for (int line = y; line < kPackTile && out0 + line < p.f.cout && in < p.f.cin; line += kThreads / kPackTile) {
    const float value = p.f.up ? tile[x * (kPackTile + 1) + line] : tile[line * (kPackTile + 1) + x];
    p.packed[static_cast<int64_t>(which * p.f.cout + out0 + line) * p.pitch + tap * p.f.cin + in] =
        from_float<T>(value);
  }
}

// The same for float32 weights in PyTorch's two memory formats and channels in multiples of 32: a row of four kernel
// elements of 32 x 32 channels, in chunks of 16 bytes.
template <class T, bool kChannelsLast>
__global__ void __launch_bounds__(kThreads) pack_chunks(const __grid_constant__ PackArguments<T, float> p) {
  constexpr int kVector = 16 / sizeof(T), kLine = kPackTile + 1, kElement = kPackTile * kLine;
  float* tile = reinterpret_cast<float*>(shared_memory());  // [kernel column][small channel][big channel]
  const int s0 = blockIdx.y * kPackTile, b0 = blockIdx.x * kPackTile, kh = blockIdx.z;
  const float* weight = p.weight + s0 * p.strides[0] + b0 * p.strides[1] + kh * p.strides[2];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int unit = threadIdx.x + i * kThreads;
    if constexpr (kChannelsLast) {
      const int b = unit % 8 * 4, kw = unit / 8 % 4, s = unit / 32;
      const float4 v = *reinterpret_cast<const float4*>(weight + s * p.strides[0] + kw * p.strides[3] + b);
      float* to = tile + kw * kElement + s * kLine + b;
      to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
    } else {
      const int b = unit % 32, s = unit / 32;
      const float4 v = *reinterpret_cast<const float4*>(weight + s * p.strides[0] + b * p.strides[1]);
      float* to = tile + s * kLine + b;
      to[0] = v.x, to[kElement] = v.y, to[2 * kElement] = v.z, to[3 * kElement] = v.w;
    }
  }
  __syncthreads();
  constexpr int kChunks = kPackTile / kVector;  // of a line of 32 channels
  const int out0 = p.f.up ? b0 : s0, in0 = p.f.up ? s0 : b0, step_out = p.f.up ? 1 : kLine, step_in = p.f.up ? kLine : 1;
  for (int unit = threadIdx.x; unit < 4 * kPackTile * kChunks; unit += kThreads) {
    const int in = unit % kChunks * kVector, out = unit / kChunks % kPackTile, kw = unit / (kChunks * kPackTile);
    const float* from = tile + kw * kElement + out * step_out + in * step_in;
    Chunk<T> values;
#pragma unroll
    for (int e = 0; e < kVector; ++e) values.values[e] = from_float<T>(from[e * step_in]);
    const TapOfPhase at = tap_of_kernel(p.f, kh * 4 + kw);
    *reinterpret_cast<Chunk<T>*>(p.packed + static_cast<int64_t>(at.phase * p.f.cout + out0 + out) * p.pitch +
                                 at.tap * p.f.cin + in0 + in) = values;
  }
}

template <class T, class Weight>
cudaError_t launch_pack(const Convolution& f, const void* weight, const int64_t strides[4], void* packed,
                        cudaStream_t stream) {
  const PackArguments<T, Weight> p = {f,
                                      static_cast<const Weight*>(weight),
                                      static_cast<T*>(packed),
                                      {strides[0], strides[1], strides[2], strides[3]},
                                      pitch_of_packed(f, 16 / sizeof(T))};
  const int cs = f.up ? f.cin : f.cout, cb = f.up ? f.cout : f.cin;
  if constexpr (std::is_same_v<Weight, float>) {
    const bool last = strides[1] == 1 && strides[3] == cb && strides[2] == 4 * cb && strides[0] == 16 * cb;
    const bool first = strides[3] == 1 && strides[2] == 4 && strides[1] == 16 && strides[0] == 16 * cb;
    if ((first || last) && cs % kPackTile == 0 && cb % kPackTile == 0 && aligned(weight)) {
      const dim3 blocks(cb / kPackTile, cs / kPackTile, 4);
      return launch(last ? &pack_chunks<T, true> : &pack_chunks<T, false>, blocks, 16 * kPackTile * (kPackTile + 1), stream,
                    p);
    }
  }
  const dim3 grid(ceil_div(cb, kPackTile), ceil_div(cs, kPackTile), 16);
  return launch(&pack_weights<T, Weight>, grid, kPackTile * (kPackTile + 1) * 4, stream, p);
}

struct AddArguments {
  const float4* parts;
  float4* out;
  int64_t size;  // of one split, in float4
  int splits;
};

__global__ void __launch_bounds__(kThreads) add_splits(const __grid_constant__ AddArguments p) {
  constexpr int kAhead = 4;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= p.size) return;
  float4 sum = {0, 0, 0, 0};
  for (int first = 0; first < p.splits; first += kAhead) {
    float4 part[kAhead];
#pragma unroll
    for (int a = 0; a < kAhead; ++a)
      if (first + a < p.splits) part[a] = p.parts[(first + a) * p.size + i];
#pragma unroll
    for (int a = 0; a < kAhead; ++a)
      if (first + a < p.splits) sum.x += part[a].x, sum.y += part[a].y, sum.z += part[a].z, sum.w += part[a].w;
  }
  p.out[i] = sum;
}

// 128 columns if there are that many and the blocks still fill the GPU.
int columns_of_tile(int64_t columns, int64_t blocks_of_64, int processors) {
  return columns > 64 && blocks_of_64 >= 2 * int64_t{processors} ? 128 : 64;
}

int stages_of(Type type, const Gradient& g) { return ceil_div(pixels_of(g), kStageBytes / bytes_of(type)); }

// The number of parts of the sum over pixels that takes the least time if two blocks run on a processor at once, so
// that few processors are idle in the last round.
int splits_of(int64_t blocks, int stages, int processors) {
  int best = 1;
  int64_t best_time = INT64_MAX;
  for (int splits = 1; splits <= min(stages, kMaxSplits); ++splits) {
    const int64_t rounds = ceil_div(blocks * splits, 2 * processors),
                  time = rounds * (ceil_div(stages, splits) + kStagesOfEpilogue);
    if (time < best_time) best = splits, best_time = time;
  }
  return best;
}

GradientLaunch parts_of(Type type, const Gradient& g, int processors) {
  GradientLaunch parts = {};
  const int64_t rows = ceil_div(g.cs, kTileM), blocks_of_64 = rows * ceil_div(16 * g.cb, 64);
  parts.g = g, parts.columns = columns_of_tile(16 * g.cb, blocks_of_64, processors);
  const int stages = stages_of(type, g);
  const int64_t blocks = rows * ceil_div(16 * g.cb, parts.columns);
  parts.stages_of_split = ceil_div(stages, splits_of(blocks, stages, max(1, processors)));
  parts.splits = ceil_div(stages, parts.stages_of_split);
  return parts;
}

}  // namespace

int64_t bytes_of_packed(Type type, const Convolution& f) {
  return int64_t{1} * phase_count(f) * f.cout * pitch_of_packed(f, 16 / bytes_of(type)) * bytes_of(type);
}

cudaError_t pack(Type type, const Convolution& f, const void* weight, bool weight_is_float32, const int64_t strides[4],
                 void* packed, cudaStream_t stream) {
  switch (type) {
    case Type::kFloat16:
      return (weight_is_float32 ? launch_pack<float16, float> : launch_pack<float16, float16>)(f, weight, strides,
                                                                                               packed, stream);
    case Type::kBFloat16:
      return (weight_is_float32 ? launch_pack<bfloat16, float> : launch_pack<bfloat16, bfloat16>)(f, weight, strides,
                                                                                                  packed, stream);
    default:
      return launch_pack<float, float>(f, weight, strides, packed, stream);
  }
}

int64_t bytes_of_statistics(const Convolution& f) {
  return int64_t{8} * phase_count(f) * tiles_of_phase(f, kMinTileRows) * f.cout;
}

cudaError_t convolve(Type type, const Convolution& f, const void* x, const void* packed, const Epilogue& e, void* out,
                     void* scratch, int processors, cudaStream_t stream) {
  const bool hopper = hopper_takes(type, f) && aligned(x) && aligned(packed) && aligned(out);
  const HopperPlan plan = hopper ? plan_hopper(f, processors) : HopperPlan{};
  const int tile_rows = hopper ? plan.columns : kTileM, tiles = phase_count(f) * tiles_of_phase(f, tile_rows);
  ConvolutionLaunch parts = {f, x, packed, out, e, nullptr, nullptr, 0};
  if (e.mean) parts.mean = static_cast<float*>(scratch), parts.m2 = parts.mean + int64_t{1} * tiles * f.cout;
  cudaError_t error;
  if (hopper) {
    error = launch_hopper(type, plan, parts, stream);
  } else {
    parts.columns = columns_of_tile(f.cout, int64_t{1} * tiles * ceil_div(f.cout, 64), processors);
    const auto start = type == Type::kFloat16    ? launch_convolution<float16, 1>
                       : type == Type::kBFloat16 ? launch_convolution<bfloat16, 1>
                       : type == Type::kTf32     ? launch_convolution<float, 1>
                                                 : launch_convolution<float, 3>;
    error = start(parts, stream);
  }
  if (error != cudaSuccess || !e.mean) return error;
  const Blocks blocks = {tile_rows, f, tiles_of_phase(f, tile_rows), int64_t{1} * f.n * f.out_h * f.out_w, 0, tiles};
  return merge({blocks, f.cout, parts.mean, parts.m2, e.mean, e.var}, stream);
}

int64_t bytes_of_splits(Type type, const Gradient& g, int processors) {
  const int splits = max(parts_of(type, g, processors).splits,
                         hopper_takes(type, g) ? plan_hopper(g, processors).parts : 1);
  return splits > 1 ? int64_t{splits} * g.cs * 16 * g.cb * 4 : 0;
}

cudaError_t weight_gradient(Type type, const Gradient& g, const void* small, const void* big, float* out, void* scratch,
                            int processors, cudaStream_t stream) {
  const bool hopper = hopper_takes(type, g) && aligned(small) && aligned(big) && aligned(out);
  const HopperPlan plan = hopper ? plan_hopper(g, processors) : HopperPlan{};
  GradientLaunch parts = parts_of(type, g, processors);
  if (hopper) parts.splits = plan.parts;
  parts.small = small, parts.big = big, parts.out = parts.splits > 1 ? static_cast<float*>(scratch) : out;
  cudaError_t error;
  if (hopper) {
    error = launch_hopper(type, plan, parts, stream);
  } else {
    const auto start = type == Type::kFloat16    ? launch_gradient<float16, 1>
                       : type == Type::kBFloat16 ? launch_gradient<bfloat16, 1>
                       : type == Type::kTf32     ? launch_gradient<float, 1>
                                                 : launch_gradient<float, 3>;
    error = start(parts, stream);
  }
  if (error != cudaSuccess || parts.splits == 1) return error;
  const int64_t size = int64_t{4} * g.cs * g.cb;
  const AddArguments p = {reinterpret_cast<const float4*>(parts.out), reinterpret_cast<float4*>(out), size,
                          parts.splits};
  return launch(&add_splits, dim3(ceil_div(size, kThreads), 1, 1), 0, stream, p);
}

}  // namespace ganzoo::cuda
