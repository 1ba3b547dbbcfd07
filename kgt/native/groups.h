// Cutting the queries of a graph into groups of sixteen, and choosing how each group is done.
#pragma once

#include <vector>

#include "kernels.h"

namespace kgt {

// The graph [W, N, K]: rows of ascending token numbers, followed by -1 where there are fewer.
struct Graph {
  const int32_t* rows;
  int64_t windows, nodes, keys;

  int64_t groups_per_window() const { return (nodes + kGroup - 1) / kGroup; }
  int64_t groups() const { return windows * groups_per_window(); }
};

struct Groups {
  std::vector<Group> groups;
  std::vector<Union> unions;  // empty where the group is done by gathers

  explicit Groups(const Graph& graph) : groups(graph.groups()), unions(graph.groups()) {}

  // Fills groups begin .. end. A group gets its union where that has less than `gather_cost` keys
  // per key of a query, gather_cost being the time of a pair by gathers over that by tiles.
  void fill(const Graph& graph, double gather_cost, int64_t begin, int64_t end);
};

}  // namespace kgt
