// Cutting the queries of a graph into groups of sixteen, and choosing how each group is done.
#pragma once

#include <ATen/ATen.h>

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

// Queries of a group lie close together, for neighbors share keys: in blocks of 4 x 4 where the
// window is a square of whole blocks, in raster order elsewhere.
class Layout {
 public:
  explicit Layout(int64_t nodes);
  Group group(int64_t t) const;  // the t-th of a window

 private:
  static constexpr int kSide = 4;
  int64_t nodes_, side_ = 0;  // side of the window; 0 in raster order
};

// How each group of a graph is done, an int32 tensor that is made once and serves every call along
// the graph. Three numbers per group, a hash of its rows, how many keys its union has, and how many
// pairs of a query and a key there are; then the unions, an Edges in each number.
constexpr int64_t kPlanHeader = 3;
at::Tensor plan_groups(const Graph& graph);

// A plan as the kernels read it.
class Plan {
 public:
  // Refuses a plan that was made for another graph, or for this one before its rows changed. All
  // rows and unions are read for that, in less than a hundredth of the time of attention.
  Plan(const at::Tensor& plan, const Graph& graph);

  Group group(int64_t t) const;
  Union keys_of(int64_t t) const { return {edges_ + begins_[t], header_[kPlanHeader * t + 1]}; }
  // Whether gathers are faster than the union, in floats, for rows of that many.
  bool by_gathers(int64_t t, int64_t dims) const;
  // Whether the unions of all groups in bfloat16 by the matrix unit are faster than that.
  bool suits_amx() const;
  KeyRows rows_of(int64_t t, const Group& group) const;

 private:
  Graph graph_;
  Layout layout_;
  const int32_t* header_;
  const Edges* edges_;
  std::vector<int64_t> begins_;  // of each group's union
  int64_t keys_ = 0, pairs_ = 0;  // of all groups
};

}  // namespace kgt
