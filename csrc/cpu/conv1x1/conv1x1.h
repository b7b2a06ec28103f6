// Arguments of the kernels of 1x1 convolutions: products of the matrix of all pixels, with activations read or applied on
// the way, so that none takes a pass over memory of its own.
#pragma once
#include <cstdint>

#include "../api.h"
#include "../blocking.h"

namespace ganzoo {

constexpr int kPixels1x1 = 48;           // of one work item: a multiple of every kTileRows
constexpr int kGradPixels1x1 = 128;      // that a register tile of the weight gradient sums up before it is stored
constexpr int64_t kMinPart1x1 = 2048;    // fewest pixels of one part of the weight gradient
constexpr int64_t kMaxParts1x1 = 16;
constexpr int64_t kSummedRows1x1 = 32;   // output channels whose parts one work item adds up

// An item is kPixels1x1 pixels.
struct Conv1x1 : Pointwise {
  const float* panels;  // [ceil(cout / kBlock)][cin][kBlock]
};

// An item is a part of the pixels and a division of the rows.
struct Gradient1x1 : PointwiseGradient {
  int64_t parts, divisions;
  int64_t rows, columns;         // cout and cin in whole blocks
  float* sums;                   // [parts][rows][columns]
  const Conv1x1* input;          // to compute from the same pixels of grad, or null; only with one division
};

}  // namespace ganzoo
