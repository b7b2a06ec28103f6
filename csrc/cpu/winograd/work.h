// How Winograd's passes are divided among threads. None of it affects the bits of a result.
#pragma once
#include <cstdint>
#include <functional>

#include "../api.h"

namespace ganzoo {

// Calls body(item) for all items; a thread takes the next one when it has finished one.
void run_items(int64_t items, Parallel run, const std::function<void(int64_t item)>& body);

// Part number `part` of `parts` of the channels, in whole blocks.
struct ChannelRange {
  int64_t first, size;
};
ChannelRange channel_range(int64_t channels, int64_t block, int64_t part, int64_t parts);

// A weight gradient: the sum over chunks of images, in their order, of products of two transformed images. The products
// are a matrix [rows][columns] of channels for each of `panels`, computed kProductRows by kBlock channels at a time.
struct GradientWork {
  int64_t rows, columns;              // channels
  int64_t chunks, panels;
  int64_t pairs;                      // multiply-adds of a chunk for each row and column
  int64_t row_values, column_values;  // of a chunk's transformed images, for each row and each column
  bool joins_blocks;                  // a single chunk is joined block by block, each with the same memory for products
};

// What one thread computes at a time: a chunk's products for some channels.
struct GradientItem {
  ChannelRange rows, columns;
  int64_t chunk;
  float* products;  // [rows / kProductRows][columns / kBlock][panels][kProductRows][kBlock], or of one block
  bool first, last; // whether to store the products or to add them; whether to join them to the gradient afterwards
};

// Calls multiply() for all items and, where no item was the last one of its channels, join() afterwards.
void run_gradient(const GradientWork& work, Parallel run, const std::function<void(const GradientItem&)>& multiply,
                  const std::function<void(const GradientItem&)>& join);

}  // namespace ganzoo
