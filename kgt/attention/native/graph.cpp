// Building the key-graph: similarities and selection, a block of rows at a time.
//
// A thread holds the similarities of few rows, or of one window that is small enough, of which only
// half are computed: the similarity is symmetric. What it holds is bounded whatever the window. Of
// each row the k-th largest similarity is found by counting, without sorting.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <tuple>
#include <vector>

#include "kernels.h"

namespace kgt {
namespace {

constexpr int64_t kPanel = 64;  // rows that are multiplied at a time
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

void transpose_block(const float* from, int64_t rows, int64_t columns, int64_t stride, float* to) {
  for (int64_t c = 0; c < columns; ++c)
    for (int64_t r = 0; r < rows; ++r) to[c * stride + r] = from[r * stride + c];
}

// Products of tokens [N, C] among themselves, into rows of `stride` floats.
class Products {
 public:
  Products(float* tokens, int64_t nodes, int64_t channels, int64_t stride, float* out)
      : tokens_(at::from_blob(tokens, {nodes, channels}, at::kFloat)), nodes_(nodes),
        stride_(stride), out_(out) {}

  // Rows first .. first + rows and columns from `column` on, to the rows at `out`.
  void multiply(int64_t first, int64_t rows, int64_t column, float* out) const {
    at::Tensor product =
        at::from_blob(out + column, {rows, nodes_ - column}, {stride_, 1}, tokens_.options());
    at::mm_out(product, tokens_.narrow(0, first, rows),
               tokens_.narrow(0, column, nodes_ - column).t());
  }

  // All of them: the right upper half is multiplied, the other one mirrored.
  void multiply_all() const {
    for (int64_t first = 0; first < nodes_; first += kPanel) {
      const int64_t rows = std::min(kPanel, nodes_ - first);
      float* panel = out_ + first * stride_;
      multiply(first, rows, first, panel);
      for (int64_t column = first + rows; column < nodes_; column += kPanel)
        transpose_block(panel + column, rows, std::min(kPanel, nodes_ - column), stride_,
                        out_ + column * stride_ + first);
    }
  }

 private:
  at::Tensor tokens_;
  int64_t nodes_, stride_;
  float* out_;
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
  float* data = features.data_ptr<float>();
  // Rows a page apart would share the sets of the cache when a block is mirrored.
  const int64_t padded = (nodes + kLanes - 1) / kLanes * kLanes, stride = padded + 16;
  const bool symmetric = nodes <= kSymmetricNodes;
  const int64_t height = symmetric ? nodes : kPanel, panels = (nodes + height - 1) / height;
  at::parallel_for(0, windows * panels, 1, [&](int64_t begin, int64_t end) {
    // Neither autograd nor autocast has a say in the products, on whatever thread they are.
    const c10::InferenceMode no_autograd;
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    Buffer similarities(height * stride);
    Room room(padded);
    float guess = 0.0f;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t w = item / panels, first = item % panels * height;
      const int64_t rows = std::min(height, nodes - first);
      const Products products(data + w * nodes * channels, nodes, channels, stride, similarities);
      if (symmetric)
        products.multiply_all();
      else
        products.multiply(first, rows, 0, similarities);
      const int64_t* labels =
          regions ? regions->data_ptr<int64_t>() + w % regions->size(0) * nodes : nullptr;
      const float* offset = offsets ? offsets->data_ptr<float>() + w * nodes : nullptr;
      // Most windows meet no border; only the others lose candidates.
      const bool is_split = labels && std::any_of(labels, labels + nodes,
                                                  [&](int64_t label) { return label != *labels; });
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t n = first + r;
        float* row = similarities + r * stride;
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
