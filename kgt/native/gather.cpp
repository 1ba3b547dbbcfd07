// Attention query by query: the rows of a query's keys are read where they lie.
//
// Scores of kLanes keys are summed over the dimensions side by side and then folded into one
// register, so no sum crosses lanes on its own. All queries of a group pass over the keys before
// any passes over the values: neighboring queries share keys, and half the rows fit in a cache
// that would not hold both.
#include <algorithm>

#include "kernels.h"

namespace kgt {
namespace {

int64_t padded(int64_t count) { return (count + kLanes - 1) / kLanes * kLanes; }

// kRegisters = registers in a row, so that the compiler keeps a query in registers.
template <int R>
struct Row {
  Floats part[R];

  static KGT_INLINE Row read(const float* from) {
    Row row;
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) row.part[r] = load(from + r * kLanes);
    return row;
  }

  KGT_INLINE void write(float* to) const {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) store(to + r * kLanes, part[r]);
  }

  // Partial sums of the product with the row at `other`.
  KGT_INLINE Floats times(const float* other) const {
    Floats sum = part[0] * load(other);
#pragma GCC unroll 16
    for (int r = 1; r < R; ++r) sum += part[r] * load(other + r * kLanes);
    return sum;
  }

  KGT_INLINE void add(float weight, const float* other) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) part[r] += weight * load(other + r * kLanes);
  }

  KGT_INLINE void add(const Row& other) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) part[r] += other.part[r];
  }

  KGT_INLINE void scale(float factor) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) part[r] *= factor;
  }
};

template <int R>
KGT_INLINE const float* row_of(const float* rows, int32_t key) {
  return rows + static_cast<int64_t>(key) * (R * kLanes);
}

// Lane i: query . rows[keys[i]], for 2^Step keys
template <int R, int Step>
KGT_INLINE Floats products(const Row<R>& query, const float* rows, const int32_t* keys) {
  if constexpr (Step == 0)
    return query.times(row_of<R>(rows, *keys));
  else
    return fold<Step>(products<R, Step - 1>(query, rows, keys),
                      products<R, Step - 1>(query, rows, keys + (1 << (Step - 1))));
}

// out[j] = query . rows[keys[j]]; what stands beyond `count` up to a full register is `beyond`.
template <int R>
KGT_INLINE void dot_rows(const Row<R>& query, const float* rows, const int32_t* keys, int64_t count,
                         float beyond, float* out) {
  int64_t j = 0;
  for (; j + kLanes <= count; j += kLanes)
    store(out + j, products<R, kFolds>(query, rows, keys + j));
  if (j == count) return;
  int32_t last[kLanes];
  for (int i = 0; i < kLanes; ++i) last[i] = keys[std::min<int64_t>(j + i, count - 1)];
  const Floats sums = products<R, kFolds>(query, rows, last);
  store(out + j, select((1u << (count - j)) - 1, sums, splat(beyond)));
}

// The sum over j of weights[j] * rows[keys[j]], in several chains, for an addition takes cycles.
template <int R>
KGT_INLINE Row<R> mix_rows(const float* weights, const float* rows, const int32_t* keys,
                           int64_t count) {
  constexpr int kChains = R >= 8 ? 1 : R >= 3 ? 2 : R == 2 ? 4 : 8;
  Row<R> sum[kChains] = {};
  int64_t j = 0;
  for (; j + kChains <= count; j += kChains)
#pragma GCC unroll 8
    for (int c = 0; c < kChains; ++c) sum[c].add(weights[j + c], row_of<R>(rows, keys[j + c]));
  for (; j < count; ++j) sum[0].add(weights[j], row_of<R>(rows, keys[j]));
#pragma GCC unroll 8
  for (int c = 1; c < kChains; ++c) sum[0].add(sum[c]);
  return sum[0];
}

// rows[keys[j]] += weights[j] * row
template <int R>
KGT_INLINE void scatter_row(const Row<R>& row, const float* weights, const int32_t* keys,
                            int64_t count, float* rows) {
  for (int64_t j = 0; j < count; ++j) {
    float* to = rows + static_cast<int64_t>(keys[j]) * (R * kLanes);
    Row<R> sum = Row<R>::read(to);
    const Floats weight = splat(weights[j]);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) sum.part[r] += weight * row.part[r];
    sum.write(to);
  }
}

// Adds the bias to the scores of one query. Scores are padded to a full register, keys are not.
void add_bias(const Bias& bias, int32_t query, const int32_t* keys, int64_t count, float* scores) {
  const int32_t from = bias.from(query);
  int64_t j = 0;
  for (; j + kLanes <= count; j += kLanes) {
    const Ints place = from - bias.place(load(keys + j));
    store(scores + j, load(scores + j) + look_up(bias.table, place));
  }
  for (; j < count; ++j) scores[j] += bias.table[from - bias.place(keys[j])];
}

// scores = 2^(scores - largest); returns their sum.
KGT_INLINE float exponentiate(float* scores, int64_t count, float largest) {
  Floats sum{};
  for (int64_t j = 0; j < count; j += kLanes) {
    const Floats weight = exp2_nonpositive(load(scores + j) - largest);
    sum += weight;
    store(scores + j, weight);
  }
  return sum_lanes(sum);
}

KGT_INLINE float largest_of(const float* scores, int64_t count) {
  Floats top = splat(-kInfinity);
  for (int64_t j = 0; j < count; j += kLanes) top = maximum(top, load(scores + j));
  return max_lanes(top);
}

template <int R>
void forward(const Head& head, const Group& group, const KeyRows& rows, const Forward& io,
             float* scratch) {
  const int64_t slots = padded(*std::max_element(rows.degree, rows.degree + group.count));
  alignas(64) float sums[kGroup], tops[kGroup];
  for (int i = 0; i < group.count; ++i) {
    float* scores = scratch + i * slots;
    const int64_t count = rows.degree[i];
    const auto query = Row<R>::read(io.queries + i * head.stride);
    dot_rows(query, head.keys, rows.keys[i], count, -kInfinity, scores);
    if (head.bias.table) add_bias(head.bias, group.query[i], rows.keys[i], count, scores);
    tops[i] = largest_of(scores, count);
    sums[i] = exponentiate(scores, count, tops[i]);
  }
  for (int i = 0; i < kGroup; i += kLanes)
    store(io.logsumexp + i, load(tops + i) + log2_positive(load(sums + i)));
  for (int i = 0; i < group.count; ++i) {
    auto out = mix_rows<R>(scratch + i * slots, head.values, rows.keys[i], rows.degree[i]);
    out.scale(1.0f / sums[i]);
    out.write(io.out + i * head.stride);
  }
}

template <int R>
void backward(const Head& head, const Group& group, const KeyRows& rows, const Backward& io,
              float* scratch) {
  const int64_t slots = padded(*std::max_element(rows.degree, rows.degree + group.count));
  float* products = scratch + kGroup * slots;
  for (int i = 0; i < group.count; ++i) {
    float* scores = scratch + i * slots;
    const int64_t count = rows.degree[i];
    const auto query = Row<R>::read(io.queries + i * head.stride);
    dot_rows(query, head.keys, rows.keys[i], count, -kInfinity, scores);
    if (head.bias.table) add_bias(head.bias, group.query[i], rows.keys[i], count, scores);
    exponentiate(scores, count, io.logsumexp[i]);
  }
  for (int i = 0; i < group.count; ++i) {
    float* weights = scratch + i * slots;
    const int32_t* keys = rows.keys[i];
    const int64_t count = rows.degree[i];
    const auto grad_out = Row<R>::read(io.grad_out + i * head.stride);
    scatter_row(grad_out, weights, keys, count, io.grad_values);
    dot_rows(grad_out, head.values, keys, count, 0.0f, products);
    for (int64_t j = 0; j < count; j += kLanes)
      store(weights + j, load(weights + j) * (load(products + j) - io.delta[i]));
  }
  for (int i = 0; i < group.count; ++i) {
    const float* grads = scratch + i * slots;
    const int32_t* keys = rows.keys[i];
    const int64_t count = rows.degree[i];
    scatter_row(Row<R>::read(io.queries + i * head.stride), grads, keys, count, io.grad_keys);
    mix_rows<R>(grads, head.keys, keys, count).write(io.grad_queries + i * head.stride);
    if (io.grad_bias) {
      const int32_t from = head.bias.from(group.query[i]);
      for (int64_t j = 0; j < count; ++j)
        io.grad_bias[from - head.bias.place(keys[j])] += grads[j];
    }
  }
}

// Calls Run<R> for rows of R registers.
template <template <int> class Run, int R = 1, typename... Arguments>
void for_row_length(int64_t stride, Arguments&&... arguments) {
  if (stride == R * kLanes)
    Run<R>::call(arguments...);
  else if constexpr (R * kLanes < 64)
    for_row_length<Run, R + 1>(stride, arguments...);
}

template <int R>
struct RunForward {
  static constexpr auto call = forward<R>;
};

template <int R>
struct RunBackward {
  static constexpr auto call = backward<R>;
};

}  // namespace

int64_t gather_scratch(int64_t degree) { return (kGroup + 1) * padded(degree); }

void gather_forward(const Head& head, const Group& group, const KeyRows& rows, const Forward& io,
                    float* scratch) {
  for_row_length<RunForward>(head.stride, head, group, rows, io, scratch);
}

void gather_backward(const Head& head, const Group& group, const KeyRows& rows, const Backward& io,
                     float* scratch) {
  for_row_length<RunBackward>(head.stride, head, group, rows, io, scratch);
}

}  // namespace kgt
