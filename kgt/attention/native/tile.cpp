// Attention of sixteen queries at once, one in each lane, over the union of their keys.
//
// Both products are register-blocked like a dense one, and a key's row is read once for all
// queries; bits tell which pairs are edges.
#include <algorithm>

#include "lanes.h"

namespace kgt {
namespace {

// Rows whose sums the registers hold beside the operands of a step: 16 of 32, or 12 of 16.
constexpr int kRows = kLanes == 16 ? 16 : 12 / kParts;
constexpr int64_t kBlock = 96;  // keys whose scores are held at a time: 6 KiB
static_assert(kUnionPadding % kRows == 0 && kBlock % kRows == 0);

constexpr int64_t kLine = 16;  // floats in a cache line

// The union's keys begin .. begin + count, of which a block of scores is held.
struct Block {
  const Edges* edges;
  int64_t count, padded;  // padded: a multiple of kRows; what stands beyond count has no bits

  Block(const Union& tile, int64_t begin)
      : edges(tile.edges + begin), count(std::min(kBlock, tile.count - begin)),
        padded((count + kRows - 1) / kRows * kRows) {}
};

// The rows of a block's keys side by side, so that a step addresses all of its rows from one. The
// rows of `later`, which are next, are fetched meanwhile: their addresses follow no pattern.
KGT_INLINE void copy_rows(const float* rows, const float* later, int64_t stride, const Block& block,
                          float* to) {
  for (int64_t u = 0; u < block.padded; ++u) {
    const int64_t at = block.edges[u].key * stride;
    for (int64_t d = 0; d < stride; d += kLanes) store(to + u * stride + d, load(rows + at + d));
    for (int64_t d = 0; d < stride; d += kLine) __builtin_prefetch(later + at + d);
  }
}

// Products of kRows rows with the lanes [dims][kGroup] of all queries. Stride is the rows' where
// the compiler must know it to find registers for their addresses, else 0.
template <int Stride>
KGT_INLINE void multiply_rows(const float* lanes_of, const float* rows, const Head& head,
                              Lanes (&sum)[kRows]) {
  const int64_t stride = Stride ? Stride : head.stride;
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) sum[r] = {};
  for (int64_t d = 0; d < head.dims; ++d) {
    const Lanes lanes = load_lanes(lanes_of + d * kGroup);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) add_product(sum[r], lanes, rows[r * stride + d]);
  }
}

// Calls run.template operator()<Stride>().
template <typename Run>
KGT_INLINE void with_stride(int64_t stride, const Run& run) {
  if constexpr (kLanes < 16)
    run.template operator()<0>();
  else if (stride == 16)
    run.template operator()<16>();
  else if (stride == 32)
    run.template operator()<32>();
  else if (stride == 48)
    run.template operator()<48>();
  else
    run.template operator()<64>();
}

// out[u] = the scores of key u and all queries, minus infinity where they are not connected.
template <BiasKind Kind>
void score_block(const float* queries, const float* rows, const Head& head,
                 const BiasLanes<Kind>& bias, const Block& block, Lanes& largest, float* out) {
  with_stride(head.stride, [&]<int Stride>() {
    Lanes top = largest;
    for (int64_t u = 0; u < block.padded; u += kRows) {
      Lanes sum[kRows];
      multiply_rows<Stride>(queries, rows + u * head.stride, head, sum);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) KGT_EACH_PART {
          Floats score = sum[r].part[p];
          if constexpr (Kind != BiasKind::kNone) score += bias.part(block.edges[u + r].key, p);
          score = select(block.edges[u + r].bits >> (p * kLanes), score, splat(-kInfinity));
          top.part[p] = maximum(score, top.part[p]);
          store(out + (u + r) * kGroup + p * kLanes, score);
        }
    }
    largest = top;
  });
}

// Of weights and the products of values with the gradient of the output, the scores' gradients.
void grad_score_block(const float* grad_out, const float* rows, const Head& head,
                      const Block& block, const Lanes& delta, const float* weights, float* out) {
  with_stride(head.stride, [&]<int Stride>() {
    for (int64_t u = 0; u < block.padded; u += kRows) {
      Lanes sum[kRows];
      multiply_rows<Stride>(grad_out, rows + u * head.stride, head, sum);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) KGT_EACH_PART {
          const int64_t at = (u + r) * kGroup + p * kLanes;
          store(out + at, load(weights + at) * (sum[r].part[p] - delta.part[p]));
        }
    }
  });
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
#pragma GCC unroll 32
  for (int c = 0; c < Columns; ++c) sum[c] = load_lanes(out + c * kGroup);
  for (int64_t u = 0; u < block.count; ++u) {
    const Lanes lanes = load_lanes(weights + u * kGroup);
    const float* row = rows + block.edges[u].key * stride;
    asm("" : "+r"(row));  // else the compiler keeps Columns addresses instead of one
#pragma GCC unroll 16
    for (int c = 0; c < Columns; ++c) add_product(sum[c], lanes, row[c]);
  }
#pragma GCC unroll 32
  for (int c = 0; c < Columns; ++c) store_lanes(out + c * kGroup, sum[c]);
}

void mix_block(const float* weights, const float* rows, const Head& head, const Block& block,
               float* out) {
  int64_t d = 0;
  for (; d + kRows <= head.dims; d += kRows)
    mix_columns<kRows>(weights, rows + d, head.stride, block, out + d * kGroup);
  if constexpr (kRows == 16) {
    // Rows are zero beyond the head's dimensions, up to the stride.
    const int64_t left = head.dims - d;
    if (left > 8)
      mix_columns<16>(weights, rows + d, head.stride, block, out + d * kGroup);
    else if (left > 0)
      mix_columns<8>(weights, rows + d, head.stride, block, out + d * kGroup);
  } else {
    for (; d + 2 <= head.dims; d += 2)
      mix_columns<2>(weights, rows + d, head.stride, block, out + d * kGroup);
    if (d < head.dims) mix_columns<1>(weights, rows + d, head.stride, block, out + d * kGroup);
  }
}

// sums[key] += the sum over queries of weights[key][query] * rows[query], for R keys and Registers
// registers of a row
template <int R, int Registers>
KGT_INLINE void scatter_keys(const float* weights, const float* rows, int64_t stride,
                             const Edges* edges, float* sums) {
  Floats sum[R][Registers];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int c = 0; c < Registers; ++c) sum[r][c] = load(sums + edges[r].key * stride + c * kLanes);
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
    for (int c = 0; c < Registers; ++c) store(sums + edges[r].key * stride + c * kLanes, sum[r][c]);
}

template <int R, int Registers>
void scatter_registers(const float* weights, const float* rows, int64_t stride, const Block& block,
                       float* sums) {
  int64_t u = 0;
  for (; u + R <= block.count; u += R)
    scatter_keys<R, Registers>(weights + u * kGroup, rows, stride, block.edges + u, sums);
  for (; u < block.count; ++u)
    scatter_keys<1, Registers>(weights + u * kGroup, rows, stride, block.edges + u, sums);
}

void scatter_block(const float* weights, const float* rows, int64_t stride, const Block& block,
                   float* sums) {
  int64_t d = 0;
  for (; d + 2 * kLanes <= stride; d += 2 * kLanes)
    scatter_registers<6, 2>(weights, rows + d, stride, block, sums + d);
  if (d < stride) scatter_registers<12, 1>(weights, rows + d, stride, block, sums + d);
}

// sums[key] += the sum over queries of pairs[key][query] times rows[query], pair by pair, for R keys
template <int R>
KGT_INLINE void scatter_key_pairs(const float* pairs, const float* rows, const Edges* edges,
                                  float* sums) {
  Floats sum[R];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) sum[r] = load(sums + edges[r].key * kLanes);
  for (int i = 0; i < kGroup; ++i) {
    const Floats row = load(rows + i * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) sum[r] += row * splat_pair(pairs + 2 * (r * kGroup + i));
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) store(sums + edges[r].key * kLanes, sum[r]);
}

// The gradients of values and keys at once, of rows that a register holds two of.
void scatter_pairs(const float* weights, const float* grads, const Backward& io, int64_t stride,
                   const Block& block, float* scratch) {
  float* rows = scratch;
  float* pairs = rows + kGroup * kLanes;
  Floats low, high;
  for (int i = 0; i < kGroup; ++i) {
    interleave(load(io.grad_out + i * stride), load(io.queries + i * stride), low, high);
    store(rows + i * kLanes, low);
  }
  for (int64_t at = 0; at < block.count * kGroup; at += kLanes) {
    interleave(load(weights + at), load(grads + at), low, high);
    store(pairs + 2 * at, low);
    store(pairs + 2 * at + kLanes, high);
  }
  constexpr int kKeys = 12;
  int64_t u = 0;
  for (; u + kKeys <= block.count; u += kKeys)
    scatter_key_pairs<kKeys>(pairs + 2 * u * kGroup, rows, block.edges + u, io.grad_pairs);
  for (; u < block.count; ++u)
    scatter_key_pairs<1>(pairs + 2 * u * kGroup, rows, block.edges + u, io.grad_pairs);
}

// to[0..4] += from[0..4]
KGT_INLINE void add_quad(const float* from, float* to) {
  typedef float Quad __attribute__((vector_size(16)));
  Quad sum, added;
  std::memcpy(&sum, to, sizeof sum);
  std::memcpy(&added, from, sizeof added);
  sum += added;
  std::memcpy(to, &sum, sizeof sum);
}

// Adds the gradients of the scores, which are zero where there is no edge, to that of the table.
template <BiasKind Kind>
void add_bias_gradient(const Bias& bias, const Group& group, const Block& block,
                       const float* grad_scores, const BiasGradient& grad) {
  for (int64_t u = 0; u < block.count; ++u) {
    const int32_t key = block.edges[u].key;
    float* to = grad.tables - bias.place(key);
    if constexpr (Kind == BiasKind::kBlock) {
      const int64_t part = key % BiasGradient::kParts;
      to += bias.from(group.query[0]) + part * (bias.size() + 1);
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) add_quad(grad_scores + u * kGroup + 4 * q, to + q * bias.pitch());
    } else {
      for (uint32_t left = block.edges[u].bits; left; left &= left - 1) {
        const int i = __builtin_ctz(left);
        to[bias.from(group.query[i])] += grad_scores[u * kGroup + i];
      }
    }
  }
}

// Rows [kGroup][stride] to lanes [stride][kGroup], and back.
void to_lanes(const float* rows, int64_t stride, float* lanes) {
  for (int64_t d = 0; d < stride; d += kLanes)
    KGT_EACH_PART transpose(rows + p * kLanes * stride + d, stride, lanes + d * kGroup + p * kLanes,
                            kGroup);
}

void to_rows(const float* lanes, int64_t stride, float* rows) {
  for (int64_t d = 0; d < stride; d += kLanes)
    KGT_EACH_PART transpose(lanes + d * kGroup + p * kLanes, kGroup, rows + p * kLanes * stride + d,
                            stride);
}

template <BiasKind Kind>
void forward(const Head& head, const Group& group, const Union& tile, const Forward& io,
             float* scratch) {
  const int64_t size = head.stride * kGroup;
  float* queries = scratch;
  float* out = queries + size;
  float* scores = out + size;
  float* rows = scores + kBlock * kGroup;
  to_lanes(io.queries, head.stride, queries);
  std::fill(out, out + size, 0.0f);
  const BiasLanes<Kind> bias(head.bias, group.query);
  Lanes largest = splat_lanes(-kInfinity), sum = {};
  for (int64_t begin = 0; begin < tile.count; begin += kBlock) {
    const Block block(tile, begin);
    Lanes larger = largest;
    copy_rows(head.keys, head.values, head.stride, block, rows);
    score_block<Kind>(queries, rows, head, bias, block, larger, scores);
    const Lanes shift = finite_shift(larger);
    if (begin) {
      Lanes decay;
      KGT_EACH_PART {
        decay.part[p] = exp2_nonpositive(largest.part[p] - shift.part[p]);
        sum.part[p] *= decay.part[p];
      }
      for (int64_t at = 0; at < size; at += kGroup) KGT_EACH_PART {
          float* to = out + at + p * kLanes;
          store(to, load(to) * decay.part[p]);
        }
    }
    largest = larger;
    const Lanes added = exponentiate(block.count, shift, scores);
    KGT_EACH_PART sum.part[p] += added.part[p];
    mix_block(scores, head.values, head, block, out);
  }
  KGT_EACH_PART store(io.logsumexp + p * kLanes, largest.part[p] + log2_positive(sum.part[p]));
  Lanes inverse;
  KGT_EACH_PART inverse.part[p] = 1.0f / sum.part[p];
  for (int64_t at = 0; at < size; at += kGroup) KGT_EACH_PART {
      float* to = out + at + p * kLanes;
      store(to, load(to) * inverse.part[p]);
    }
  to_rows(out, head.stride, io.out);
}

template <BiasKind Kind>
void backward(const Head& head, const Group& group, const Union& tile, const Backward& io,
              float* scratch) {
  const int64_t size = head.stride * kGroup;
  float* queries = scratch;
  float* grad_out = queries + size;
  float* grad_queries = grad_out + size;
  float* weights = grad_queries + size;
  float* grads = weights + kBlock * kGroup;
  float* rows = grads + kBlock * kGroup;
  float* pairs = rows + kBlock * head.stride;
  to_lanes(io.queries, head.stride, queries);
  to_lanes(io.grad_out, head.stride, grad_out);
  std::fill(grad_queries, grad_queries + size, 0.0f);
  const BiasLanes<Kind> bias(head.bias, group.query);
  const Lanes logsumexp = load_lanes(io.logsumexp), delta = load_lanes(io.delta);
  for (int64_t begin = 0; begin < tile.count; begin += kBlock) {
    const Block block(tile, begin);
    Lanes largest = splat_lanes(-kInfinity);
    copy_rows(head.keys, head.values, head.stride, block, rows);
    score_block<Kind>(queries, rows, head, bias, block, largest, weights);
    exponentiate(block.padded, logsumexp, weights);
    copy_rows(head.values, head.keys, head.stride, block, rows);
    grad_score_block(grad_out, rows, head, block, delta, weights, grads);
    mix_block(grads, head.keys, head, block, grad_queries);
    if (io.grad_pairs) {
      scatter_pairs(weights, grads, io, head.stride, block, pairs);
    } else {
      scatter_block(weights, io.grad_out, head.stride, block, io.grad_values);
      scatter_block(grads, io.queries, head.stride, block, io.grad_keys);
    }
    if constexpr (Kind != BiasKind::kNone)
      if (io.grad_bias.tables)
        add_bias_gradient<Kind>(head.bias, group, block, grads, io.grad_bias);
  }
  to_rows(grad_queries, head.stride, io.grad_queries);
}

}  // namespace

int64_t tile_scratch(int64_t stride) {
  return kGroup * (3 * stride + 2 * kBlock) + kBlock * stride + kGroup * (kLanes + 2 * kBlock);
}

void tile_forward(const Head& head, const Group& group, const Union& tile, const Forward& io,
                  float* scratch) {
  with_bias_kind(head.bias, group,
                 [&]<BiasKind Kind>() { forward<Kind>(head, group, tile, io, scratch); });
}

void tile_backward(const Head& head, const Group& group, const Union& tile, const Backward& io,
                   float* scratch) {
  with_bias_kind(head.bias, group,
                 [&]<BiasKind Kind>() { backward<Kind>(head, group, tile, io, scratch); });
}

}  // namespace kgt
