// Block sizes and rounding shared by several operations.
#pragma once
#include <cstdint>

namespace ganzoo {

constexpr int kBlock = 32;  // columns of a packed panel, the same for every instruction set
constexpr int kTaps = 16;   // of a 4 x 4 kernel

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t multiple) { return ceil_div(a, multiple) * multiple; }

}  // namespace ganzoo
