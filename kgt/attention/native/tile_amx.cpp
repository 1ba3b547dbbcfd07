// Attention of sixteen queries at once over the union of their keys, in bfloat16 by matrix units.
//
// Both products are made of tiles of 16 keys x 16 queries and 16 queries x 16 dimensions. What
// bounds the time is between them: the weights of all pairs, and their turn from rows of keys to
// rows of queries. So the first pass over the union leaves all scores in scratch memory and finds
// the largest; the second one adds up in the tiles without ever rescaling them.
#include <algorithm>

#include "lanes.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && KGT_LANES == 16 && !defined(KGT_EMULATED)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace kgt {
namespace {

constexpr int kStep = 32;  // keys at a time: what one product over keys takes
constexpr int kSide = 16;  // rows of a tile, and floats or pairs of halves in its rows
constexpr int kTile = kSide * kSide;  // floats in a tile
constexpr int kTilePitch = 64;  // bytes in a row of a tile
constexpr int kRowHalves = 32;  // halves in a row of a tile
static_assert(kUnionPadding % kStep == 0);

// An instruction names its tile register by a literal number. While scores are made, 6 and 7 hold
// the queries, 32 dimensions each; after that 2 holds ones, 3 the sums of weights, in every column,
// and 4 to 7 the sums of values, 16 dimensions each.

// GCC's intrinsics for loads do not tell the compiler that they read memory.
KGT_INLINE void memory_is_read() { asm volatile("" ::: "memory"); }

KGT_INLINE __m512i load_row(const uint16_t* from) { return _mm512_loadu_si512(from); }

// scores[u] = products of key u with the queries in the tiles, for kStep keys whose rows lie
// side by side.
template <int Steps>
KGT_INLINE void multiply_keys(const uint16_t* rows, float* scores) {
  constexpr int kPitch = Steps * kTilePitch, kNext = kSide * Steps * kRowHalves;
  memory_is_read();
  _tile_zero(0);
  _tile_zero(1);
  _tile_loadd(2, rows, kPitch);
  _tile_loadd(3, rows + kNext, kPitch);
  _tile_dpbf16ps(0, 2, 6);
  _tile_dpbf16ps(1, 3, 6);
  if constexpr (Steps == 2) {
    _tile_loadd(4, rows + kRowHalves, kPitch);
    _tile_loadd(5, rows + kNext + kRowHalves, kPitch);
    _tile_dpbf16ps(0, 4, 7);
    _tile_dpbf16ps(1, 5, 7);
  }
  _tile_stored(0, scores, kTilePitch);
  _tile_stored(1, scores + kTile, kTilePitch);
}

// The rows of kStep keys side by side; their values, which are next, are fetched meanwhile.
template <int Steps>
KGT_INLINE void copy_keys(const HalfHead& head, const Edges* edges, uint16_t* to) {
  constexpr int64_t kStride = Steps * kRowHalves;
#pragma GCC unroll 8
  for (int u = 0; u < kStep; ++u) {
    const int64_t at = edges[u].key * kStride;
#pragma GCC unroll 2
    for (int s = 0; s < Steps; ++s) {
      _mm512_store_si512(to + u * kStride + s * kRowHalves,
                         load_row(head.keys + at + s * kRowHalves));
      __builtin_prefetch(head.values + at + s * kRowHalves);
    }
  }
}

// The largest scores so far; with a bias the scores become times the factor, plus the bias.
template <BiasKind Kind>
KGT_INLINE __m512 finish_scores(const Edges* edges, const BiasLanes<Kind>& bias, __m512 factor,
                                __m512 top, float* scores) {
#pragma GCC unroll 8
  for (int u = 0; u < kStep; ++u) {
    __m512 score = _mm512_load_ps(scores + u * kGroup);
    if constexpr (Kind != BiasKind::kNone) {
      score = _mm512_fmadd_ps(score, factor, (__m512)bias.part(edges[u].key, 0));
      _mm512_store_ps(scores + u * kGroup, score);
    }
    top = _mm512_mask_max_ps(top, edges[u].bits, score, top);
  }
  return top;
}

// Of two keys' weights, rounded to nearest, lane i of the first and lane i of the second side by
// side: a pair in the row of query i.
KGT_INLINE Floats pair_weights(__m512 first, __m512 second) {
  const __m512i half = _mm512_set1_epi32(0x8000);
  const __m512i low = _mm512_srli_epi32(_mm512_add_epi32((__m512i)first, half), 16);
  const __m512i high = _mm512_add_epi32((__m512i)second, half);
  return (Floats)_mm512_mask_blend_epi16(0xaaaaaaaa, low, high);
}

// 2^x for x <= 0 in the lanes whose bits are set, else 0; relative error below 2^-13, of which
// nothing is left when the weight is rounded to eight bits.
KGT_INLINE __m512 exp2_coarse(__mmask16 bits, __m512 x) {
  constexpr int kMinusFloor = 1;
  const __m512 r = _mm512_reduce_ps(x, kMinusFloor);
  // Least maximal relative error on [0, 1].
  __m512 y = _mm512_fmadd_ps(_mm512_set1_ps(7.802495216e-02f), r, _mm512_set1_ps(2.260664536e-01f));
  y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(6.958338615e-01f));
  y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(9.999251825e-01f));
  return _mm512_maskz_scalef_ps(bits, y, x);  // times 2^floor(x)
}

// Weights 2^(factor * score - shift) of kStep keys as rows of queries.
KGT_INLINE void weigh(const Edges* edges, const float* scores, __m512 factor, __m512 shift,
                      float* rows) {
  Floats pairs[kSide];
#pragma GCC unroll 16
  for (int m = 0; m < kSide; ++m) {
    __m512 weight[2];
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      const int u = 2 * m + i;
      const __m512 score = _mm512_load_ps(scores + u * kGroup);
      weight[i] = exp2_coarse(edges[u].bits, _mm512_fmsub_ps(score, factor, shift));
    }
    pairs[m] = pair_weights(weight[0], weight[1]);
  }
  transpose(pairs);
#pragma GCC unroll 16
  for (int i = 0; i < kSide; ++i) store(rows + i * kSide, pairs[i]);
}

// The values of kStep keys, two keys' dimensions alternating, as two tiles for each 32 dimensions.
// Alternation stays within the quarters of a register: the first tile has the lower four dimensions
// of each eight, the second one the upper four.
template <int Steps>
KGT_INLINE void alternate_values(const HalfHead& head, const Edges* edges, uint16_t* to) {
  constexpr int64_t kStride = Steps * kRowHalves;
#pragma GCC unroll 4
  for (int m = 0; m < kSide; ++m)
#pragma GCC unroll 2
    for (int s = 0; s < Steps; ++s) {
      const uint16_t* from = head.values + s * kRowHalves;
      const __m512i a = load_row(from + edges[2 * m].key * kStride);
      const __m512i b = load_row(from + edges[2 * m + 1].key * kStride);
      uint16_t* row = to + 2 * s * kSide * kRowHalves + m * kRowHalves;
      _mm512_store_si512(row, _mm512_unpacklo_epi16(a, b));
      _mm512_store_si512(row + kSide * kRowHalves, _mm512_unpackhi_epi16(a, b));
    }
}

// Adds the products of kStep keys' weights and values, and the weights, to the tiles of sums.
template <int Steps>
KGT_INLINE void multiply_values(const float* weights, const uint16_t* values) {
  constexpr int kNext = kSide * kRowHalves;
  memory_is_read();
  _tile_loadd(0, weights, kTilePitch);
  _tile_dpbf16ps(3, 0, 2);
  _tile_loadd(1, values, kTilePitch);
  _tile_dpbf16ps(4, 0, 1);
  _tile_loadd(1, values + kNext, kTilePitch);
  _tile_dpbf16ps(5, 0, 1);
  if constexpr (Steps == 2) {
    _tile_loadd(1, values + 2 * kNext, kTilePitch);
    _tile_dpbf16ps(6, 0, 1);
    _tile_loadd(1, values + 3 * kNext, kTilePitch);
    _tile_dpbf16ps(7, 0, 1);
  }
}

// The sum of each query's weights.
KGT_INLINE Floats weight_sums(float* tile) {
  _tile_stored(3, tile, kTilePitch);
  const Ints lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return look_up(tile, lane * kSide);
}

// The tiles of sums of values times a factor of each query, as rows of dimensions in order.
template <int Steps>
KGT_INLINE void write_out(const Floats& factors, float* tiles, float* out) {
  _tile_stored(4, tiles, kTilePitch);
  _tile_stored(5, tiles + kTile, kTilePitch);
  if constexpr (Steps == 2) {
    _tile_stored(6, tiles + 2 * kTile, kTilePitch);
    _tile_stored(7, tiles + 3 * kTile, kTilePitch);
  }
  for (int i = 0; i < kGroup; ++i)
    for (int s = 0; s < Steps; ++s) {
      const Floats a = load(tiles + 2 * s * kTile + i * kSide) * factors[i];
      const Floats b = load(tiles + (2 * s + 1) * kTile + i * kSide) * factors[i];
      float* to = out + (i * Steps + s) * 2 * kSide;
      store(to,
            __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23));
      store(to + kSide, __builtin_shufflevector(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15,
                                                28, 29, 30, 31));
    }
}

// The queries as pairs of dimensions by queries, to their tiles.
template <int Steps>
KGT_INLINE void load_queries(const uint16_t* queries, float* tiles) {
  const float* pairs = reinterpret_cast<const float*>(queries);
  for (int s = 0; s < Steps; ++s)
    transpose(pairs + s * kSide, Steps * kSide, tiles + s * kTile, kSide);
  memory_is_read();
  _tile_loadd(6, tiles, kTilePitch);
  if constexpr (Steps == 2) _tile_loadd(7, tiles + kTile, kTilePitch);
}

KGT_INLINE void clear_sums(float* tile) {
  constexpr int32_t kTwoOnes = 0x3f803f80;
  for (int i = 0; i < kTile; i += kSide) store(tile + i, (Floats)(Ints{} + kTwoOnes));
  memory_is_read();
  _tile_loadd(2, tile, kTilePitch);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
}

// Scratch memory. Rows and values are of two steps: a load of a tile waits for stores that have not
// reached the cache, so a step multiplies what the one before has stored.
template <int Steps>
struct Tiles {
  alignas(64) uint16_t rows[2][kStep * Steps * kRowHalves];
  alignas(64) float weights[2][kTile];
  alignas(64) uint16_t values[2][kStep * Steps * kRowHalves];
  alignas(64) float floats[4 * kTile];
};

// Returns the largest score of each query. Scores come without the factor where there is no bias.
template <int Steps, BiasKind Kind>
KGT_INLINE __m512 score_keys(const HalfHead& head, const Group& group, const Union& tile,
                             int64_t padded, Tiles<Steps>& tiles, float* scores) {
  const BiasLanes<Kind> bias(head.bias, group.query);
  const __m512 factor = _mm512_set1_ps(head.factor);
  __m512 top = _mm512_set1_ps(-kInfinity);
  copy_keys<Steps>(head, tile.edges, tiles.rows[0]);
  for (int64_t u = 0; u < padded; u += kStep) {
    const int64_t next = std::min(u + kStep, padded - kStep), side = u / kStep % 2;
    copy_keys<Steps>(head, tile.edges + next, tiles.rows[1 - side]);
    multiply_keys<Steps>(tiles.rows[side], scores + u * kGroup);
    if (u)
      top = finish_scores<Kind>(tile.edges + u - kStep, bias, factor, top,
                                scores + (u - kStep) * kGroup);
  }
  top = finish_scores<Kind>(tile.edges + padded - kStep, bias, factor, top,
                            scores + (padded - kStep) * kGroup);
  return Kind == BiasKind::kNone ? _mm512_mul_ps(top, factor) : top;
}

// Leaves the sums of weights and of values in their tiles.
template <int Steps>
KGT_INLINE void mix_values(const HalfHead& head, const Union& tile, int64_t padded,
                           const float* scores, __m512 factor, __m512 shift, Tiles<Steps>& tiles) {
  clear_sums(tiles.floats);
  for (int64_t u = 0; u < padded; u += kStep) {
    const int64_t side = u / kStep % 2;
    weigh(tile.edges + u, scores + u * kGroup, factor, shift, tiles.weights[side]);
    alternate_values<Steps>(head, tile.edges + u, tiles.values[side]);
    if (u) multiply_values<Steps>(tiles.weights[1 - side], tiles.values[1 - side]);
  }
  const int64_t last = (padded / kStep - 1) % 2;
  multiply_values<Steps>(tiles.weights[last], tiles.values[last]);
}

template <int Steps, BiasKind Kind>
void forward(const HalfHead& head, const Group& group, const Union& tile, const HalfForward& io,
             float* scores) {
  Tiles<Steps> tiles;
  const int64_t padded = (tile.count + kStep - 1) / kStep * kStep;
  load_queries<Steps>(io.queries, tiles.floats);
  Lanes largest;
  largest.part[0] = (Floats)score_keys<Steps, Kind>(head, group, tile, padded, tiles, scores);
  const __m512 factor = _mm512_set1_ps(Kind == BiasKind::kNone ? head.factor : 1.0f);
  const __m512 shift = (__m512)finite_shift(largest).part[0];
  mix_values<Steps>(head, tile, padded, scores, factor, shift, tiles);
  const Floats sums = weight_sums(tiles.floats);
  store(io.logsumexp, largest.part[0] + log2_positive(sums));
  write_out<Steps>(1.0f / sums, tiles.floats, io.out);
}

// The operating system saves the registers of tiles only for processes that ask.
bool request_tiles() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

struct alignas(64) TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

}  // namespace

bool amx_available() {
  static const bool granted = request_tiles();
  return granted;
}

int64_t amx_stride(int64_t dims) { return (dims + kRowHalves - 1) / kRowHalves * kRowHalves; }

void amx_pack(const HalfRows& rows, int64_t count, int64_t stride, uint16_t* to) {
  for (int64_t n = 0; n < count; ++n)
    for (int64_t d = 0; d < stride; d += kRowHalves) {
      const uint16_t* from = rows.data + n * rows.stride_n + d * rows.stride_d;
      const int64_t left = std::min<int64_t>(kRowHalves, rows.dims - d);
      uint16_t* row = to + n * stride + d;
      if (rows.stride_d == 1) {
        const __mmask32 kept = 0xffffffffu >> (kRowHalves - left);
        _mm512_store_si512(row, _mm512_maskz_loadu_epi16(kept, from));
      } else {
        for (int64_t i = 0; i < kRowHalves; ++i) row[i] = i < left ? from[i * rows.stride_d] : 0;
      }
    }
}

AmxTiles::AmxTiles() {
  TileShapes shapes;
  std::fill_n(shapes.row_bytes, 8, kTilePitch);
  std::fill_n(shapes.rows, 8, kSide);
  memory_is_read();
  _tile_loadconfig(&shapes);
}

AmxTiles::~AmxTiles() { _tile_release(); }

int64_t amx_scratch(int64_t nodes) { return (nodes + kStep) * kGroup; }

void amx_forward(const HalfHead& head, const Group& group, const Union& tile, const HalfForward& io,
                 float* scratch) {
  with_bias_kind(head.bias, group, [&]<BiasKind Kind>() {
    const auto run = head.stride == kRowHalves ? forward<1, Kind> : forward<2, Kind>;
    run(head, group, tile, io, scratch);
  });
}

}  // namespace kgt

#else

namespace kgt {

bool amx_available() { return false; }
int64_t amx_stride(int64_t dims) { return dims; }
void amx_pack(const HalfRows&, int64_t, int64_t, uint16_t*) {}
AmxTiles::AmxTiles() = default;
AmxTiles::~AmxTiles() = default;
int64_t amx_scratch(int64_t) { return 0; }
void amx_forward(const HalfHead&, const Group&, const Union&, const HalfForward&, float*) {}

}  // namespace kgt

#endif
