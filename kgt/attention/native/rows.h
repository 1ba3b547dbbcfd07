// Rows of tensors of any strides and element type, as floats.
#pragma once

#include <ATen/ATen.h>

#include "simd.h"

namespace kgt {

typedef uint16_t Halves __attribute__((vector_size(kLanes * 2)));

KGT_INLINE Floats load_floats(const float* from) { return load(from); }

KGT_INLINE void store_floats(float* to, Floats value) { store(to, value); }

// A bfloat16 is the upper half of a float.
KGT_INLINE Floats load_floats(const at::BFloat16* from) {
  Halves halves;
  std::memcpy(&halves, from, sizeof halves);
  return (Floats)(__builtin_convertvector(halves, Ints) << 16);
}

// Rounded to nearest, ties to even; NaN stays NaN.
KGT_INLINE void store_floats(at::BFloat16* to, Floats value) {
  const Ints bits = (Ints)value;
  const Ints rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  const Halves halves =
      __builtin_convertvector(value == value ? rounded : rounded * 0 + 0x7fc0, Halves);
  std::memcpy(to, &halves, sizeof halves);
}

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
    } else if (dims >= kLanes) {
      for (int64_t d = 0; d < dims - kLanes; d += kLanes)
        store(to + d, load_floats(from + d) * factor);
      store(to + dims - kLanes, load_floats(from + dims - kLanes) * factor);
    } else {
      for (int64_t d = 0; d < dims; ++d) to[d] = static_cast<float>(from[d]) * factor;
    }
  }

  KGT_INLINE void write(const float* from, int64_t w, int64_t h, int64_t n, float factor) const {
    T* to = row(w, h, n);
    if (stride_d != 1) {
      for (int64_t d = 0; d < dims; ++d) to[d * stride_d] = static_cast<T>(from[d] * factor);
    } else if (dims >= kLanes) {
      for (int64_t d = 0; d < dims - kLanes; d += kLanes)
        store_floats(to + d, load(from + d) * factor);
      store_floats(to + dims - kLanes, load(from + dims - kLanes) * factor);
    } else {
      for (int64_t d = 0; d < dims; ++d) to[d] = static_cast<T>(from[d] * factor);
    }
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
