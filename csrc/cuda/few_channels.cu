// Launches the kernels for a big image of few channels.
#include "few_channels.h"

#include <cstdint>

#include "few_channels.cuh"
#include "few_channels_gradient.cuh"
#include "few_channels_strided.cuh"
#include "few_channels_transposed.cuh"
#include "indexing.h"
#include "kernels.h"
#include "ptx.h"

namespace ganzoo::cuda {
namespace {

constexpr int kBlocksOfProcessor = 2;

// Calls body(a number of the type, an integral constant C).
template <int C>
struct Channels {
  static constexpr int value = C;
};
template <class Body>
cudaError_t with_type_and_channels(Type type, int channels, const Body& body) {
  const auto with_channels = [&](auto zero) {
    switch (channels) {
      case 1:
        return body(zero, Channels<1>{});
      case 2:
        return body(zero, Channels<2>{});
      case 3:
        return body(zero, Channels<3>{});
      default:
        return body(zero, Channels<4>{});
    }
  };
  return type == Type::kFloat16 ? with_channels(float16{}) : with_channels(bfloat16{});
}

int blocks_of(int tiles, int slices, int processors) {
  return max(1, min(tiles, kBlocksOfProcessor * processors / slices));
}

int size_of_part(const FewChannels& s) { return s.cs * 16 * s.cb + round_up(max(s.cs, s.cb), 4); }

}  // namespace

cudaError_t few_channels_strided(Type type, const FewChannels& s, const void* big, const Derivative& d,
                                 const Weight& weight, const FewEpilogue& e, void* small, int processors,
                                 cudaStream_t stream) {
  return with_type_and_channels(type, s.cb, [&](auto zero, auto channels) {
    using T = decltype(zero);
    constexpr int C = decltype(channels)::value;
    const Tiles tiles = tiles_of(s);
    const StridedArguments<T> p = {s,      tiles, static_cast<const T*>(big), static_cast<const T*>(d.out),
                                   weight, e,     static_cast<T*>(small),     lines_in_chunks(s, big) && lines_in_chunks(s, d.out)};
    const int slices = ceil_div(s.cs, kSlice);
    const dim3 grid(blocks_of(tiles.count, slices, processors), slices, 1);
    return launch(&strided<T, C>, grid, strided_bytes<C>(tiles), stream, p);
  });
}

cudaError_t few_channels_transposed(Type type, const FewChannels& s, const void* small, const Derivative& d,
                                    const Weight& weight, const FewEpilogue& e, void* big, int processors,
                                    cudaStream_t stream) {
  return with_type_and_channels(type, s.cb, [&](auto zero, auto channels) {
    using T = decltype(zero);
    constexpr int C = decltype(channels)::value;
    const PositionTiles tiles = position_tiles_of(s);
    const TransposedArguments<T> p = {s,      tiles, static_cast<const T*>(small), static_cast<const T*>(d.out), d.slope,
                                      weight, e,     static_cast<T*>(big),         lines_in_chunks(s, big)};
    const dim3 grid(blocks_of(tiles.count, 1, processors), 1, 1);
    return launch(s.cs == 64 ? &transposed<T, C, 16> : &transposed<T, C, 0>, grid,
                  transposed_bytes<C>(s, tiles, d.out), stream, p);
  });
}

int64_t bytes_of_few_channels_gradient(const FewChannels& s, int processors) {
  return int64_t{4} * size_of_part(s) * blocks_of(tiles_of(s).count, ceil_div(s.cs, kSlice), processors);
}

cudaError_t few_channels_gradient(Type type, const FewChannels& s, const void* small, const void* big,
                                  bool grad_is_big, const Derivative& d, float* weight, float* shift, void* scratch,
                                  int processors, cudaStream_t stream) {
  const Tiles tiles = tiles_of(s);
  const int slices = ceil_div(s.cs, kSlice), blocks = blocks_of(tiles.count, slices, processors);
  float* parts = static_cast<float*>(scratch);
  const cudaError_t error = with_type_and_channels(type, s.cb, [&](auto zero, auto channels) {
    using T = decltype(zero);
    constexpr int C = decltype(channels)::value;
    const FewGradientArguments<T> p = {
        s,       tiles, static_cast<const T*>(small), static_cast<const T*>(big),
        static_cast<const T*>(d.out), d.slope, parts, size_of_part(s),
        lines_in_chunks(s, big) && (!grad_is_big || lines_in_chunks(s, d.out))};
    return launch(grad_is_big ? &few_gradient<T, C, true> : &few_gradient<T, C, false>, dim3(blocks, slices, 1),
                  few_gradient_bytes<C>(tiles, !grad_is_big && d.out), stream, p);
  });
  if (error != cudaSuccess) return error;
  const int weights = s.cs * 16 * s.cb, size = weights + (shift ? grad_is_big ? s.cb : s.cs : 0);
  const AddParts p = {parts, blocks, size_of_part(s), weights, size, weight, shift};
  return launch(&add_parts, dim3(ceil_div(size, kThreads / kAddLanes), 1, 1), kThreads * 4, stream, p);
}

}  // namespace ganzoo::cuda
