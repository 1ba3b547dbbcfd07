// Rows of tensors of any strides and element type, as floats.
#pragma once

#include <ATen/ATen.h>

#include <type_traits>

#include "simd.h"

namespace kgt {

// A tensor [W, H, N, D] by its strides.
template <typename T>
struct View {
  explicit View(const at::Tensor& t)
      : data(t.data_ptr<T>()), windows(t.size(0)), heads(t.size(1)), nodes(t.size(2)),
        dims(t.size(3)), stride_w(t.stride(0)), stride_h(t.stride(1)), stride_n(t.stride(2)),
        stride_d(t.stride(3)) {}

  T* row(int64_t w, int64_t h, int64_t n) const {
    return data + w * stride_w + h * stride_h + n * stride_n;
  }

  // The row as floats times `factor`; what stands behind the `dims` floats is left alone.
  KGT_INLINE void read(int64_t w, int64_t h, int64_t n, float factor, float* to) const {
    const T* from = row(w, h, n);
    if (stride_d != 1) {
      for (int64_t d = 0; d < dims; ++d) to[d] = static_cast<float>(from[d * stride_d]) * factor;
      return;
    }
    if constexpr (std::is_same_v<T, float>) {
      if (dims >= kLanes) {
        for (int64_t d = 0; d < dims - kLanes; d += kLanes)
          store(to + d, load(from + d) * factor);
        store(to + dims - kLanes, load(from + dims - kLanes) * factor);
        return;
      }
    }
    for (int64_t d = 0; d < dims; ++d) to[d] = static_cast<float>(from[d]) * factor;
  }

  KGT_INLINE void write(const float* from, int64_t w, int64_t h, int64_t n, float factor) const {
    T* to = row(w, h, n);
    if (stride_d != 1) {
      for (int64_t d = 0; d < dims; ++d) to[d * stride_d] = static_cast<T>(from[d] * factor);
      return;
    }
    if constexpr (std::is_same_v<T, float>) {
      if (dims >= kLanes) {
        for (int64_t d = 0; d < dims - kLanes; d += kLanes)
          store(to + d, load(from + d) * factor);
        store(to + dims - kLanes, load(from + dims - kLanes) * factor);
        return;
      }
    }
    for (int64_t d = 0; d < dims; ++d) to[d] = static_cast<T>(from[d] * factor);
  }

  // Asks for rows first .. last of one head to be in the second-level cache.
  void prefetch(int64_t w, int64_t h, int64_t first, int64_t last) const {
    constexpr int64_t kLineBytes = 64;
    for (int64_t n = first; n < last; ++n) {
      const char* at = reinterpret_cast<const char*>(row(w, h, n));
      for (int64_t byte = 0; byte < dims * stride_d * int64_t{sizeof(T)}; byte += kLineBytes)
        __builtin_prefetch(at + byte, 0, 2);
    }
  }

  // All rows of one head of one window as [N][stride].
  void read_head(int64_t w, int64_t h, int64_t stride, float* to) const {
    for (int64_t n = 0; n < nodes; ++n) read(w, h, n, 1.0f, to + n * stride);
  }

  void write_head(const float* from, int64_t stride, int64_t w, int64_t h, float factor) const {
    for (int64_t n = 0; n < nodes; ++n) write(from + n * stride, w, h, n, factor);
  }

  T* data;
  int64_t windows, heads, nodes, dims;
  int64_t stride_w, stride_h, stride_n, stride_d;
};

}  // namespace kgt
