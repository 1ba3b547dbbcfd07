// Attention query by query: the rows of a query's keys are read where they lie.
//
// Scores of kLanes keys are summed over the dimensions side by side and then folded into one
// register, so no sum crosses lanes on its own. All queries of a group pass over the keys before
// any passes over the values: neighboring queries share keys, and half the rows fit in a cache
// that would not hold both.
#include <algorithm>
#include <bit>

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

// The keys of a query, and where their rows begin, counted in floats: 32 bits that a load extends,
// so that no address is computed. The offsets are padded to a full register with zeros.
struct Keys {
  const int32_t* numbers;
  const uint32_t* offsets;
  int64_t count;

  // A register of numbers; there may be no more to read than `count`.
  KGT_INLINE Ints numbers_from(int64_t j) const {
    if (count - j >= kLanes) return load(numbers + j);
    Ints last{};
    for (int i = 0; i < count - j; ++i) last[i] = numbers[j + i];
    return last;
  }
};

// Of all queries of a group; the offsets stand in scratch memory.
class GroupKeys {
 public:
  GroupKeys(const KeyRows& rows, int count, int64_t slots, int64_t stride, float* scratch)
      : rows_(rows), slots_(slots), offsets_(reinterpret_cast<uint32_t*>(scratch)) {
    for (int i = 0; i < count; ++i)
      for (int64_t j = 0; j < rows.degree[i]; j += kLanes) {
        const Ints offset = of(i).numbers_from(j) * static_cast<int32_t>(stride);
        std::memcpy(offsets_ + i * slots + j, &offset, sizeof offset);
      }
  }

  Keys of(int i) const { return {rows_.keys[i], offsets_ + i * slots_, rows_.degree[i]}; }

 private:
  const KeyRows& rows_;
  int64_t slots_;
  uint32_t* offsets_;
};

// Lane i: query . row at offsets[i]
template <int R>
KGT_INLINE Floats products(const Row<R>& query, const float* rows, const uint32_t* offsets) {
  return fold_registers([&](int i) { return query.times(rows + offsets[i]); }, add);
}

// out[j] = query . row at offsets[j], up to a full register.
template <int R>
KGT_INLINE void dot_rows(const Row<R>& query, const float* rows, const uint32_t* offsets,
                         int64_t count, float* out) {
  for (int64_t j = 0; j < count; j += kLanes) store(out + j, products(query, rows, offsets + j));
}

// The scores of one query, minus infinity beyond the last up to a full register; returns the
// largest lane by lane.
template <int R, bool HasBias>
KGT_INLINE Floats score_rows(const Row<R>& query, const Head& head, int32_t number,
                             const Keys& keys, float* out) {
  [[maybe_unused]] const int32_t from = HasBias ? head.bias.from(number) : 0;
  Floats top = splat(-kInfinity);
  for (int64_t j = 0; j < keys.count; j += kLanes) {
    Floats scores = products(query, head.keys, keys.offsets + j);
    if constexpr (HasBias)
      scores += look_up(head.bias.table, from - head.bias.place(keys.numbers_from(j)));
    if (keys.count - j < kLanes)
      scores = select((1u << (keys.count - j)) - 1, scores, splat(-kInfinity));
    top = maximum(scores, top);
    store(out + j, scores);
  }
  return top;
}

// The sum over j of weights[j] * row at offsets[j], in several chains: an addition takes cycles.
template <int R>
KGT_INLINE Row<R> mix_rows(const float* weights, const float* rows, const uint32_t* offsets,
                           int64_t count) {
  // Additions in flight: two a cycle, four cycles each; more than that where registers allow.
  constexpr int kRegisters = kLanes == 16 ? 16 : 8;
  constexpr int kChains = R >= kRegisters ? 1 : std::bit_floor<unsigned>(kRegisters / R);
  Row<R> sum[kChains] = {};
  int64_t j = 0;
  for (; j + kChains <= count; j += kChains)
#pragma GCC unroll 8
    for (int c = 0; c < kChains; ++c) sum[c].add(weights[j + c], rows + offsets[j + c]);
  for (; j < count; ++j) sum[0].add(weights[j], rows + offsets[j]);
#pragma GCC unroll 8
  for (int c = 1; c < kChains; ++c) sum[0].add(sum[c]);
  return sum[0];
}

// row at offsets[j] += weights[j] * row
template <int R>
KGT_INLINE void scatter_row(const Row<R>& row, const float* weights, const uint32_t* offsets,
                            int64_t count, float* rows) {
  for (int64_t j = 0; j < count; ++j) {
    float* to = rows + offsets[j];
    Row<R> sum = Row<R>::read(to);
    const Floats weight = splat(weights[j]);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) sum.part[r] += weight * row.part[r];
    sum.write(to);
  }
}

// Lane by lane, the largest score of each query and the sum of its weights: [kGroup][kLanes].
struct LaneTotals {
  alignas(64) float of[kGroup * kLanes];

  // What `combine` makes of the lanes of each query, to [kGroup].
  template <typename Combine>
  KGT_INLINE void fold_to(float* to, const Combine& combine) const {
    for (int i = 0; i < kGroup; i += kLanes)
      store(to + i, fold_registers([&](int r) { return load(of + (i + r) * kLanes); }, combine));
  }
};

// scores = 2^(scores - shift) of all queries, [kGroup][slots]; their sums lane by lane.
KGT_INLINE void exponentiate(float* scores, int64_t slots, const KeyRows& rows, int count,
                             const float* shift, LaneTotals& sums) {
  for (int i = 0; i < count; ++i) {
    Floats sum{};
    for (int64_t j = i * slots; j < i * slots + rows.degree[i]; j += kLanes) {
      const Floats weight = exp2_nonpositive(load(scores + j) - shift[i]);
      sum += weight;
      store(scores + j, weight);
    }
    store(sums.of + i * kLanes, sum);
  }
}

template <int R, bool HasBias>
void forward(const Head& head, const Group& group, const KeyRows& rows, const Forward& io,
             float* scratch) {
  const int64_t slots = padded(*std::max_element(rows.degree, rows.degree + group.count));
  const GroupKeys keys(rows, group.count, slots, head.stride, scratch + kGroup * slots);
  LaneTotals totals{};
  for (int i = 0; i < group.count; ++i) {
    const auto query = Row<R>::read(io.queries + i * head.stride);
    const Floats top =
        score_rows<R, HasBias>(query, head, group.query[i], keys.of(i), scratch + i * slots);
    store(totals.of + i * kLanes, top);
  }
  alignas(64) float tops[kGroup], sums[kGroup];
  totals.fold_to(tops, maximum);
  exponentiate(scratch, slots, rows, group.count, tops, totals);
  totals.fold_to(sums, add);
  for (int i = 0; i < kGroup; i += kLanes)
    store(io.logsumexp + i, load(tops + i) + log2_positive(load(sums + i)));
  for (int i = 0; i < group.count; ++i) {
    const Keys of = keys.of(i);
    auto out = mix_rows<R>(scratch + i * slots, head.values, of.offsets, of.count);
    out.scale(1.0f / sums[i]);
    out.write(io.out + i * head.stride);
  }
}

template <int R, bool HasBias>
void backward(const Head& head, const Group& group, const KeyRows& rows, const Backward& io,
              float* scratch) {
  const int64_t slots = padded(*std::max_element(rows.degree, rows.degree + group.count));
  const GroupKeys keys(rows, group.count, slots, head.stride, scratch + kGroup * slots);
  float* products = scratch + 2 * kGroup * slots;
  for (int i = 0; i < group.count; ++i) {
    const auto query = Row<R>::read(io.queries + i * head.stride);
    score_rows<R, HasBias>(query, head, group.query[i], keys.of(i), scratch + i * slots);
  }
  LaneTotals unused;
  exponentiate(scratch, slots, rows, group.count, io.logsumexp, unused);
  for (int i = 0; i < group.count; ++i) {
    float* weights = scratch + i * slots;
    const Keys of = keys.of(i);
    const auto grad_out = Row<R>::read(io.grad_out + i * head.stride);
    scatter_row(grad_out, weights, of.offsets, of.count, io.grad_values);
    dot_rows(grad_out, head.values, of.offsets, of.count, products);
    for (int64_t j = 0; j < of.count; j += kLanes)
      store(weights + j, load(weights + j) * (load(products + j) - io.delta[i]));
  }
  for (int i = 0; i < group.count; ++i) {
    const float* grads = scratch + i * slots;
    const Keys of = keys.of(i);
    const auto query = Row<R>::read(io.queries + i * head.stride);
    scatter_row(query, grads, of.offsets, of.count, io.grad_keys);
    mix_rows<R>(grads, head.keys, of.offsets, of.count).write(io.grad_queries + i * head.stride);
    if (HasBias && io.grad_bias.tables) {
      float* to = io.grad_bias.tables + head.bias.from(group.query[i]);
      for (int64_t j = 0; j < of.count; ++j) to[-head.bias.place(of.numbers[j])] += grads[j];
    }
  }
}

// Calls run.template operator()<R>() for rows of R registers.
template <int R = 1, typename Run>
void with_row_length(int64_t stride, const Run& run) {
  if (stride == R * kLanes)
    run.template operator()<R>();
  else if constexpr (R * kLanes < 64)
    with_row_length<R + 1>(stride, run);
}

}  // namespace

int64_t gather_scratch(int64_t degree) { return (2 * kGroup + 1) * padded(degree); }

void gather_forward(const Head& head, const Group& group, const KeyRows& rows, const Forward& io,
                    float* scratch) {
  with_row_length(head.stride, [&]<int R>() {
    const auto run = head.bias.table ? forward<R, true> : forward<R, false>;
    run(head, group, rows, io, scratch);
  });
}

void gather_backward(const Head& head, const Group& group, const KeyRows& rows, const Backward& io,
                     float* scratch) {
  with_row_length(head.stride, [&]<int R>() {
    const auto run = head.bias.table ? backward<R, true> : backward<R, false>;
    run(head, group, rows, io, scratch);
  });
}

}  // namespace kgt
