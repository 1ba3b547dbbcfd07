// Building the key-graph: similarities and selection, a block of rows at a time.
//
// A thread holds the similarities of few rows, or of one window that is small enough, of which only
// half are computed: the similarity is symmetric. What it holds is bounded whatever the window. Of
// each row the k-th largest similarity is found by counting, without sorting.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <tuple>
#include <vector>

#include "kernels.h"

namespace kgt {
namespace {

constexpr int64_t kPanel = 64;  // rows of a larger window that are held at a time
constexpr int64_t kSymmetricNodes = 1024;  // 4 MiB of similarities
constexpr int64_t kFew = 48;  // candidates that are cheaper partitioned than counted

// The similarities of one token, padded to a multiple of kLanes. Minus infinity marks what is no
// candidate.
struct Similarities {
  const float* values;
  int64_t count;

  int64_t count_above(float limit) const {
    Ints found{};
    for (int64_t j = 0; j < count; j += kLanes) found -= load(values + j) > limit;
    int64_t total = 0;
    for (int i = 0; i < kLanes; ++i) total += found[i];
    return total;
  }
};

// Room for a row's numbers or values, and for what compress writes beyond them.
struct Room {
  std::vector<int32_t> numbers;
  std::vector<float> few;

  explicit Room(int64_t count) : numbers(count + kLanes), few(count + kLanes) {}
};

// The k-th largest of a row, and how many are above it and equal to it.
struct Threshold {
  float value;
  int64_t above, equal;
};

// Of at least k + 1 candidates; a guess near the result saves passes over the row.
Threshold kth_largest(const Similarities& row, int64_t candidates, int64_t k, float guess,
                      Room& room) {
  Floats least = splat(kInfinity), most = splat(-kInfinity);
  for (int64_t j = 0; j < row.count; j += kLanes) {
    const Floats values = load(row.values + j);
    const Floats real = values > -kInfinity ? values : splat(kInfinity);
    least = real < least ? real : least;
    most = maximum(values, most);
  }
  // Always at least k are above `low` and fewer than k above `high`.
  float low = std::nextafter(-max_lanes(-least), -kInfinity), high = max_lanes(most);
  int64_t above_low = candidates, above_high = 0;
  float limit = guess;
  for (int step = 0; above_low - above_high > kFew; ++step) {
    if (!(limit > low && limit < high)) limit = low + (high - low) / 2;
    // Neighbors: what is between them equals `high`.
    if (!(limit > low && limit < high)) return {high, above_high, above_low - above_high};
    const int64_t above = row.count_above(limit);
    (above >= k ? low : high) = limit;
    (above >= k ? above_low : above_high) = above;
    // Every third time a halving, which bounds the number of steps.
    const float share = static_cast<float>(above_low - k) / (above_low - above_high);
    limit = low + (high - low) * (step % 3 == 2 ? 0.5f : share);
  }
  int64_t found = 0;
  for (int64_t j = 0; j < row.count; j += kLanes) {
    const Floats values = load(row.values + j);
    const uint32_t bits = bits_above(values, low) & ~bits_above(values, high);
    found += compress(bits, (Ints)values, reinterpret_cast<int32_t*>(room.few.data() + found));
  }
  const auto few = room.few.begin();
  std::nth_element(few, few + (k - above_high - 1), few + found, std::greater<>());
  const float value = few[k - above_high - 1];
  const int64_t above = std::count_if(few, few + found, [&](float other) { return other > value; });
  return {value, above_high + above, std::count(few, few + found, value)};
}

// Writes the numbers of the k largest of a row in ascending order, ties to the smaller number, and
// -1 after them; returns how many there are.
int64_t select_row(const Similarities& row, int64_t k, float& guess, Room& room, int32_t* out) {
  Threshold kth{-kInfinity, row.count_above(-kInfinity), 0};
  if (kth.above > k) {
    kth = kth_largest(row, kth.above, k, guess, room);
    guess = kth.value;
  }
  const int64_t left_out = kth.above + kth.equal - k;
  int64_t found = 0;
  const float limit = kth.equal ? std::nextafter(kth.value, -kInfinity) : kth.value;
  Ints number = count_lanes();
  int32_t* numbers = room.numbers.data();
  for (int64_t j = 0; j < row.count; j += kLanes, number += kLanes)
    found += compress(bits_above(load(row.values + j), limit), number, numbers + found);
  if (left_out > 0) {
    int64_t ties = kth.equal - left_out, kept = 0;
    for (int64_t i = 0; i < found; ++i) {
      numbers[kept] = numbers[i];
      kept += row.values[numbers[i]] != kth.value || ties-- > 0;
    }
    found = kept;
  }
  std::copy(numbers, numbers + found, out);
  std::fill(out + found, out + k, -1);
  return found;
}

int64_t count_blocks(int64_t tokens) { return (tokens + kLanes - 1) / kLanes; }

// Tokens [count][channels] in blocks of kLanes: [blocks][channels][kLanes], zero beyond the last.
void pack_tokens(const float* tokens, int64_t count, int64_t channels, float* packed) {
  for (int64_t n = 0; n < count; n += kLanes, packed += channels * kLanes) {
    const float* from = tokens + n * channels;
    int64_t c = 0;
    if (count - n >= kLanes) {
      for (; c + kLanes <= channels; c += kLanes)
        transpose(from + c, channels, packed + c * kLanes, kLanes);
    }
    for (; c < channels; ++c)
      for (int64_t i = 0; i < kLanes; ++i)
        packed[c * kLanes + i] = n + i < count ? from[i * channels + c] : 0.0f;
  }
}

// Lane j of products[i]: the product of token i of a packed block with token j of another.
KGT_INLINE void multiply_blocks(const float* rows, const float* columns, int64_t channels,
                                Floats (&products)[kLanes]) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) products[i] = Floats{};
  for (int64_t c = 0; c < channels; ++c, rows += kLanes) {
    const Floats column = load(columns + c * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) products[i] += column * rows[i];
  }
}

KGT_INLINE void store_block(const Floats (&block)[kLanes], int64_t stride, float* to) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) store(to + i * stride, block[i]);
}

// The products of tokens [nodes][channels] among themselves, in rows of `stride` floats.
class Products {
 public:
  // A thread's memory for a window of which `rows` rows are held at a time.
  Products(int64_t rows, int64_t nodes, int64_t channels, int64_t stride)
      : nodes_(nodes), channels_(channels), stride_(stride),
        packed_(count_blocks(rows) * channels * kLanes), column_(channels * kLanes),
        out_(count_blocks(rows) * kLanes * stride) {}

  float* row(int64_t r) const { return out_ + r * stride_; }

  // All of them: the right upper half is multiplied, the other one mirrored.
  void multiply_all(const float* tokens) const {
    pack_tokens(tokens, nodes_, channels_, packed_);
    const int64_t blocks = count_blocks(nodes_);
    for (int64_t r = 0; r < blocks; ++r)
      for (int64_t c = r; c < blocks; ++c) {
        Floats products[kLanes];
        multiply_blocks(block(r), block(c), channels_, products);
        store_block(products, stride_, row(r * kLanes) + c * kLanes);
        transpose(products);
        store_block(products, stride_, row(c * kLanes) + r * kLanes);
      }
  }

  // Those of rows first .. first + rows.
  void multiply_rows(const float* tokens, int64_t first, int64_t rows) const {
    pack_tokens(tokens + first * channels_, rows, channels_, packed_);
    for (int64_t n = 0; n < nodes_; n += kLanes) {
      pack_tokens(tokens + n * channels_, std::min<int64_t>(kLanes, nodes_ - n), channels_,
                  column_);
      for (int64_t r = 0; r < count_blocks(rows); ++r) {
        Floats products[kLanes];
        multiply_blocks(block(r), column_, channels_, products);
        store_block(products, stride_, row(r * kLanes) + n);
      }
    }
  }

 private:
  float* block(int64_t b) const { return packed_ + b * channels_ * kLanes; }

  int64_t nodes_, channels_, stride_;
  Buffer packed_, column_, out_;
};

std::tuple<at::Tensor, at::Tensor> select_keys(const at::Tensor& features,
                                               const std::optional<at::Tensor>& offsets, int64_t k,
                                               bool include_self,
                                               const std::optional<at::Tensor>& regions) {
  TORCH_CHECK_VALUE(features.dim() == 3 && features.numel() > 0 && features.is_contiguous() &&
                        features.scalar_type() == at::kFloat,
                    "features must be a contiguous, non-empty float32 [W, N, C], got ",
                    features.scalar_type(), " ", features.sizes());
  const int64_t windows = features.size(0), nodes = features.size(1), channels = features.size(2);
  TORCH_CHECK_VALUE(k >= 1 && k <= nodes, "k = ", k, ": must be 1 to ", nodes);
  if (regions)
    TORCH_CHECK_VALUE(regions->dim() == 2 && regions->size(1) == nodes && regions->size(0) > 0 &&
                          windows % regions->size(0) == 0 && regions->is_contiguous() &&
                          regions->scalar_type() == at::kLong,
                      "regions must be a contiguous int64 [nW, ", nodes, "] with nW dividing ",
                      windows, ", got ", regions->scalar_type(), " ", regions->sizes());
  if (offsets)
    TORCH_CHECK_VALUE(offsets->dim() == 2 && offsets->size(0) == windows &&
                          offsets->size(1) == nodes && offsets->is_contiguous() &&
                          offsets->scalar_type() == at::kFloat,
                      "offsets must be a contiguous float32 [", windows, ", ", nodes, "], got ",
                      offsets->scalar_type(), " ", offsets->sizes());
  at::Tensor indices = at::empty({windows, nodes, k}, features.options().dtype(at::kInt));
  at::Tensor degrees = at::empty({windows, nodes}, indices.options());
  const float* data = features.data_ptr<float>();
  // Rows a page apart would share the sets of the cache when a block is mirrored.
  const int64_t padded = (nodes + kLanes - 1) / kLanes * kLanes, stride = padded + 16;
  const bool symmetric = nodes <= kSymmetricNodes;
  const int64_t height = symmetric ? nodes : kPanel, panels = (nodes + height - 1) / height;
  at::parallel_for(0, windows * panels, 1, [&](int64_t begin, int64_t end) {
    const Products products(height, nodes, channels, stride);
    Room room(padded);
    float guess = 0.0f;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t w = item / panels, first = item % panels * height;
      const int64_t rows = std::min(height, nodes - first);
      const float* tokens = data + w * nodes * channels;
      if (symmetric)
        products.multiply_all(tokens);
      else
        products.multiply_rows(tokens, first, rows);
      const int64_t* labels =
          regions ? regions->data_ptr<int64_t>() + w % regions->size(0) * nodes : nullptr;
      const float* offset = offsets ? offsets->data_ptr<float>() + w * nodes : nullptr;
      // Most windows meet no border; only the others lose candidates.
      const bool is_split = labels && std::any_of(labels, labels + nodes,
                                                  [&](int64_t label) { return label != *labels; });
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t n = first + r;
        float* row = products.row(r);
        if (offset)
          for (int64_t j = 0; j < nodes; ++j) row[j] -= offset[j];
        std::fill(row + nodes, row + padded, -kInfinity);
        if (!include_self) row[n] = -kInfinity;
        if (is_split)
          for (int64_t j = 0; j < nodes; ++j) row[j] = labels[j] == labels[n] ? row[j] : -kInfinity;
        degrees.data_ptr<int32_t>()[w * nodes + n] =
            static_cast<int32_t>(select_row({row, padded}, k, guess, room,
                                            indices.data_ptr<int32_t>() + (w * nodes + n) * k));
      }
    }
  });
  return {indices, degrees};
}

}  // namespace
}  // namespace kgt

TORCH_LIBRARY_FRAGMENT(kgt, m) {
  m.def(
      "select_keys(Tensor features, Tensor? offsets, int k, bool include_self, Tensor? regions) "
      "-> (Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(kgt, CPU, m) { m.impl("select_keys", kgt::select_keys); }
