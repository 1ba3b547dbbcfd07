// One float of each query of a group, side by side in registers, and the position bias so.
#pragma once

#include "kernels.h"

namespace kgt {

constexpr int kParts = kGroup / kLanes;  // registers for one float of each query

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

// The table's entries of one key and each query. Queries that are a block of 4 x 4 find theirs four
// side by side.
enum class BiasKind { kNone, kAny, kBlock };

inline BiasKind bias_kind(const Bias& bias, const Group& group) {
  if (!bias.table) return BiasKind::kNone;
  const bool block = group.count == kGroup && bias.side > 4 &&
                     group.query[3] == group.query[0] + 3 &&
                     group.query[15] == group.query[0] + 3 * bias.side + 3;
  return block ? BiasKind::kBlock : BiasKind::kAny;
}

// Calls run.template operator()<Kind>().
template <typename Run>
KGT_INLINE void with_bias_kind(const Bias& bias, const Group& group, const Run& run) {
  switch (bias_kind(bias, group)) {
    case BiasKind::kNone: return run.template operator()<BiasKind::kNone>();
    case BiasKind::kAny: return run.template operator()<BiasKind::kAny>();
    case BiasKind::kBlock: return run.template operator()<BiasKind::kBlock>();
  }
}

template <BiasKind Kind>
class BiasLanes {
 public:
  BiasLanes(const Bias& bias, const int32_t* query) : bias_(bias) {
    if constexpr (Kind == BiasKind::kBlock) first_ = bias.from(query[0]);
    if constexpr (Kind == BiasKind::kAny) KGT_EACH_PART {
        from_[p] = bias.place(load(query + p * kLanes)) + bias.from(0);
      }
  }

  KGT_INLINE Floats part(int32_t key, int p) const {
    const float* table = bias_.table - bias_.place(key);
    if constexpr (Kind == BiasKind::kBlock)
      return load_quads(table + first_ + p * (kLanes / 4) * bias_.pitch(), bias_.pitch());
    else
      return look_up(table, from_[p]);
  }

 private:
  const Bias& bias_;
  int32_t first_ = 0;
  Ints from_[kParts] = {};
};

// A query without any edge so far has no largest score; zero keeps its weights at 2^-inf = 0.
inline Lanes finite_shift(Lanes largest) {
  KGT_EACH_PART largest.part[p] = largest.part[p] > -kInfinity ? largest.part[p] : Floats{};
  return largest;
}

}  // namespace kgt
