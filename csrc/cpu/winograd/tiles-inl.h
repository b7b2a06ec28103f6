// The transforms of one tile: their tables, computed at compile time, and their sums.
#pragma once

#include "../isa/vector-inl.h"
#include "winograd.h"

namespace ganzoo {
namespace ISA {
namespace {

constexpr double point_value(int p) { return kBfloat16 ? kPointValueBfloat16[p] : kPointValue[p]; }

// kTable[point][pixel] of a tile of size M; M = 0 is a single pixel at one end of the axis.
template <int ROWS, int COLUMNS>
struct Table {
  float factor[ROWS][COLUMNS];
};

// planes = B x. A row holds the coefficients of the polynomial that is 1 at its point and 0 at the tile's other points;
// the row of infinity is 0 at all finite points and has the leading coefficient 1.
template <int M>
constexpr Table<M + 1, M + 1> table_of_planes() {
  Table<M + 1, M + 1> table = {};
  for (int p = 0; p <= M; ++p) {
    double polynomial[M + 2] = {1}, at_point = 1;
    for (int q = 0; q <= M; ++q) {
      if (q == p || q == kInfinity) continue;
      for (int k = M; k > 0; --k) polynomial[k] = polynomial[k - 1] - point_value(q) * polynomial[k];
      polynomial[0] *= -point_value(q);
      if (p != kInfinity) at_point *= point_value(p) - point_value(q);
    }
    for (int j = 0; j <= M; ++j) table.factor[p][j] = static_cast<float>(polynomial[j] / at_point);
  }
  return table;
}

// y = A' sums. A row holds the powers of its point.
template <int M>
constexpr Table<M + 1, (M > 0 ? M : 1)> table_of_sums() {
  Table<M + 1, (M > 0 ? M : 1)> table = {};
  for (int p = 0; p <= M; ++p) {
    double power = 1;
    for (int j = 0; j < (M > 0 ? M : 1); ++j, power *= point_value(p))
      table.factor[p][j] = static_cast<float>(p == kInfinity ? j == M - 1 : power);
  }
  return table;
}

template <int M>
struct Planes {
  static constexpr Table<M + 1, M + 1> kTable = table_of_planes<M>();
};
template <int M>
struct Sums {
  static constexpr Table<M + 1, (M > 0 ? M : 1)> kTable = table_of_sums<M>();
};

template <class Tile>
constexpr int pixels_of() {
  return sizeof(Tile::kTable.factor[0]) / sizeof(float);
}
template <class Tile>
constexpr int points_of() {
  return sizeof(Tile::kTable) / sizeof(Tile::kTable.factor[0]);
}

// Loops run to kPoints for every tile, so that one unroll pragma fits all: on a loop of a single iteration it would
// cause a warning.
template <class Tile, class Kind>
inline void to_points(const Kind* pixel, Kind* point) {
#pragma GCC unroll 5
  for (int p = 0; p < kPoints; ++p) {
    bool started = false;
#pragma GCC unroll 5
    for (int j = 0; j < kPoints; ++j) {
      const float factor = p < points_of<Tile>() && j < pixels_of<Tile>() ? Tile::kTable.factor[p][j] : 0;
      if (factor == 0) continue;
      point[p] = started ? point[p] + factor * pixel[j] : factor * pixel[j];
      started = true;
    }
  }
}

template <class Tile, class Kind>
inline void to_pixels(const Kind* point, Kind* pixel) {
#pragma GCC unroll 5
  for (int j = 0; j < kPoints; ++j) {
    bool started = false;
#pragma GCC unroll 5
    for (int p = 0; p < kPoints; ++p) {
      const float factor = j < pixels_of<Tile>() && p < points_of<Tile>() ? Tile::kTable.factor[p][j] : 0;
      if (factor == 0) continue;
      pixel[j] = started ? pixel[j] + factor * point[p] : factor * point[p];
      started = true;
    }
  }
}

}  // namespace
}  // namespace ISA
}  // namespace ganzoo
