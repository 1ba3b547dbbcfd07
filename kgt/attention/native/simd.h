// A register of floats on whatever the machine has, and what attention needs of it.
//
// GCC's and clang's vector extensions mean the same on every instruction set; intrinsics stand only
// where one instruction does what the extensions need several for.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

// Floats in a register. Given on the command line it overrides the machine's own number, so that
// the code for wide registers can be tested where there are none.
#if defined(KGT_LANES)
#define KGT_EMULATED 1
#elif defined(__AVX512F__)
#define KGT_LANES 16
#elif defined(__AVX__)
#define KGT_LANES 8
#else
#define KGT_LANES 4
#endif

#define KGT_INLINE inline __attribute__((always_inline))

namespace kgt {

constexpr int kLanes = KGT_LANES;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

typedef float Floats __attribute__((vector_size(kLanes * 4)));
typedef int32_t Ints __attribute__((vector_size(kLanes * 4)));

KGT_INLINE Floats load(const float* from) {
  Floats out;
  std::memcpy(&out, from, sizeof out);
  return out;
}

KGT_INLINE Ints load(const int32_t* from) {
  Ints out;
  std::memcpy(&out, from, sizeof out);
  return out;
}

KGT_INLINE void store(float* to, Floats value) { std::memcpy(to, &value, sizeof value); }

KGT_INLINE Floats splat(float value) { return value - Floats{}; }

// The two floats at `from`, again and again.
KGT_INLINE Floats splat_pair(const float* from) {
  typedef int64_t Longs __attribute__((vector_size(kLanes * 4)));
  int64_t pair;
  std::memcpy(&pair, from, sizeof pair);
  return (Floats)(pair + Longs{});
}

KGT_INLINE Floats maximum(Floats a, Floats b) { return a > b ? a : b; }

// One step of combining the lanes of many registers at once: two registers become one that holds
// half as many partial results of each. After kFolds steps lane i is the result of register i.
constexpr int kFolds = kLanes == 16 ? 4 : kLanes == 8 ? 3 : 2;

template <int Step, typename Combine>
KGT_INLINE Floats fold(Floats a, Floats b, const Combine& combine) {
#if KGT_LANES == 16
  if constexpr (Step == 1)
    return combine(__builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28,
                                           13, 29),
                   __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30,
                                           15, 31));
  else if constexpr (Step == 2)
    return combine(__builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13,
                                           28, 29),
                   __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15,
                                           30, 31));
  else
    return combine(__builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25,
                                           26, 27),
                   __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29,
                                           30, 31));
#elif KGT_LANES == 8
  if constexpr (Step == 1)
    return combine(__builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13),
                   __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15));
  else if constexpr (Step == 2)
    return combine(__builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13),
                   __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15));
  else
    return combine(__builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11),
                   __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15));
#else
  if constexpr (Step == 1)
    return combine(__builtin_shufflevector(a, b, 0, 4, 1, 5),
                   __builtin_shufflevector(a, b, 2, 6, 3, 7));
  else
    return combine(__builtin_shufflevector(a, b, 0, 1, 4, 5),
                   __builtin_shufflevector(a, b, 2, 3, 6, 7));
#endif
}

// Lane i: what `combine` makes of all lanes of register(first + i), for 2^Step registers.
template <int Step = kFolds, typename Register, typename Combine>
KGT_INLINE Floats fold_registers(const Register& reg, const Combine& combine, int first = 0) {
  if constexpr (Step == 0)
    return reg(first);
  else
    return fold<Step>(fold_registers<Step - 1>(reg, combine, first),
                      fold_registers<Step - 1>(reg, combine, first + (1 << (Step - 1))), combine);
}

KGT_INLINE Floats add(Floats a, Floats b) { return a + b; }

KGT_INLINE float max_lanes(Floats a) {
  float largest = a[0];
  for (int i = 1; i < kLanes; ++i) largest = a[i] > largest ? a[i] : largest;
  return largest;
}

// 2^x for x <= 0, zero below the smallest normal float; relative error below 2 ulp.
KGT_INLINE Floats exp2_nonpositive(Floats x) {
  constexpr float kSmallest = -126.0f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer
  const Floats shifted = x + kRound;
  const Floats r = x - (shifted - kRound);
  // Least maximal relative error on [-1/2, 1/2].
  Floats y = 1.327647097e-3f * r + 9.675541596e-3f;
  y = y * r + 5.550713279e-2f;
  y = y * r + 2.402211972e-1f;
  y = y * r + 6.931469671e-1f;
  y = y * r + 1.0f;
  // The integer lies in the low bits of `shifted`: add it to the exponent.
  const Ints scaled = (Ints)y + ((Ints)shifted << 23);
  return x < kSmallest ? Floats{} : (Floats)scaled;
}

// log2(x) for x > 0, not subnormal.
KGT_INLINE Floats log2_positive(Floats x) {
  constexpr float kTwiceLog2E = 2.88539008f;
  // x = m * 2^e with m in [sqrt(1/2), sqrt(2)): log2(m) is a series in t = (m - 1) / (m + 1).
  const Ints exponent = ((Ints)x - 0x3f3504f3) >> 23;
  const Floats m = (Floats)((Ints)x - (exponent << 23));
  const Floats t = (m - 1.0f) / (m + 1.0f), square = t * t;
  Floats y = kTwiceLog2E / 9 * square + kTwiceLog2E / 7;
  y = y * square + kTwiceLog2E / 5;
  y = y * square + kTwiceLog2E / 3;
  y = y * square + kTwiceLog2E;
  return __builtin_convertvector(exponent, Floats) + y * t;
}

// Products of numbers below 2^15, in one instruction where a full product takes two.
KGT_INLINE Ints multiply_small(Ints a, int32_t b) {
#if defined(__AVX512BW__) && !defined(KGT_EMULATED)
  return (Ints)_mm512_madd_epi16((__m512i)a, _mm512_set1_epi32(b));
#elif defined(__AVX2__) && !defined(KGT_EMULATED)
  return (Ints)_mm256_madd_epi16((__m256i)a, _mm256_set1_epi32(b));
#else
  return a * b;
#endif
}

// 0, 1, 2, ...
KGT_INLINE Ints count_lanes() {
  Ints out;
  for (int i = 0; i < kLanes; ++i) out[i] = i;
  return out;
}

// table[place of the lane]
KGT_INLINE Floats look_up(const float* table, Ints place) {
#if defined(__AVX512F__) && !defined(KGT_EMULATED)
  return (Floats)_mm512_i32gather_ps((__m512i)place, table, 4);
#elif defined(__AVX2__) && !defined(KGT_EMULATED)
  return (Floats)_mm256_i32gather_ps(table, (__m256i)place, 4);
#else
  Floats out;
  for (int i = 0; i < kLanes; ++i) out[i] = table[place[i]];
  return out;
#endif
}

// Quads of floats at from, from + pitch, ...
KGT_INLINE Floats load_quads(const float* from, int64_t pitch) {
#if defined(__AVX512F__) && !defined(KGT_EMULATED)
  __m512 out = _mm512_castps128_ps512(_mm_loadu_ps(from));
  out = _mm512_insertf32x4(out, _mm_loadu_ps(from + pitch), 1);
  out = _mm512_insertf32x4(out, _mm_loadu_ps(from + 2 * pitch), 2);
  return (Floats)_mm512_insertf32x4(out, _mm_loadu_ps(from + 3 * pitch), 3);
#elif defined(__AVX2__) && !defined(KGT_EMULATED)
  const __m256 low = _mm256_castps128_ps256(_mm_loadu_ps(from));
  return (Floats)_mm256_insertf128_ps(low, _mm_loadu_ps(from + pitch), 1);
#else
  Floats out;
  for (int q = 0; q < kLanes / 4; ++q)
    std::memcpy(reinterpret_cast<char*>(&out) + 16 * q, from + q * pitch, 16);
  return out;
#endif
}

// a[0] b[0] a[1] b[1] ... of the lower halves, and of the upper ones.
KGT_INLINE void interleave(Floats a, Floats b, Floats& low, Floats& high) {
#if KGT_LANES == 16
  low = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  high =
      __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#elif KGT_LANES == 8
  low = __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
  high = __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
#else
  low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
#endif
}

// Lane j of row[i] to lane i of row[j]: each interleaving of the rows' halves moves the numbers of
// rows and columns on by a bit.
KGT_INLINE void transpose(Floats (&row)[kLanes]) {
  Floats next[kLanes];
#pragma GCC unroll 4
  for (int step = 0; step < kFolds; ++step) {
#pragma GCC unroll 8
    for (int i = 0; i < kLanes / 2; ++i)
      interleave(row[i], row[i + kLanes / 2], next[2 * i], next[2 * i + 1]);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) row[i] = next[i];
  }
}

// to[j][i] = from[i][j] of kLanes x kLanes floats
KGT_INLINE void transpose(const float* from, int64_t from_stride, float* to, int64_t to_stride) {
  Floats row[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) row[i] = load(from + i * from_stride);
  transpose(row);
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) store(to + i * to_stride, row[i]);
}

// Bit i is set where lane i is above the limit.
KGT_INLINE uint32_t bits_above(Floats values, float limit) {
#if defined(__AVX512F__) && !defined(KGT_EMULATED)
  return _mm512_cmp_ps_mask((__m512)values, _mm512_set1_ps(limit), _CMP_GT_OQ);
#elif defined(__AVX2__) && !defined(KGT_EMULATED)
  return static_cast<uint32_t>(
      _mm256_movemask_ps(_mm256_cmp_ps((__m256)values, _mm256_set1_ps(limit), _CMP_GT_OQ)));
#else
  uint32_t bits = 0;
  for (int i = 0; i < kLanes; ++i) bits |= static_cast<uint32_t>(values[i] > limit) << i;
  return bits;
#endif
}

// Writes the lanes whose bits are set side by side and returns how many there are; up to kLanes
// values are written, whatever the bits.
KGT_INLINE int compress(uint32_t bits, Ints values, int32_t* to) {
#if defined(__AVX512F__) && !defined(KGT_EMULATED)
  // By way of a register: to memory it is microcode on some processors (Zen 4).
  const __m512i kept = _mm512_maskz_compress_epi32(static_cast<__mmask16>(bits), (__m512i)values);
  std::memcpy(to, &kept, sizeof kept);
#elif defined(__AVX2__) && defined(__BMI2__) && !defined(KGT_EMULATED)
  // Eight bytes, one per set bit: the numbers of the lanes that are kept.
  const uint64_t bytes = _pdep_u64(bits, 0x0101010101010101) * 0xff;
  const auto lanes = static_cast<int64_t>(_pext_u64(0x0706050403020100, bytes));
  const __m256i order = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(lanes));
  _mm256_storeu_si256((__m256i*)to, _mm256_permutevar8x32_epi32((__m256i)values, order));
#else
  int found = 0;
  for (int i = 0; i < kLanes; ++i) {
    to[found] = values[i];
    found += bits >> i & 1;
  }
#endif
  return __builtin_popcount(bits);
}

// Lane i of `yes` where bit i of `bits` is set, else `no`; only the lowest kLanes bits count.
KGT_INLINE Floats select(uint32_t bits, Floats yes, Floats no) {
#if defined(__AVX512F__) && !defined(KGT_EMULATED)
  return (Floats)_mm512_mask_blend_ps(static_cast<__mmask16>(bits), (__m512)no, (__m512)yes);
#elif defined(__AVX2__) && !defined(KGT_EMULATED)
  // The sign decides in a blend: move each lane's bit there.
  const __m256i shift = _mm256_set_epi32(24, 25, 26, 27, 28, 29, 30, 31);
  const __m256i sign = _mm256_sllv_epi32(_mm256_set1_epi32(static_cast<int>(bits)), shift);
  return (Floats)_mm256_blendv_ps((__m256)no, (__m256)yes, _mm256_castsi256_ps(sign));
#else
  Ints chosen;
  for (int i = 0; i < kLanes; ++i) chosen[i] = -static_cast<int32_t>(bits >> i & 1);
  return (Floats)(((Ints)yes & chosen) | ((Ints)no & ~chosen));
#endif
}

}  // namespace kgt
