// Launches the two matrix products for one type of numbers; included by the source file that compiles them for it.
#pragma once
#include <cstdint>

#include "convolution.cuh"
#include "gemm.cuh"
#include "indexing.h"
#include "kernels.h"
#include "ptx.h"
#include "weight_gradient.cuh"

namespace ganzoo::cuda {

template <class Tile, bool kVector>
cudaError_t launch_tiles(const ConvolutionLaunch& c, cudaStream_t stream) {
  using T = typename Tile::T;
  const ConvolutionArguments<T> p = {c.f,
                                     static_cast<const T*>(c.x),
                                     static_cast<const T*>(c.packed),
                                     static_cast<T*>(c.out),
                                     c.e.scale,
                                     c.e.shift,
                                     c.mean,
                                     c.m2,
                                     c.e.slope,
                                     pitch_of_packed(c.f, Tile::kVector)};
  const dim3 grid(tiles_of_phase(c.f), ceil_div(c.f.cout, Tile::kN), phase_count(c.f));
  return launch(&convolve<Tile, kVector>, grid, Tile::kSharedBytes, stream, p);
}

template <class T, int kProducts>
cudaError_t launch_convolution(const ConvolutionLaunch& c, cudaStream_t stream) {
  using Tile128 = Tile<T, kProducts, 128>;
  using Tile64 = Tile<T, kProducts, 64>;
  if (c.f.cin % Tile128::kVector != 0 || !aligned(c.x)) return launch_tiles<Tile64, false>(c, stream);
  return c.columns == 128 ? launch_tiles<Tile128, true>(c, stream) : launch_tiles<Tile64, true>(c, stream);
}

template <class Tile, bool kVector>
cudaError_t launch_tiles(const GradientLaunch& c, cudaStream_t stream) {
  using T = typename Tile::T;
  const GradientArguments<T> p = {c.g, static_cast<const T*>(c.small), static_cast<const T*>(c.big), c.out,
                                  c.stages_of_split};
  const dim3 grid(ceil_div(16 * c.g.cb, Tile::kN), ceil_div(c.g.cs, kTileM), c.splits);
  return launch(&weight_gradient<Tile, kVector>, grid, Tile::kSharedBytes, stream, p);
}

template <class T, int kProducts>
cudaError_t launch_gradient(const GradientLaunch& c, cudaStream_t stream) {
  using Tile128 = Tile<T, kProducts, 128>;
  using Tile64 = Tile<T, kProducts, 64>;
  const bool chunks =
      c.g.cs % Tile128::kVector == 0 && c.g.cb % Tile128::kVector == 0 && aligned(c.small) && aligned(c.big);
  if (!chunks) return launch_tiles<Tile64, false>(c, stream);
  return c.columns == 128 ? launch_tiles<Tile128, true>(c, stream) : launch_tiles<Tile64, true>(c, stream);
}

}  // namespace ganzoo::cuda
