// How Winograd's passes are divided among threads: work items, and the parts of a weight gradient.
#include "work.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>

#include "../blocking.h"
#include "../workspace.h"
#include "winograd.h"

namespace ganzoo {
namespace {

// What things take, in multiply-adds of one thread: transforming a value of an image, adding to a product that is not in
// the caches or that another thread has computed, and letting all threads start twice.
constexpr double kTransform = 20, kAddition = 50, kStart = 1 << 21;
constexpr double kCached = 1 << 22;  // products that stay in the caches
constexpr int64_t kAdded = 1 << 13;  // products of one work item of the additions

int64_t row_blocks(const GradientWork& w) { return ceil_div(w.rows, kProductRows); }
int64_t column_blocks(const GradientWork& w) { return ceil_div(w.columns, kBlock); }
int64_t block_size(const GradientWork& w) { return w.panels * kProductRows * kBlock; }

// Parts of the rows and of the columns, each of which transforms its own channels of one image and all of the other's;
// and the number of chunks that are computed at a time, to products of their own.
struct Division {
  int64_t rows, columns, lanes;
};

double cost(const GradientWork& w, const Division& d, int64_t threads) {
  const int64_t row_parts = ceil_div(row_blocks(w), d.rows), column_parts = ceil_div(column_blocks(w), d.columns);
  const double rows = static_cast<double>(std::min(round_up(w.rows, kProductTile), row_parts * kProductRows));
  const double columns = static_cast<double>(column_parts * kBlock);
  const double products = static_cast<double>(row_parts * column_parts * block_size(w));
  double item = rows * columns * w.pairs + kTransform * (rows * w.row_values + columns * w.column_values);
  if (w.chunks > 1 && products > kCached) item += kAddition * products;
  const int64_t waves = ceil_div(w.chunks, d.lanes), parts = d.rows * d.columns;
  const double multiplied = item * static_cast<double>(waves * ceil_div(parts * d.lanes, threads));
  if (d.lanes == 1) return multiplied;
  return multiplied + kStart * waves + kAddition * products * parts * (w.chunks - waves) / threads;
}

Division divide(const GradientWork& w, int64_t threads) {
  Division best = {1, 1, 1};
  for (int64_t rows = 1; rows <= row_blocks(w); ++rows)
    for (int64_t columns = 1; columns <= std::min(ceil_div(threads, rows), column_blocks(w)); ++columns)
      for (const int64_t lanes : {int64_t{1}, std::min(ceil_div(threads, rows * columns), w.chunks)})
        if (const Division d = {rows, columns, lanes}; cost(w, d, threads) < cost(w, best, threads)) best = d;
  return best;
}

GradientItem part(const GradientWork& w, const Division& d, int64_t index) {
  return {channel_range(w.rows, kProductRows, index / d.columns, d.rows),
          channel_range(w.columns, kBlock, index % d.columns, d.columns), 0, nullptr, true, true};
}

int64_t blocks_of(const GradientItem& item) {
  return ceil_div(item.rows.size, kProductRows) * ceil_div(item.columns.size, kBlock);
}

// A thread computes all chunks of its channels.
void run_parts(const GradientWork& w, const Division& d, Parallel run,
               const std::function<void(const GradientItem&)>& multiply) {
  run_items(d.rows * d.columns, run, [&](int64_t index) {
    GradientItem item = part(w, d, index);
    const int64_t blocks = w.chunks == 1 && w.joins_blocks ? 1 : blocks_of(item);
    item.products = workspace<Scratch::kGradientProducts>(blocks * block_size(w));
    for (; item.chunk < w.chunks; ++item.chunk) {
      item.first = item.chunk == 0, item.last = item.chunk + 1 == w.chunks;
      multiply(item);
    }
  });
}

// to += from[0] + from[1] ... , in this order.
void add_lanes(float* to, const float* from, int64_t lanes, int64_t size, Parallel run) {
  run(ceil_div(size, kAdded), [&](int64_t begin, int64_t end) {
    for (int64_t first = begin * kAdded; first < std::min(size, end * kAdded); first += kAdded)
      for (int64_t lane = 0; lane < lanes; ++lane)
        for (int64_t i = first; i < std::min(size, first + kAdded); ++i) to[i] += from[lane * size + i];
  });
}

// Threads compute `lanes` chunks at a time. The first one is added to the sum as if a single thread computed all; the
// others are added afterwards, in the order of the chunks.
void run_lanes(const GradientWork& w, const Division& d, Parallel run,
               const std::function<void(const GradientItem&)>& multiply,
               const std::function<void(const GradientItem&)>& join) {
  const int64_t parts = d.rows * d.columns, size = row_blocks(w) * column_blocks(w) * block_size(w);
  float* sums = workspace<Scratch::kGradientProducts>(d.lanes * size);
  const auto item_at = [&](int64_t index, int64_t lane) {
    GradientItem item = part(w, d, index);
    item.products = sums + lane * size;
    for (int64_t i = 0; i < index; ++i) item.products += blocks_of(part(w, d, i)) * block_size(w);
    return item;
  };
  for (int64_t first = 0; first < w.chunks; first += d.lanes) {
    const int64_t lanes = std::min(d.lanes, w.chunks - first);
    run_items(parts * lanes, run, [&](int64_t index) {
      GradientItem item = item_at(index % parts, index / parts);
      item.chunk = first + index / parts, item.first = item.chunk == 0 || index >= parts, item.last = false;
      multiply(item);
    });
    if (lanes > 1) add_lanes(sums, sums + size, lanes - 1, size, run);
  }
  run_items(parts, run, [&](int64_t index) { join(item_at(index, 0)); });
}

}  // namespace

void run_items(int64_t items, Parallel run, const std::function<void(int64_t item)>& body) {
  std::atomic<int64_t> next{0};
  run(items, [&](int64_t, int64_t) {
    for (int64_t item; (item = next++) < items;) body(item);
  });
}

ChannelRange channel_range(int64_t channels, int64_t block, int64_t part, int64_t parts) {
  const int64_t blocks = ceil_div(channels, block), first = blocks * part / parts * block;
  return {first, std::min(blocks * (part + 1) / parts * block, channels) - first};
}

void run_gradient(const GradientWork& work, Parallel run, const std::function<void(const GradientItem&)>& multiply,
                  const std::function<void(const GradientItem&)>& join) {
  const Division d = divide(work, run.threads);
  if (d.lanes == 1) return run_parts(work, d, run, multiply);
  run_lanes(work, d, run, multiply, join);
}

}  // namespace ganzoo
