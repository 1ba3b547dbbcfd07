// Key-graph attention on a CPU, forward and backward, as torch operators.
//
// A work item is one head of one window: its keys and values are unpacked to aligned float rows and
// stay in the second-level cache while its groups of queries are done. Nothing is N x N large.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <optional>
#include <tuple>
#include <vector>

#include "groups.h"
#include "kernels.h"
#include "rows.h"

namespace kgt {
namespace {

constexpr int64_t kMaxDims = 64, kMaxNodes = 65535;

int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Refuses rows that are not ascending token numbers followed by -1.
void check_rows(const Graph& graph, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) {
    const int32_t* row = graph.rows + r * graph.keys;
    bool full = row[0] >= 0 && row[graph.keys - 1] < graph.nodes;
    for (int64_t j = 1; j < graph.keys; ++j) full &= row[j - 1] < row[j];
    if (full) continue;
    const int64_t degree = std::find(row, row + graph.keys, -1) - row;
    bool padded = degree > 0 && degree < graph.keys && row[0] >= 0 && row[degree - 1] < graph.nodes;
    for (int64_t j = 1; j < degree; ++j) padded &= row[j - 1] < row[j];
    for (int64_t j = degree; j < graph.keys; ++j) padded &= row[j] == -1;
    TORCH_CHECK_VALUE(padded, "graph: the keys of token ", r % graph.nodes, " in window ",
                      r / graph.nodes, " must be ascending numbers of 0 to ", graph.nodes - 1,
                      ", at least one, followed by -1 where there are fewer than ", graph.keys);
  }
}

Graph graph_of(const at::Tensor& indices) {
  TORCH_CHECK_VALUE(indices.dim() == 3 && indices.scalar_type() == at::kInt &&
                        indices.is_contiguous() && indices.numel() > 0,
                    "graph indices must be a contiguous, non-empty int32 [W, N, K], got ",
                    indices.scalar_type(), " ", indices.sizes());
  TORCH_CHECK_VALUE(indices.size(1) <= kMaxNodes, "N = ", indices.size(1), ": at most ", kMaxNodes);
  return {indices.data_ptr<int32_t>(), indices.size(0), indices.size(1), indices.size(2)};
}

// How the groups of a graph are done; refuses indices that are no graph.
at::Tensor plan_attention(const at::Tensor& indices) {
  const Graph graph = graph_of(indices);
  at::parallel_for(0, graph.windows * graph.nodes, 256,
                   [&](int64_t begin, int64_t end) { check_rows(graph, begin, end); });
  return plan_groups(graph);
}

Graph check_graph(const at::Tensor& indices, const at::Tensor& q) {
  const Graph graph = graph_of(indices);
  TORCH_CHECK_VALUE(graph.windows == q.size(0) && graph.nodes == q.size(2),
                    "the graph must be [W, N, K] over ", q.size(0), " windows of ", q.size(2),
                    " nodes, got ", indices.sizes());
  return graph;
}

void check_tensors(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                   const std::optional<at::Tensor>& bias) {
  TORCH_CHECK_VALUE(q.dim() == 4 && q.numel() > 0 && k.sizes() == q.sizes() &&
                        v.sizes() == q.sizes(),
                    "q, k and v must be non-empty [W, H, N, D] of one shape, got ", q.sizes(), ", ",
                    k.sizes(), ", ", v.sizes());
  TORCH_CHECK_VALUE((q.scalar_type() == at::kFloat || q.scalar_type() == at::kBFloat16) &&
                        k.scalar_type() == q.scalar_type() && v.scalar_type() == q.scalar_type(),
                    "q, k and v must all be float32 or all bfloat16, got ", q.scalar_type(), ", ",
                    k.scalar_type(), ", ", v.scalar_type());
  TORCH_CHECK_VALUE(q.size(3) <= kMaxDims, "D = ", q.size(3), ": at most ", kMaxDims);
  if (!bias) return;
  const int64_t side = std::llround(std::sqrt(static_cast<double>(q.size(2))));
  TORCH_CHECK_VALUE(side * side == q.size(2) && bias->dim() == 3 && bias->size(0) == q.size(1) &&
                        bias->size(1) == 2 * side - 1 && bias->size(2) == 2 * side - 1 &&
                        bias->scalar_type() == at::kFloat,
                    "bias must be a float32 table [H, 2M-1, 2M-1] for H = ", q.size(1),
                    " and N = M * M = ", q.size(2), ", got ", bias->scalar_type(), " ",
                    bias->sizes());
}

// The tables of all heads, times log2(e).
class Biases {
 public:
  Biases(const std::optional<at::Tensor>& bias, int64_t nodes) {
    if (!bias) return;
    side_ = static_cast<int32_t>(std::llround(std::sqrt(static_cast<double>(nodes))));
    tables_ = at::constant_pad_nd(*bias * kLog2E, {1, 0}).contiguous();
    places_.reserve(nodes);
    for (int32_t n = 0; n < nodes; ++n) places_.push_back(n + n / side_ * side_);
  }

  bool exist() const { return tables_.defined(); }
  Bias of(int64_t head) const {
    if (!exist()) return {};
    const float* table = tables_.data_ptr<float>() + head * tables_[0].numel();
    return {table, places_.data(), side_};
  }

 private:
  at::Tensor tables_;
  std::vector<int32_t> places_;
  int32_t side_ = 0;
};

// Rows of the keys and values of one head, and scratch of the kernels.
struct Scratch {
  Buffer keys, values, work, queries, out, logsumexp;

  Scratch(const Graph& graph, int64_t stride)
      : keys(graph.nodes * stride), values(graph.nodes * stride),
        work(std::max(gather_scratch(graph.keys), tile_scratch(stride))), queries(kGroup * stride),
        out(kGroup * stride), logsumexp(kGroup) {}
};

// How many pieces the groups of one head are cut into, so that every thread has work.
int64_t pieces_per_head(const at::Tensor& q, int64_t groups) {
  const int64_t wanted = 4 * at::get_num_threads(), heads = q.size(0) * q.size(1);
  return std::clamp<int64_t>((wanted + heads - 1) / heads, 1, groups);
}

// Asks for what a later head, counted over all windows, has instead of the rows of group t.
template <typename T>
void prefetch_group(std::initializer_list<const View<T>*> tensors, int64_t head, int64_t t) {
  for (const auto* rows : tensors)
    rows->prefetch(head / rows->heads, head % rows->heads, t * kGroup,
                   std::min((t + 1) * kGroup, rows->nodes));
}

template <typename T>
void forward_typed(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                   const Graph& graph, const Plan& plan, const Biases& biases, float scale,
                   const at::Tensor& out, const at::Tensor& logsumexp) {
  const View<T> q_(q), k_(k), v_(v), out_(out);
  const int64_t heads = q_.heads, dims = q_.dims, stride = round_up(dims, kLanes);
  const int64_t per_window = graph.groups_per_window(), pieces = pieces_per_head(q, per_window);
  at::parallel_for(0, q_.windows * heads * pieces, 1, [&](int64_t begin, int64_t end) {
    Scratch s(graph, stride);
    int64_t unpacked = -1;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t w = item / pieces / heads, h = item / pieces % heads, piece = item % pieces;
      if (item / pieces != unpacked) {
        unpacked = item / pieces;
        k_.read_head(w, h, stride, s.keys);
        v_.read_head(w, h, stride, s.values);
      }
      const Head head{s.keys, s.values, stride, dims, biases.of(h)};
      float* logsumexps = logsumexp.data_ptr<float>() + unpacked * graph.nodes;
      for (int64_t t = piece * per_window / pieces; t < (piece + 1) * per_window / pieces; ++t) {
        const Group group = plan.group(w * per_window + t);
        const Union keys = plan.keys_of(w * per_window + t);
        if (item + 1 < end) prefetch_group<T>({&k_, &v_}, (item + 1) / pieces, t);
        for (int i = 0; i < group.count; ++i)
          q_.read(w, h, group.query[i], scale * kLog2E, s.queries + i * stride);
        const Forward io{s.queries, s.out, s.logsumexp};
        if (!plan.by_gathers(w * per_window + t, dims))
          tile_forward(head, group, keys, io, s.work);
        else
          gather_forward(head, group, plan.rows_of(w * per_window + t, group), io, s.work);
        for (int i = 0; i < group.count; ++i) {
          out_.write(s.out + i * stride, w, h, group.query[i], 1.0f);
          logsumexps[group.query[i]] = s.logsumexp[i];
        }
      }
    }
  });
}

const uint16_t* halves(const at::BFloat16* from) { return &from->x; }

HalfRows rows_from(const View<at::BFloat16>& view, int64_t w, int64_t h, int64_t n) {
  return {halves(view.row(w, h, n)), view.stride_n, view.stride_d, view.dims};
}

// Packed rows of the keys and values of one head, and scratch of the kernel.
struct HalfScratch {
  Buffer keys, values, queries, work, out, logsumexp;

  HalfScratch(const Graph& graph, int64_t stride)
      : keys(graph.nodes * stride / 2), values(graph.nodes * stride / 2),
        queries(kGroup * stride / 2), work(amx_scratch(graph.nodes)), out(kGroup * stride),
        logsumexp(kGroup) {}

  static uint16_t* halves(const Buffer& buffer) {
    return reinterpret_cast<uint16_t*>(static_cast<float*>(buffer));
  }
};

// forward_typed by the matrix unit, all groups by their unions.
void forward_amx(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Graph& graph,
                 const Plan& plan, const Biases& biases, float scale, const at::Tensor& out,
                 const at::Tensor& logsumexp) {
  const View<at::BFloat16> q_(q), k_(k), v_(v), out_(out);
  const int64_t heads = q_.heads, stride = amx_stride(q_.dims);
  const int64_t per_window = graph.groups_per_window(), pieces = pieces_per_head(q, per_window);
  at::parallel_for(0, q_.windows * heads * pieces, 1, [&](int64_t begin, int64_t end) {
    const AmxTiles tiles;
    HalfScratch s(graph, stride);
    uint16_t *keys = s.halves(s.keys), *values = s.halves(s.values), *queries = s.halves(s.queries);
    int64_t packed = -1;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t w = item / pieces / heads, h = item / pieces % heads, piece = item % pieces;
      if (item / pieces != packed) {
        packed = item / pieces;
        amx_pack(rows_from(k_, w, h, 0), graph.nodes, stride, keys);
        amx_pack(rows_from(v_, w, h, 0), graph.nodes, stride, values);
      }
      const HalfHead head{keys, values, stride, scale * kLog2E, biases.of(h)};
      float* logsumexps = logsumexp.data_ptr<float>() + packed * graph.nodes;
      for (int64_t t = piece * per_window / pieces; t < (piece + 1) * per_window / pieces; ++t) {
        const Group group = plan.group(w * per_window + t);
        for (int i = 0; i < group.count; ++i)
          amx_pack(rows_from(q_, w, h, group.query[i]), 1, stride, queries + i * stride);
        amx_forward(head, group, plan.keys_of(w * per_window + t), {queries, s.out, s.logsumexp},
                    s.work);
        for (int i = 0; i < group.count; ++i) {
          out_.write(s.out + i * stride, w, h, group.query[i], 1.0f);
          logsumexps[group.query[i]] = s.logsumexp[i];
        }
      }
    }
  });
}

// [W, H, N, D] whose memory is [W, N, H, D], as the layer's merge wants it.
at::Tensor empty_merged(const at::Tensor& q) {
  return at::empty({q.size(0), q.size(2), q.size(1), q.size(3)}, q.options()).transpose(1, 2);
}

std::tuple<at::Tensor, at::Tensor> attention_forward(const at::Tensor& q, const at::Tensor& k,
                                                     const at::Tensor& v, const at::Tensor& indices,
                                                     const at::Tensor& plan,
                                                     const std::optional<at::Tensor>& bias,
                                                     double scale) {
  check_tensors(q, k, v, bias);
  const Graph graph = check_graph(indices, q);
  at::Tensor out = empty_merged(q);
  at::Tensor logsumexp =
      at::empty({q.size(0), q.size(1), q.size(2)}, q.options().dtype(at::kFloat));
  const Biases biases(bias, graph.nodes);
  const Plan read(plan, graph);
  const auto run = q.scalar_type() == at::kFloat         ? forward_typed<float>
                   : amx_available() && read.suits_amx() ? forward_amx
                                                         : forward_typed<at::BFloat16>;
  run(q, k, v, graph, read, biases, static_cast<float>(scale), out, logsumexp);
  return {out, logsumexp};
}

struct BackwardScratch : Scratch {
  Buffer grad_keys, grad_values, grad_pairs, grad_out, grad_queries, delta, grad_tables;

  BackwardScratch(const Graph& graph, int64_t stride, const Bias& bias)
      : Scratch(graph, stride), grad_keys(graph.nodes * stride), grad_values(graph.nodes * stride),
        grad_pairs(graph.nodes * kLanes), grad_out(kGroup * stride), grad_queries(kGroup * stride),
        delta(kGroup), grad_tables(BiasGradient::floats(bias)) {}
};

// Adds pairs of rows of `dims` floats, values' and keys' side by side, to rows of their own.
void add_pairs(const float* pairs, int64_t nodes, int64_t dims, int64_t stride, float* values,
               float* keys) {
  for (int64_t n = 0; n < nodes; ++n)
    for (int64_t d = 0; d < dims; ++d) {
      values[n * stride + d] += pairs[n * kLanes + 2 * d];
      keys[n * stride + d] += pairs[n * kLanes + 2 * d + 1];
    }
}

// The sum of the parts of a gradient as a table [2M-1][2M-1].
void add_up(const BiasGradient& grad, const Bias& bias, float* table) {
  for (int64_t row = 0; row < 2 * bias.side - 1; ++row)
    for (int64_t column = 0; column < 2 * bias.side - 1; ++column) {
      const float* at = grad.tables + row * bias.pitch() + column + 1;
      float sum = 0.0f;
      for (int64_t part = 0; part < BiasGradient::kParts; ++part)
        sum += at[part * (bias.size() + 1)];
      *table++ = sum;
    }
}

// Gradients of q, k and v, and of the tables of each window and head where grad_tables is not null.
template <typename T>
void backward_typed(const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k,
                    const at::Tensor& v, const at::Tensor& out, const at::Tensor& logsumexp,
                    const Graph& graph, const Plan& plan, const Biases& biases, float scale,
                    const at::Tensor& grad_q, const at::Tensor& grad_k, const at::Tensor& grad_v,
                    float* grad_tables) {
  const View<T> grad_out_(grad_out), q_(q), k_(k), v_(v), out_(out), grad_q_(grad_q),
      grad_k_(grad_k), grad_v_(grad_v);
  const int64_t heads = q_.heads, dims = q_.dims, stride = round_up(dims, kLanes);
  const int64_t per_window = graph.groups_per_window();
  at::parallel_for(0, q_.windows * heads, 1, [&](int64_t begin, int64_t end) {
    BackwardScratch s(graph, stride, biases.of(0));
    for (int64_t item = begin; item < end; ++item) {
      const int64_t w = item / heads, h = item % heads;
      k_.read_head(w, h, stride, s.keys);
      v_.read_head(w, h, stride, s.values);
      std::fill_n(static_cast<float*>(s.grad_keys), graph.nodes * stride, 0.0f);
      std::fill_n(static_cast<float*>(s.grad_values), graph.nodes * stride, 0.0f);
      float* grad_pairs = is_narrow(dims) ? static_cast<float*>(s.grad_pairs) : nullptr;
      if (grad_pairs) std::fill_n(grad_pairs, graph.nodes * kLanes, 0.0f);
      const Head head{s.keys, s.values, stride, dims, biases.of(h)};
      const BiasGradient grad_bias{grad_tables ? static_cast<float*>(s.grad_tables) : nullptr};
      if (grad_tables) std::fill_n(grad_bias.tables, BiasGradient::floats(head.bias), 0.0f);
      const float* logsumexps = logsumexp.data_ptr<float>() + item * graph.nodes;
      for (int64_t t = w * per_window; t < (w + 1) * per_window; ++t) {
        const Group group = plan.group(t);
        const Union keys = plan.keys_of(t);
        if (item + 1 < end)
          prefetch_group<T>({&k_, &v_, &q_, &out_, &grad_out_}, item + 1, t - w * per_window);
        for (int i = 0; i < group.count; ++i) {
          const int64_t n = group.query[i];
          float *row = s.out + i * stride, *grad_row = s.grad_out + i * stride;
          q_.read(w, h, n, scale * kLog2E, s.queries + i * stride);
          out_.read(w, h, n, 1.0f, row);
          grad_out_.read(w, h, n, 1.0f, grad_row);
          s.logsumexp[i] = logsumexps[n];
          s.delta[i] = 0.0f;
          for (int64_t d = 0; d < dims; ++d) s.delta[i] += row[d] * grad_row[d];
        }
        const Backward io{s.queries,   s.grad_out,    s.logsumexp, s.delta,  s.grad_queries,
                          s.grad_keys, s.grad_values, grad_pairs,  grad_bias};
        if (!plan.by_gathers(t, dims))
          tile_backward(head, group, keys, io, s.work);
        else
          gather_backward(head, group, plan.rows_of(t, group), io, s.work);
        for (int i = 0; i < group.count; ++i)
          grad_q_.write(s.grad_queries + i * stride, w, h, group.query[i], scale);
      }
      if (grad_pairs) add_pairs(grad_pairs, graph.nodes, dims, stride, s.grad_values, s.grad_keys);
      // The queries came times scale * log2(e), of which the gradient of the keys wants the scale.
      grad_k_.write_head(s.grad_keys, stride, w, h, kLn2);
      grad_v_.write_head(s.grad_values, stride, w, h, 1.0f);
      if (grad_tables) {
        const int64_t columns = 2 * head.bias.side - 1;
        add_up(grad_bias, head.bias, grad_tables + item * columns * columns);
      }
    }
  });
}

// The gradients of q, k, v, and of the table where there is one (else empty).
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> attention_backward(
    const at::Tensor& grad_out, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
    const at::Tensor& indices, const at::Tensor& plan, const std::optional<at::Tensor>& bias,
    const at::Tensor& out, const at::Tensor& logsumexp, double scale) {
  check_tensors(q, k, v, bias);
  const Graph graph = check_graph(indices, q);
  TORCH_CHECK_VALUE(grad_out.sizes() == q.sizes() && out.sizes() == q.sizes() &&
                        grad_out.scalar_type() == q.scalar_type() &&
                        out.scalar_type() == q.scalar_type(),
                    "output and its gradient must be as q, ", q.scalar_type(), " ", q.sizes(),
                    ", got ", out.sizes(), " and ", grad_out.sizes());
  TORCH_CHECK_VALUE(logsumexp.is_contiguous() && logsumexp.scalar_type() == at::kFloat &&
                        logsumexp.numel() == q.numel() / q.size(3),
                    "logsumexp must be a contiguous float32 [W, H, N], got ", logsumexp.sizes());
  at::Tensor grad_q = empty_merged(q), grad_k = empty_merged(q), grad_v = empty_merged(q);
  const Biases biases(bias, graph.nodes);
  // One table per window and head, added up in order: the same sums for any number of threads.
  at::Tensor grad_tables = at::empty({0}, q.options().dtype(at::kFloat));
  if (bias)
    grad_tables =
        at::empty({q.size(0), q.size(1), bias->size(1), bias->size(2)}, grad_tables.options());
  const auto run =
      q.scalar_type() == at::kFloat ? backward_typed<float> : backward_typed<at::BFloat16>;
  run(grad_out, q, k, v, out, logsumexp, graph, Plan(plan, graph), biases,
      static_cast<float>(scale), grad_q, grad_k, grad_v,
      bias ? grad_tables.data_ptr<float>() : nullptr);
  return {grad_q, grad_k, grad_v, bias ? grad_tables.sum(0) : grad_tables};
}

}  // namespace
}  // namespace kgt

TORCH_LIBRARY_FRAGMENT(kgt, m) {
  m.def("amx_available() -> bool", kgt::amx_available);
  m.def("plan_attention(Tensor indices) -> Tensor");
  m.def(
      "attention_forward(Tensor q, Tensor k, Tensor v, Tensor indices, Tensor plan, Tensor? bias, "
      "float scale) -> (Tensor, Tensor)");
  m.def(
      "attention_backward(Tensor grad_out, Tensor q, Tensor k, Tensor v, Tensor indices, "
      "Tensor plan, Tensor? bias, Tensor out, Tensor logsumexp, float scale) "
      "-> (Tensor, Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(kgt, CPU, m) {
  m.impl("plan_attention", kgt::plan_attention);
  m.impl("attention_forward", kgt::attention_forward);
  m.impl("attention_backward", kgt::attention_backward);
}
