#include "groups.h"

#include <algorithm>
#include <cmath>

namespace kgt {
namespace {

// Queries of a group lie close together, for neighbors share keys: in blocks of 4 x 4 where the
// window is a square of whole blocks, in raster order elsewhere.
class Layout {
 public:
  explicit Layout(int64_t nodes) : nodes_(nodes) {
    const int64_t side = std::llround(std::sqrt(static_cast<double>(nodes)));
    if (side * side == nodes && side % kSide == 0) side_ = side;
  }

  int count(int64_t group) const {
    return static_cast<int>(std::min<int64_t>(kGroup, nodes_ - group * kGroup));
  }

  int32_t query(int64_t group, int i) const {
    if (!side_) return static_cast<int32_t>(group * kGroup + i);
    const int64_t blocks = side_ / kSide;
    const int64_t y = group / blocks * kSide + i / kSide, x = group % blocks * kSide + i % kSide;
    return static_cast<int32_t>(y * side_ + x);
  }

 private:
  static constexpr int kSide = 4;
  int64_t nodes_, side_ = 0;
};

}  // namespace

void Groups::fill(const Graph& graph, double gather_cost, int64_t begin, int64_t end) {
  const Layout layout(graph.nodes);
  const int64_t per_window = graph.groups_per_window();
  std::vector<uint16_t> edges(graph.nodes);
  std::vector<int32_t> keys(graph.nodes);
  for (int64_t t = begin; t < end; ++t) {
    Group& group = groups[t] = {};
    group.count = layout.count(t % per_window);
    int64_t pairs = 0;
    std::fill(edges.begin(), edges.end(), 0);
    for (int i = 0; i < group.count; ++i) {
      group.query[i] = layout.query(t % per_window, i);
      const int32_t* row =
          graph.rows + (t / per_window * graph.nodes + group.query[i]) * graph.keys;
      group.keys[i] = row;
      // Padding is at the end, if anywhere.
      const bool full = row[graph.keys - 1] >= 0;
      group.degree[i] = full ? graph.keys : std::find(row, row + graph.keys, -1) - row;
      pairs += group.degree[i];
      for (int64_t j = 0; j < group.degree[i]; ++j)
        edges[row[j]] |= static_cast<uint16_t>(1u << i);
    }
    int64_t found = 0;
    for (int64_t n = 0; n < graph.nodes; ++n) {
      keys[found] = static_cast<int32_t>(n);
      found += edges[n] != 0;
    }
    if (static_cast<double>(found * kGroup) >= gather_cost * static_cast<double>(pairs)) continue;
    unions[t].keys.assign(keys.begin(), keys.begin() + found);
    unions[t].bits.resize(found);
    for (int64_t u = 0; u < found; ++u) unions[t].bits[u] = edges[keys[u]];
  }
}

}  // namespace kgt
