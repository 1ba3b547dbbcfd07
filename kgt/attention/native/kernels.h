// What the two ways of computing attention for a group of sixteen queries of one head share.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>

#include "simd.h"

namespace kgt {

constexpr int kGroup = 16;  // queries that are done together
// A union of keys is padded to a multiple of this many, which every kernel's step divides.
constexpr int64_t kUnionPadding = 96;
constexpr float kLog2E = 1.44269504f;
constexpr float kLn2 = 0.693147181f;

// Floats whose address is a multiple of a cache line: loads that straddle two lines cost double.
class Buffer {
 public:
  explicit Buffer(int64_t count) {
    const size_t bytes = (static_cast<size_t>(count) * sizeof(float) + 63) / 64 * 64 + 64;
    data_ = static_cast<float*>(std::aligned_alloc(64, bytes));
    if (!data_) throw std::bad_alloc();
    std::memset(data_, 0, bytes);
  }
  ~Buffer() { std::free(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  operator float*() const { return data_; }

 private:
  float* data_;
};

// The position bias of one head, times log2(e). For a query i and a key j of the M x M window,
// table[from(i) - place(j)] is added to their score.
struct Bias {
  const float* table = nullptr;  // [2M-1][2M], the first of each row unused; null without a bias
  const int32_t* places = nullptr;  // [N]: place(n)
  int32_t side = 1;  // M

  int32_t pitch() const { return 2 * side; }
  int64_t size() const { return table ? int64_t{2 * side - 1} * pitch() : 0; }
  // n / M * 2M + n % M
  KGT_INLINE int32_t place(int32_t n) const { return places[n]; }
  KGT_INLINE Ints place(Ints n) const {
    // Token numbers are below 2^16: the product is off by far less than the half that is added.
    const Floats row = (__builtin_convertvector(n, Floats) + 0.5f) * (1.0f / side);
    return n + multiply_small(__builtin_convertvector(row, Ints), side);
  }
  KGT_INLINE int32_t from(int32_t n) const { return place(n) + (side - 1) * pitch() + side; }
};

// The gradient of a table, as the sum of kParts tables. A block of 4 x 4 queries adds to four floats
// at a time, of the table whose number is its key's modulo 4. In each table these fours lie on
// multiples of four, for a load of what several stores wrote in part waits until all are done.
struct BiasGradient {
  static constexpr int kParts = 4;
  float* tables;  // [kParts] tables as Bias::table; null if not wanted

  // Of the last row a reader that is off by its part reads on.
  static int64_t floats(const Bias& bias) { return kParts * (bias.size() + 1); }
};

// Whether a register holds two rows of this many floats: gradients of a value and of its key, float
// by float side by side, are then added up together.
constexpr bool is_narrow(int64_t dims) { return 2 * dims <= kLanes; }

// Keys and values of one head of one window as rows [N][stride], zero beyond the head's dimensions.
struct Head {
  const float* keys;
  const float* values;
  int64_t stride;  // a multiple of kLanes
  int64_t dims;
  Bias bias;
};

// The token numbers of sixteen queries, fewer at the end of a window.
struct Group {
  int count;
  int32_t query[kGroup];  // 0 beyond count
};

// The keys of each query of a group.
struct KeyRows {
  const int32_t* keys[kGroup];
  int64_t degree[kGroup];
};

// A key that some queries of a group have: query i has it where bit i is set.
struct Edges {
  uint16_t key, bits;
};

// The keys that any query of a group has; up to a multiple of kUnionPadding follow without bits.
struct Union {
  const Edges* edges;
  int64_t count;
};

// Rows [kGroup][stride] of the queries of a group. Queries come times scale * log2(e), so that
// softmax takes powers of two; the log-sum-exp is to base 2, too. What stands beyond the group's
// count is finite and ignored.
struct Forward {
  const float* queries;
  float* out;
  float* logsumexp;  // [kGroup]
};

struct Backward {
  const float* queries;
  const float* grad_out;
  const float* logsumexp;  // [kGroup]
  const float* delta;  // [kGroup]: of each query the sum over d of out * grad_out
  float* grad_queries;  // [kGroup][stride], set
  float* grad_keys;  // [N][stride], added to
  float* grad_values;  // [N][stride], added to
  float* grad_pairs;  // [N][kLanes], added to by tiles of narrow heads in their stead; else null
  BiasGradient grad_bias;  // added to
};

// Floats of scratch memory for queries that have at most `degree` keys each; for rows of `stride`.
int64_t gather_scratch(int64_t degree);
int64_t tile_scratch(int64_t stride);

// One query after the other, reading the rows of its keys.
void gather_forward(const Head&, const Group&, const KeyRows&, const Forward&, float* scratch);
void gather_backward(const Head&, const Group&, const KeyRows&, const Backward&, float* scratch);

// All queries at once, one in each lane, over the union of their keys.
void tile_forward(const Head&, const Group&, const Union&, const Forward&, float* scratch);
void tile_backward(const Head&, const Group&, const Union&, const Backward&, float* scratch);

// The same in bfloat16 by the processor's matrix unit (Intel AMX), forward only: weights are
// rounded to bfloat16, scores and sums are floats.
struct HalfHead {
  const uint16_t* keys;  // [N][stride], zero beyond the head's dimensions
  const uint16_t* values;
  int64_t stride;  // 32 or 64
  float factor;  // scores are products of queries and keys times this; scale * log2(e)
  Bias bias;
};

// Whether this code, the processor and the operating system have it.
bool amx_available();

// Rows of `dims` numbers, zero from there to the stride. Needs amx_available(), as what follows.
struct HalfRows {
  const uint16_t* data;
  int64_t stride_n, stride_d, dims;
};
int64_t amx_stride(int64_t dims);
void amx_pack(const HalfRows& rows, int64_t count, int64_t stride, uint16_t* to);

// The matrix unit's registers have their shapes in this thread while one of these lives.
class AmxTiles {
 public:
  AmxTiles();
  ~AmxTiles();
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;
};

// Rows [kGroup][stride]; queries as they are given.
struct HalfForward {
  const uint16_t* queries;
  float* out;
  float* logsumexp;  // [kGroup]
};

int64_t amx_scratch(int64_t nodes);  // floats
void amx_forward(const HalfHead&, const Group&, const Union&, const HalfForward&, float* scratch);

}  // namespace kgt
