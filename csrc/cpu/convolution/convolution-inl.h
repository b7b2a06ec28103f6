// Direct convolution: a register tile is kTileRows output pixels by 2 vectors of output channels.
#pragma once
#include <cstdint>

#include "../isa/vector-inl.h"
#include "convolution.h"

namespace ganzoo {
namespace ISA {
namespace {

// out[p] = sum over taps and c of x[tap][p][c] * w[tap][c], for kTileRows pixels and V vectors of channels.
template <int V>
inline void convolve_tile(const float* const (*x)[kTileRows], const int* taps, int count, const float* w, int64_t cin,
                          float* out) {
  Vec acc[kTileRows][V] = {};
  for (int t = 0; t < count; ++t) {
    const float* const* pixel = x[t];
    const float* panel = w + taps[t] * cin * kBlock;
    for (int64_t c = 0; c < cin; ++c, panel += kBlock) {
      Vec weight[V];
      for (int v = 0; v < V; ++v) weight[v] = load(panel + v * kLanes);
#pragma GCC unroll 16
      for (int p = 0; p < kTileRows; ++p) {
        const Vec value = broadcast(pixel[p][c]);
        for (int v = 0; v < V; ++v) acc[p][v] += value * weight[v];
      }
    }
  }
#pragma GCC unroll 16
  for (int p = 0; p < kTileRows; ++p)
    for (int v = 0; v < V; ++v) store(out + p * kTileColumns + v * kLanes, acc[p][v]);
}

// Merges `count` values of each channel, [count][kTileColumns], into (mean, m2) of the `before` values so far (Chan,
// Golub, LeVeque 1983).
inline void add_statistics(const float* values, int count, int64_t before, float* mean, float* m2) {
  const float inverse = 1.0f / count, share = static_cast<float>(count) / (before + count);
  for (int v = 0; v < kTileColumns; v += kLanes) {
    Vec sum = {}, squares = {};
    for (int p = 0; p < count; ++p) sum += load(values + p * kTileColumns + v);
    const Vec average = sum * inverse;
    for (int p = 0; p < count; ++p) {
      const Vec deviation = load(values + p * kTileColumns + v) - average;
      squares += deviation * deviation;
    }
    if (before == 0) {  // also avoids a product of 0 with the square of a large average, which is infinite
      store(mean + v, average), store(m2 + v, squares);
      continue;
    }
    const Vec delta = average - load(mean + v);
    store(mean + v, load(mean + v) + delta * share);
    store(m2 + v, load(m2 + v) + squares + delta * delta * (share * before));
  }
}

// The images and rows of a work item.
struct ItemRange {
  int64_t image, images, row, rows;
};

// For the tile of `count` pixels from pixel `first` of the item on: finds the taps that are inside the image for any of
// the pixels, the input of each pixel under each of these taps, and the offset of each output. Returns the number of
// taps. The image index runs fastest over an item's pixels, so all pixels of a tile in a full group have one position,
// and a tap is inside the image for all of them or for none.
inline int locate(const Convolution& f, const Phase& phase, const ItemRange& r, int64_t first, int64_t count,
                  const float* (*x)[kTileRows], int* taps, int64_t* outputs) {
  int64_t rows[kTileRows], columns[kTileRows];
  const float* image[kTileRows];
  int64_t n = first % r.images, j = first / r.images % phase.columns, i = r.row + first / r.images / phase.columns;
  for (int64_t p = 0; p < kTileRows; ++p) {
    rows[p] = i * f.input_step, columns[p] = j * f.input_step;
    image[p] = f.x + (r.image + n) * f.h * f.w * f.cin;
    const int64_t out_row = i * f.output_step + phase.row, out_column = j * f.output_step + phase.column;
    outputs[p] = (((r.image + n) * f.out_h + out_row) * f.out_w + out_column) * f.cout;
    if (p + 1 < count && ++n == r.images) {  // pixels past `count` repeat the last one and are not stored
      n = 0;
      if (++j == phase.columns) j = 0, ++i;
    }
  }
  const bool one_position = rows[0] == rows[kTileRows - 1] && columns[0] == columns[kTileRows - 1];
  int active = 0;
  for (int t = 0; t < phase.taps; ++t) {
    bool any = false;
    if (one_position) {
      const int64_t row = rows[0] + phase.dh[t], column = columns[0] + phase.dw[t];
      any = row >= 0 && row < f.h && column >= 0 && column < f.w;
      if (any)
        for (int p = 0; p < kTileRows; ++p) x[active][p] = image[p] + (row * f.w + column) * f.cin;
    } else {
      for (int p = 0; p < kTileRows; ++p) {
        const int64_t row = rows[p] + phase.dh[t], column = columns[p] + phase.dw[t];
        const bool inside = row >= 0 && row < f.h && column >= 0 && column < f.w;
        x[active][p] = inside ? image[p] + (row * f.w + column) * f.cin : f.zeros;
        any |= inside;
      }
    }
    taps[active] = t;
    active += any;
  }
  return active;
}

// Applies the epilogue to a tile's sums and stores them.
inline void store_outputs(const Convolution& f, int64_t channel, int64_t channels, const float* values,
                          const int64_t* outputs, int64_t count) {
  for (int64_t p = 0; p < count; ++p)
    for_channels(channels, [&](auto type, int64_t c) {
      auto v = get(type, values + p * kTileColumns + c);
      if (f.scale) v = v * get(type, f.scale + channel + c);
      if (f.shift) v = v + get(type, f.shift + channel + c);
      put(f.out + outputs[p] + channel + c, leaky_relu(v, f.slope));
    });
}

void convolve(const Convolution& f, int64_t begin, int64_t end) {
  alignas(64) float values[kTileRows * kTileColumns];
  for (int64_t item = begin; item < end; ++item) {
    const int64_t chunk = item % f.chunks, group = item / f.chunks % f.groups;
    const int64_t which = item / (f.chunks * f.groups) % f.phase_count;
    const int64_t block = item / (f.chunks * f.groups * f.phase_count);
    const Phase& phase = f.phases[which];
    const ItemRange r = {group * kGroup, min(kGroup, f.n - group * kGroup), chunk * kRowChunk,
                         min(kRowChunk, phase.rows - chunk * kRowChunk)};
    const int64_t pixels = r.rows > 0 ? r.images * r.rows * phase.columns : 0;
    const float* panel = f.packed + (block * f.phase_count + which) * phase.taps * f.cin * kBlock;
    for (int sub = 0; sub < kBlock && block * kBlock + sub < f.cout; sub += kTileColumns) {
      const int64_t channel = block * kBlock + sub, channels = min(kTileColumns, f.cout - channel);
      float* mean = f.mean ? f.mean + item * kBlock + sub : nullptr;
      float* m2 = f.mean ? f.m2 + item * kBlock + sub : nullptr;
      for (int64_t first = 0; first < pixels; first += kTileRows) {
        const int64_t count = min(kTileRows, pixels - first);
        const float* x[kTaps][kTileRows];
        int taps[kTaps + 1];  // locate() also writes the entry after the last active tap
        int64_t outputs[kTileRows];
        const int active = locate(f, phase, r, first, count, x, taps, outputs);
        if (channels > kLanes)
          convolve_tile<2>(x, taps, active, panel + sub, f.cin, values);
        else
          convolve_tile<1>(x, taps, active, panel + sub, f.cin, values);
        store_outputs(f, channel, channels, values, outputs, count);
        if (mean) add_statistics(values, count, first, mean, m2);
      }
    }
  }
}

}  // namespace
}  // namespace ISA
}  // namespace ganzoo
