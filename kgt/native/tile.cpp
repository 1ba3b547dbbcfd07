// Attention of sixteen queries at once, one in each lane, over the union of their keys.
//
// Both products are register-blocked like a dense one, and a key's row is read once for all
// queries; bits tell which pairs are edges.
#include <algorithm>
#include <cmath>

#include "kernels.h"

namespace kgt {
namespace {

constexpr int kParts = kGroup / kLanes;  // registers for one float of each query
constexpr int64_t kBlock = 128;  // keys whose scores are held at a time: 8 KiB
// Rows whose sums the registers hold beside the operands of a step.
constexpr int kRows = 12 / kParts;

// One float of each query.
struct Lanes {
  Floats part[kParts];
};

#define KGT_EACH_PART _Pragma("GCC unroll 4") for (int p = 0; p < kParts; ++p)

KGT_INLINE Lanes load_lanes(const float* from) {
  Lanes out;
  KGT_EACH_PART out.part[p] = load(from + p * kLanes);
  return out;
}

KGT_INLINE void store_lanes(float* to, const Lanes& lanes) {
  KGT_EACH_PART store(to + p * kLanes, lanes.part[p]);
}

KGT_INLINE Lanes splat_lanes(float value) {
  Lanes out;
  KGT_EACH_PART out.part[p] = splat(value);
  return out;
}

KGT_INLINE void add_product(Lanes& sum, const Lanes& lanes, float factor) {
  KGT_EACH_PART sum.part[p] += lanes.part[p] * factor;
}

// The table's entries of one key and each query.
struct BiasLanes {
  explicit BiasLanes(const Bias& bias, const int32_t* query) : bias_(bias) {
    KGT_EACH_PART from_[p] = bias.place(load(query + p * kLanes)) + bias.from(0);
  }

  KGT_INLINE Floats look_up_part(int32_t key, int p) const {
    return look_up(bias_.table - bias_.place(key), from_[p]);
  }

 private:
  const Bias& bias_;
  Ints from_[kParts];
};

// Products of `Rows` rows with the lanes [dims][kGroup] of all queries.
template <int Rows>
KGT_INLINE void multiply_rows(const float* lanes_of, const float* rows, const Head& head,
                              const int32_t* keys, Lanes (&sum)[Rows]) {
  const float* row[Rows];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    row[r] = rows + keys[r] * head.stride;
    sum[r] = {};
  }
  for (int64_t d = 0; d < head.dims; ++d) {
    const Lanes lanes = load_lanes(lanes_of + d * kGroup);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) add_product(sum[r], lanes, row[r][d]);
  }
}

// The union's keys begin .. begin + count, of which a block of scores is held.
struct Block {
  const int32_t* keys;
  const uint16_t* bits;
  int64_t count;

  Block(const Union& tile, int64_t begin)
      : keys(tile.keys.data() + begin), bits(tile.bits.data() + begin),
        count(std::min(kBlock, static_cast<int64_t>(tile.keys.size()) - begin)) {}
};

template <int Rows, bool HasBias>
KGT_INLINE void score_rows(const float* queries, const Head& head, const BiasLanes& bias,
                           const int32_t* keys, const uint16_t* bits, Lanes& largest, float* out) {
  Lanes sum[Rows];
  multiply_rows<Rows>(queries, head.keys, head, keys, sum);
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    KGT_EACH_PART {
      Floats score = sum[r].part[p];
      if constexpr (HasBias) score += bias.look_up_part(keys[r], p);
      score = select(bits[r] >> (p * kLanes), score, splat(-kInfinity));
      largest.part[p] = maximum(score, largest.part[p]);
      store(out + r * kGroup + p * kLanes, score);
    }
  }
}

// out[u] = the scores of key u and all queries, minus infinity where they are not connected.
template <bool HasBias>
void score_block(const float* queries, const Head& head, const BiasLanes& bias, const Block& block,
                 Lanes& largest, float* out) {
  int64_t u = 0;
  for (; u + kRows <= block.count; u += kRows)
    score_rows<kRows, HasBias>(queries, head, bias, block.keys + u, block.bits + u, largest,
                               out + u * kGroup);
  for (; u < block.count; ++u)
    score_rows<1, HasBias>(queries, head, bias, block.keys + u, block.bits + u, largest,
                           out + u * kGroup);
}

// Of weights and the products of values with the gradient of the output, the scores' gradients.
template <int Rows>
KGT_INLINE void grad_score_rows(const float* grad_out, const Head& head, const int32_t* keys,
                                const Lanes& delta, const float* weights, float* out) {
  Lanes sum[Rows];
  multiply_rows<Rows>(grad_out, head.values, head, keys, sum);
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
    KGT_EACH_PART {
      const int at = r * kGroup + p * kLanes;
      store(out + at, load(weights + at) * (sum[r].part[p] - delta.part[p]));
    }
}

void grad_score_block(const float* grad_out, const Head& head, const Block& block,
                      const Lanes& delta, const float* weights, float* out) {
  int64_t u = 0;
  for (; u + kRows <= block.count; u += kRows)
    grad_score_rows<kRows>(grad_out, head, block.keys + u, delta, weights + u * kGroup,
                           out + u * kGroup);
  for (; u < block.count; ++u)
    grad_score_rows<1>(grad_out, head, block.keys + u, delta, weights + u * kGroup,
                       out + u * kGroup);
}

// weights = 2^(scores - shift); returns their sums.
Lanes exponentiate(int64_t count, const Lanes& shift, float* scores) {
  Lanes sum = {};
  for (int64_t u = 0; u < count; ++u) KGT_EACH_PART {
      float* at = scores + u * kGroup + p * kLanes;
      const Floats weight = exp2_nonpositive(load(at) - shift.part[p]);
      sum.part[p] += weight;
      store(at, weight);
    }
  return sum;
}

// out[c] += the sum over u of weights[u] * rows[keys[u]][c], for Columns dimensions
template <int Columns>
KGT_INLINE void mix_columns(const float* weights, const float* rows, int64_t stride,
                            const Block& block, float* out) {
  Lanes sum[Columns];
#pragma GCC unroll 16
  for (int c = 0; c < Columns; ++c) sum[c] = load_lanes(out + c * kGroup);
  for (int64_t u = 0; u < block.count; ++u) {
    const Lanes lanes = load_lanes(weights + u * kGroup);
    const float* row = rows + block.keys[u] * stride;
#pragma GCC unroll 16
    for (int c = 0; c < Columns; ++c) add_product(sum[c], lanes, row[c]);
  }
#pragma GCC unroll 16
  for (int c = 0; c < Columns; ++c) store_lanes(out + c * kGroup, sum[c]);
}

void mix_block(const float* weights, const float* rows, const Head& head, const Block& block,
               float* out) {
  int64_t d = 0;
  for (; d + kRows <= head.dims; d += kRows)
    mix_columns<kRows>(weights, rows + d, head.stride, block, out + d * kGroup);
  for (; d + 2 <= head.dims; d += 2)
    mix_columns<2>(weights, rows + d, head.stride, block, out + d * kGroup);
  if (d < head.dims) mix_columns<1>(weights, rows + d, head.stride, block, out + d * kGroup);
}

// sums[key] += the sum over queries of weights[key][query] * rows[query], for R keys and Registers
// registers of a row
template <int R, int Registers>
KGT_INLINE void scatter_keys(const float* weights, const float* rows, int64_t stride,
                             const int32_t* keys, float* sums) {
  Floats sum[R][Registers];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int c = 0; c < Registers; ++c) sum[r][c] = load(sums + keys[r] * stride + c * kLanes);
  for (int i = 0; i < kGroup; ++i) {
    Floats row[Registers];
#pragma GCC unroll 2
    for (int c = 0; c < Registers; ++c) row[c] = load(rows + i * stride + c * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int c = 0; c < Registers; ++c) sum[r][c] += row[c] * weights[r * kGroup + i];
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int c = 0; c < Registers; ++c) store(sums + keys[r] * stride + c * kLanes, sum[r][c]);
}

template <int R, int Registers>
void scatter_registers(const float* weights, const float* rows, int64_t stride, const Block& block,
                       float* sums) {
  int64_t u = 0;
  for (; u + R <= block.count; u += R)
    scatter_keys<R, Registers>(weights + u * kGroup, rows, stride, block.keys + u, sums);
  for (; u < block.count; ++u)
    scatter_keys<1, Registers>(weights + u * kGroup, rows, stride, block.keys + u, sums);
}

void scatter_block(const float* weights, const float* rows, int64_t stride, const Block& block,
                   float* sums) {
  int64_t d = 0;
  for (; d + 2 * kLanes <= stride; d += 2 * kLanes)
    scatter_registers<6, 2>(weights, rows + d, stride, block, sums + d);
  if (d < stride) scatter_registers<12, 1>(weights, rows + d, stride, block, sums + d);
}

// Adds the gradients of the scores to the gradient of the table.
void add_bias_gradient(const Bias& bias, const Group& group, const Block& block,
                       const float* grad_scores, float* grad) {
  for (int64_t u = 0; u < block.count; ++u) {
    float* to = grad - bias.place(block.keys[u]);
    for (uint32_t left = block.bits[u]; left; left &= left - 1) {
      const int i = __builtin_ctz(left);
      to[bias.from(group.query[i])] += grad_scores[u * kGroup + i];
    }
  }
}

// Rows [kGroup][stride] to lanes [dims][kGroup], and back.
void to_lanes(const float* rows, const Head& head, float* lanes) {
  for (int64_t d = 0; d < head.dims; ++d)
    for (int i = 0; i < kGroup; ++i) lanes[d * kGroup + i] = rows[i * head.stride + d];
}

void to_rows(const float* lanes, const Head& head, float* rows) {
  for (int i = 0; i < kGroup; ++i)
    for (int64_t d = 0; d < head.dims; ++d) rows[i * head.stride + d] = lanes[d * kGroup + i];
}

// A query without any edge so far has no largest score; zero keeps its weights at 2^-inf = 0.
Lanes finite_shift(Lanes largest) {
  KGT_EACH_PART largest.part[p] = largest.part[p] > -kInfinity ? largest.part[p] : Floats{};
  return largest;
}

template <bool HasBias>
void forward(const Head& head, const Group& group, const Union& tile, const Forward& io,
             float* scratch) {
  float* queries = scratch;
  float* out = queries + head.dims * kGroup;
  float* scores = out + head.dims * kGroup;
  to_lanes(io.queries, head, queries);
  std::fill(out, out + head.dims * kGroup, 0.0f);
  const BiasLanes bias(head.bias, group.query);
  Lanes largest = splat_lanes(-kInfinity), sum = {};
  const int64_t total = static_cast<int64_t>(tile.keys.size());
  for (int64_t begin = 0; begin < total; begin += kBlock) {
    const Block block(tile, begin);
    Lanes larger = largest;
    score_block<HasBias>(queries, head, bias, block, larger, scores);
    const Lanes shift = finite_shift(larger);
    if (begin) {
      Lanes decay;
      KGT_EACH_PART {
        decay.part[p] = exp2_nonpositive(largest.part[p] - shift.part[p]);
        sum.part[p] *= decay.part[p];
      }
      for (int64_t d = 0; d < head.dims; ++d) KGT_EACH_PART {
          float* at = out + d * kGroup + p * kLanes;
          store(at, load(at) * decay.part[p]);
        }
    }
    largest = larger;
    const Lanes added = exponentiate(block.count, shift, scores);
    KGT_EACH_PART sum.part[p] += added.part[p];
    mix_block(scores, head.values, head, block, out);
  }
  float sums[kGroup], tops[kGroup];
  store_lanes(sums, sum);
  store_lanes(tops, largest);
  for (int i = 0; i < group.count; ++i) io.logsumexp[i] = tops[i] + std::log2(sums[i]);
  for (int64_t d = 0; d < head.dims; ++d) KGT_EACH_PART {
      float* at = out + d * kGroup + p * kLanes;
      store(at, load(at) / sum.part[p]);
    }
  to_rows(out, head, io.out);
}

template <bool HasBias>
void backward(const Head& head, const Group& group, const Union& tile, const Backward& io,
              float* scratch) {
  float* queries = scratch;
  float* grad_out = queries + head.dims * kGroup;
  float* grad_queries = grad_out + head.dims * kGroup;
  float* weights = grad_queries + head.dims * kGroup;
  float* grads = weights + kBlock * kGroup;
  to_lanes(io.queries, head, queries);
  to_lanes(io.grad_out, head, grad_out);
  std::fill(grad_queries, grad_queries + head.dims * kGroup, 0.0f);
  const BiasLanes bias(head.bias, group.query);
  const Lanes logsumexp = load_lanes(io.logsumexp), delta = load_lanes(io.delta);
  for (int64_t begin = 0; begin < static_cast<int64_t>(tile.keys.size()); begin += kBlock) {
    const Block block(tile, begin);
    Lanes largest = splat_lanes(-kInfinity);
    score_block<HasBias>(queries, head, bias, block, largest, weights);
    exponentiate(block.count, logsumexp, weights);
    grad_score_block(grad_out, head, block, delta, weights, grads);
    mix_block(grads, head.keys, head, block, grad_queries);
    scatter_block(weights, io.grad_out, head.stride, block, io.grad_values);
    scatter_block(grads, io.queries, head.stride, block, io.grad_keys);
    if (io.grad_bias) add_bias_gradient(head.bias, group, block, grads, io.grad_bias);
  }
  to_rows(grad_queries, head, io.grad_queries);
}

}  // namespace

int64_t tile_scratch(int64_t dims) { return kGroup * (3 * dims + 2 * kBlock); }

void tile_forward(const Head& head, const Group& group, const Union& tile, const Forward& io,
                  float* scratch) {
  if (head.bias.table)
    forward<true>(head, group, tile, io, scratch);
  else
    forward<false>(head, group, tile, io, scratch);
}

void tile_backward(const Head& head, const Group& group, const Union& tile, const Backward& io,
                   float* scratch) {
  if (head.bias.table)
    backward<true>(head, group, tile, io, scratch);
  else
    backward<false>(head, group, tile, io, scratch);
}

}  // namespace kgt
