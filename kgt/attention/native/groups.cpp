#include "groups.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace kgt {
namespace {

typedef uint32_t UnsignedInts __attribute__((vector_size(kLanes * 4)));

// Time of a pair by gathers over that of a pair of a tile, measured with either forced, forward and
// backward: 3.6 to 4.0 for rows of 8 floats, 2.5 to 3.1 up to 16, 1.4 to 2.6 above.
double gather_cost(int64_t dims) { return dims <= 8 ? 3.8 : dims <= 16 ? 2.8 : 2.0; }
// The same over a pair of a tile in bfloat16 by the matrix unit, for whole graphs of 1024 tokens.
// The times meet between 7.1 (random keys, k = 128: 3.3 ms by tiles, 3.8 by gathers) and 7.6
// (photographs, k = 16: 0.96 and 0.85); at 10.3 (random, k = 64) they are 2.6 and 2.0.
constexpr double kAmxGatherCost = 7.3;

Ints load_words(const uint16_t* from) {
  typedef uint16_t Words __attribute__((vector_size(kLanes * 2)));
  Words words;
  std::memcpy(&words, from, sizeof words);
  return __builtin_convertvector(words, Ints);
}

// Whether any lane is negative as an int.
bool any_negative(UnsignedInts numbers) {
  return bits_above(__builtin_convertvector((Ints)(numbers >> 31), Floats), 0.5f) != 0;
}

// A hash of the rows of a group, and whether all can be read: numbers of tokens, or some and then -1
// to the end. Sums, and sums of those, tell the places in a lane apart, factors the lanes.
struct RowsHash {
  int32_t hash;
  bool readable;

  RowsHash(const Graph& graph, int64_t window, const Group& group) {
    const auto last_token = static_cast<uint32_t>(graph.nodes - 1);
    UnsignedInts sums{}, sums_of_sums{};
    UnsignedInts bad{};  // where a lane is negative
    uint32_t rest = 0;
    for (int i = 0; i < group.count; ++i) {
      const int32_t* row = graph.rows + (window * graph.nodes + group.query[i]) * graph.keys;
      UnsignedInts padding{};
      const auto read = [&](Ints signed_numbers) {
        const auto numbers = (UnsignedInts)signed_numbers;
        padding |= numbers;
        bad |= (numbers + 1u) | (last_token - numbers);
        sums += numbers;
        sums_of_sums += sums;
      };
      int64_t j = 0;
      for (; j + kLanes <= graph.keys; j += kLanes) read(load(row + j));
      if (j < graph.keys && j) {
        read(load(row + graph.keys - kLanes));
      } else if (!j) {
        Ints numbers{};
        std::memcpy(&numbers, row, graph.keys * sizeof *row);
        read(numbers);
      }
      if (row[graph.keys - 1] >= 0) bad |= padding;
    }
    const UnsignedInts lanes = ((UnsignedInts)count_lanes() * 2u + 1u) * 0x9e3779b1u;
    const UnsignedInts mixed = (sums * 0x85ebca6bu + sums_of_sums) * lanes;
    for (int i = 0; i < kLanes; ++i) rest += mixed[i];
    hash = static_cast<int32_t>(rest);
    readable = !any_negative(bad);
  }
};

int64_t pad_union(int64_t count) {
  return (count + kUnionPadding - 1) / kUnionPadding * kUnionPadding;
}

KeyRows rows_of_keys(const Graph& graph, int64_t window, const Group& group) {
  KeyRows rows{};
  for (int i = 0; i < group.count; ++i) {
    const int32_t* row = graph.rows + (window * graph.nodes + group.query[i]) * graph.keys;
    rows.keys[i] = row;
    // Padding is at the end, if anywhere.
    const bool full = row[graph.keys - 1] >= 0;
    rows.degree[i] = full ? graph.keys : std::find(row, row + graph.keys, -1) - row;
  }
  return rows;
}

// The padded union of a group's keys; returns how many they are. There are bits for N tokens and on
// to a full register.
int64_t unite(const KeyRows& rows, int count, std::vector<uint16_t>& bits,
              std::vector<Edges>& edges) {
  const int64_t nodes = static_cast<int64_t>(bits.size());
  std::fill(bits.begin(), bits.end(), 0);
  for (int i = 0; i < count; ++i)
    for (int64_t j = 0; j < rows.degree[i]; ++j)
      bits[rows.keys[i][j]] |= static_cast<uint16_t>(1u << i);
  edges.resize(nodes + kUnionPadding);
  static_assert(sizeof(Edges) == sizeof(int32_t) && kUnionPadding >= kLanes);
  int32_t* words = reinterpret_cast<int32_t*>(edges.data());
  int64_t found = 0;
  for (int64_t n = 0; n < nodes; n += kLanes) {
    const Ints chosen = load_words(bits.data() + n);
    const uint32_t met = bits_above(__builtin_convertvector(chosen, Floats), 0.0f);
    const Ints keys = static_cast<int32_t>(n) + count_lanes();
    found += compress(met, chosen << 16 | keys, words + found);
  }
  const int64_t padded = pad_union(found);
  for (int64_t u = found; u < padded; ++u) edges[u] = {edges[0].key, 0};
  edges.resize(padded);
  return found;
}

bool gathers_are_faster(int64_t keys, int64_t pairs, double gather_cost) {
  return static_cast<double>(keys * kGroup) >= gather_cost * static_cast<double>(pairs);
}

}  // namespace

at::Tensor plan_groups(const Graph& graph) {
  const int64_t groups = graph.groups(), per_window = graph.groups_per_window();
  std::vector<std::vector<Edges>> unions(groups);
  const at::Tensor header = at::empty({groups, kPlanHeader}, at::kInt);
  int32_t* numbers = header.data_ptr<int32_t>();
  const Layout layout(graph.nodes);
  at::parallel_for(0, groups, 4, [&](int64_t begin, int64_t end) {
    std::vector<uint16_t> bits((graph.nodes + kLanes - 1) / kLanes * kLanes);
    std::vector<Edges> edges;
    for (int64_t t = begin; t < end; ++t) {
      const Group group = layout.group(t % per_window);
      numbers[kPlanHeader * t] = RowsHash(graph, t / per_window, group).hash;
      const KeyRows rows = rows_of_keys(graph, t / per_window, group);
      const int64_t keys = unite(rows, group.count, bits, edges);
      unions[t] = edges;
      numbers[kPlanHeader * t + 1] = static_cast<int32_t>(keys);
      numbers[kPlanHeader * t + 2] =
          std::accumulate(rows.degree, rows.degree + group.count, int32_t{0});
    }
  });
  int64_t total = 0;
  for (const auto& edges : unions) total += static_cast<int64_t>(edges.size());
  TORCH_CHECK_VALUE(total <= std::numeric_limits<int32_t>::max(), "the graph has ", total,
                    " distinct pairs of a key and a group of queries; the limit is 2^31 - 1");
  const at::Tensor plan = at::empty({kPlanHeader * groups + total}, at::kInt);
  Edges* edges = reinterpret_cast<Edges*>(plan.data_ptr<int32_t>() + kPlanHeader * groups);
  for (const auto& each : unions) edges = std::copy(each.begin(), each.end(), edges);
  std::copy_n(numbers, kPlanHeader * groups, plan.data_ptr<int32_t>());
  return plan;
}

Layout::Layout(int64_t nodes) : nodes_(nodes) {
  const int64_t side = std::llround(std::sqrt(static_cast<double>(nodes)));
  if (side * side == nodes && side % kSide == 0) side_ = side;
}

Group Layout::group(int64_t t) const {
  Group group{};
  group.count = static_cast<int>(std::min<int64_t>(kGroup, nodes_ - t * kGroup));
  const int64_t blocks = side_ / kSide;
  const int64_t first = side_ ? t / blocks * kSide * side_ + t % blocks * kSide : t * kGroup;
  const int64_t pitch = side_ ? side_ : kSide;
  for (int i = 0; i < group.count; ++i)
    group.query[i] = static_cast<int32_t>(first + i / kSide * pitch + i % kSide);
  return group;
}

Plan::Plan(const at::Tensor& plan, const Graph& graph) : graph_(graph), layout_(graph.nodes) {
  const int64_t groups = graph.groups();
  TORCH_CHECK_VALUE(plan.dim() == 1 && plan.scalar_type() == at::kInt && plan.is_contiguous() &&
                        plan.numel() >= kPlanHeader * groups,
                    "the plan must be what plan_groups makes of the graph, int32 of at least ",
                    kPlanHeader * groups, " numbers, got ", plan.scalar_type(), " ", plan.sizes());
  header_ = plan.data_ptr<int32_t>();
  edges_ = reinterpret_cast<const Edges*>(header_ + kPlanHeader * groups);
  const int64_t total = plan.numel() - kPlanHeader * groups;
  int64_t begin = 0;
  for (int64_t t = 0; t < groups; ++t) {
    const int64_t count = header_[kPlanHeader * t + 1];
    TORCH_CHECK_VALUE(count > 0 && count <= graph.nodes && begin + pad_union(count) <= total,
                      "the plan was made for another graph: group ", t, " has ", count, " keys at ",
                      begin, " of ", total);
    begins_.push_back(begin);
    begin += pad_union(count);
    keys_ += count;
    pairs_ += header_[kPlanHeader * t + 2];
  }
  const auto last_token = static_cast<uint32_t>(graph.nodes - 1);
  at::parallel_for(0, groups, 16, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      const RowsHash rows(graph, t / graph.groups_per_window(), this->group(t));
      const Union keys = keys_of(t);
      UnsignedInts beyond{};  // where a lane is negative
      for (int64_t u = 0; u < pad_union(keys.count); u += kLanes)
        beyond |= last_token -
                  (UnsignedInts)(load(reinterpret_cast<const int32_t*>(keys.edges) + u) & 0xffff);
      TORCH_CHECK_VALUE(rows.readable && rows.hash == header_[kPlanHeader * t] &&
                            !any_negative(beyond),
                        "the graph's indices have changed since they were planned; make a new "
                        "KeyGraph of them");
    }
  });
}

bool Plan::by_gathers(int64_t t, int64_t dims) const {
  return gathers_are_faster(header_[kPlanHeader * t + 1], header_[kPlanHeader * t + 2],
                            gather_cost(dims));
}

bool Plan::suits_amx() const { return !gathers_are_faster(keys_, pairs_, kAmxGatherCost); }

Group Plan::group(int64_t t) const { return layout_.group(t % graph_.groups_per_window()); }

KeyRows Plan::rows_of(int64_t t, const Group& group) const {
  return rows_of_keys(graph_, t / graph_.groups_per_window(), group);
}

}  // namespace kgt
