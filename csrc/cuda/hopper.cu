// The products on Hopper: which shapes they take, how these are divided among the blocks, and the maps of the tensors.
// Compiled for compute capability 9.0a with GANZOO_SM90A (ganzoo/ops/build_config.py), or without it to a file that
// takes nothing.
#include <atomic>
#include <cstdint>

#include "kernels.h"

#if defined(GANZOO_SM90A) || defined(GANZOO_EMULATE)
#include "hopper_convolution.cuh"
#include "hopper_gradient.cuh"

namespace ganzoo::cuda {
namespace {

std::atomic<bool> allowed{true};

// The time of what a block does before and after its sum, of a sum over a cluster, and of another pass that adds parts and
// of each part in it, in tenths of a stage of 64 k.
constexpr int kAround = 80, kExchange = 40, kAddition = 80, kPart = 4, kMaxParts = 32;

bool is_hopper() {
#ifdef GANZOO_EMULATE
  return true;
#else
  int device = 0, major = 0, minor = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
         cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) == cudaSuccess && major == 9 &&
         minor == 0;
#endif
}

bool takes(Type type, int n, int c, int d) {
  return allowed && bytes_of(type) == 2 && n > 0 && n % kBox == 0 && c % kBox == 0 && d % kBox == 0 && is_hopper();
}

int bytes_of_stage(int rows_of_groups) {
  return rows_of_groups == 2 ? HopperTile<2>::kBytes : HopperTile<1>::kBytes;
}

// As many stages as shared memory has room for, for one block of a multiprocessor or for two.
int stages_of_ring(int rows_of_groups, int64_t blocks, int processors) {
  const int kilobytes = blocks <= processors ? 226 : 112;
  return min(kMaxHopperStages, (kilobytes * 1024 - kHopperBarrierBytes) / bytes_of_stage(rows_of_groups));
}

int bytes_of_block(const HopperPlan& plan) {
  return kHopperBarrierBytes + plan.stages * bytes_of_stage(plan.rows_of_groups);
}

// A map of an NHWC image.
template <class T>
cudaError_t encode_image(TensorMap* map, const void* data, int n, int h, int w, int c) {
  const uint64_t row = uint64_t{2} * w * c, sizes[] = {uint64_t(c), uint64_t(w), uint64_t(h), uint64_t(n)},
                 strides[] = {uint64_t{2} * c, row, h * row};
  const uint32_t box[] = {kBox, 1, 1, kBox};
  return encode<T>(map, data, sizes, strides, box);
}

template <class T>
cudaError_t launch_typed(const HopperPlan& plan, const ConvolutionLaunch& c, cudaStream_t stream) {
  const Convolution& f = c.f;
  HopperConvolution p = {{}, {}, {}, f, c.e.scale, c.e.shift, c.mean, c.m2, c.e.slope, plan.splits, plan.stages};
  const uint64_t pitch = pitch_of_packed(f, 8), sizes[] = {pitch, uint64_t(phase_count(f)) * f.cout},
                 strides[] = {2 * pitch};
  const uint32_t box[] = {kBox, kBox};
  cudaError_t error = encode<T>(&p.weights, c.packed, sizes, strides, box);
  if (error == cudaSuccess) error = encode_image<T>(&p.x, c.x, f.n, f.h, f.w, f.cin);
  if (error == cudaSuccess) error = encode_image<T>(&p.out, c.out, f.n, f.out_h, f.out_w, f.cout);
  if (error != cudaSuccess) return error;
  const auto kernel = plan.rows_of_groups == 2 ? &convolve_hopper<T, 2> : &convolve_hopper<T, 1>;
  const int m = 64 * plan.rows_of_groups, n = 256 / plan.rows_of_groups;
  const dim3 grid(tiles_of_phase(f, n) * plan.splits, f.cout / m, phase_count(f));
  return launch_clusters(kernel, grid, kHopperThreads, plan.splits, bytes_of_block(plan), stream, p);
}

template <class T>
cudaError_t launch_typed(const HopperPlan& plan, const GradientLaunch& c, cudaStream_t stream) {
  const Gradient& g = c.g;
  HopperGradient p = {{}, {}, g, c.out, plan.splits, plan.parts, plan.stages};
  cudaError_t error = encode_image<T>(&p.small, c.small, g.n, g.h, g.w, g.cs);
  if (error == cudaSuccess) error = encode_image<T>(&p.big, c.big, g.n, g.H, g.W, g.cb);
  if (error != cudaSuccess) return error;
  const auto kernel = plan.rows_of_groups == 2 ? &gradient_hopper<T, 2> : &gradient_hopper<T, 1>;
  const int m = 64 * plan.rows_of_groups, n = 256 / plan.rows_of_groups;
  const dim3 grid(16 * g.cb / n * plan.splits, g.cs / m, plan.parts);
  return launch_clusters(kernel, grid, kHopperThreads, plan.splits, bytes_of_block(plan), stream, p);
}

}  // namespace

void allow_hopper(bool allow) { allowed = allow; }

bool hopper_takes(Type type, const Convolution& f) { return takes(type, f.n, f.cin, f.cout); }
bool hopper_takes(Type type, const Gradient& g) { return takes(type, g.n, g.cs, g.cb); }

// Two blocks of a cluster share k if there are tiles for at most half of the multiprocessors.
HopperPlan plan_hopper(const Convolution& f, int processors) {
  HopperPlan plan = {f.cout % 128 == 0 ? 2 : 1, 1, 1, 0, 0};
  const int64_t tiles = int64_t{1} * phase_count(f) * tiles_of_phase(f, 256 / plan.rows_of_groups) * f.cout /
                        (64 * plan.rows_of_groups);
  if (2 * tiles <= processors && taps(f) * f.cin >= 16 * kBox) plan.splits = 2;
  plan.stages = stages_of_ring(plan.rows_of_groups, tiles * plan.splits, processors);
  plan.columns = kGroupColumns / plan.splits;
  return plan;
}

// The division of the sum over pixels that takes the least time. Clusters have at most two blocks: of larger ones, not as
// many run at once as there are multiprocessors, whose number in a part of the GPU is no multiple of four.
HopperPlan plan_hopper(const Gradient& g, int processors) {
  HopperPlan plan = {g.cs % 128 == 0 ? 2 : 1, 1, 1, 0, 0};
  const int64_t tiles = int64_t{1} * g.cs * 16 * g.cb / (128 * 128), stages = pixels_of(g) / kBox;
  int64_t least = INT64_MAX;
  for (int splits = 1; splits <= 2; ++splits)
    for (int parts = 1; parts <= kMaxParts; ++parts) {
      const int64_t rounds = ceil_div(tiles * splits * parts, max(1, processors)),
                    time = rounds * (10 * ceil_div(stages, splits * parts) + kAround + (splits > 1 ? kExchange : 0)) +
                           (parts > 1 ? kAddition + kPart * parts : 0);
      if (time < least) least = time, plan.splits = splits, plan.parts = parts;
    }
  plan.stages = stages_of_ring(plan.rows_of_groups, tiles * plan.splits * plan.parts, processors);
  return plan;
}

cudaError_t launch_hopper(Type type, const HopperPlan& plan, const ConvolutionLaunch& parts, cudaStream_t stream) {
  return type == Type::kBFloat16 ? launch_typed<bfloat16>(plan, parts, stream)
                                 : launch_typed<float16>(plan, parts, stream);
}

cudaError_t launch_hopper(Type type, const HopperPlan& plan, const GradientLaunch& parts, cudaStream_t stream) {
  return type == Type::kBFloat16 ? launch_typed<bfloat16>(plan, parts, stream)
                                 : launch_typed<float16>(plan, parts, stream);
}

}  // namespace ganzoo::cuda

#else

namespace ganzoo::cuda {

void allow_hopper(bool) {}
bool hopper_takes(Type, const Convolution&) { return false; }
bool hopper_takes(Type, const Gradient&) { return false; }
HopperPlan plan_hopper(const Convolution&, int) { return {}; }
HopperPlan plan_hopper(const Gradient&, int) { return {}; }
cudaError_t launch_hopper(Type, const HopperPlan&, const ConvolutionLaunch&, cudaStream_t) { return cudaSuccess; }
cudaError_t launch_hopper(Type, const HopperPlan&, const GradientLaunch&, cudaStream_t) { return cudaSuccess; }

}  // namespace ganzoo::cuda

#endif
