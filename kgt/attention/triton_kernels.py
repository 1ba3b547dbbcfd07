"""Triton kernels. Imported only where they run or are compiled: importing needs triton."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def gather_attention_forward(
    q_ptr,
    k_ptr,
    v_ptr,
    graph_ptr,
    bias_ptr,
    out_ptr,
    q_stride_w,
    q_stride_h,
    q_stride_n,
    q_stride_d,
    k_stride_w,
    k_stride_h,
    k_stride_n,
    k_stride_d,
    v_stride_w,
    v_stride_h,
    v_stride_n,
    v_stride_d,
    heads,
    nodes,
    keys,
    scale,
    HEAD_DIM: tl.constexpr,
    PADDED_DIM: tl.constexpr,
    WINDOW: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Attend for one query of one head: gather its keys in blocks, softmax online.

    Grid (N, H, W). The graph is [W, N, K] and out [W, H, N, D], both contiguous; WINDOW is the side
    M of the window if a bias table [H, 2M-1, 2M-1] is added, else 0.
    """
    query = tl.program_id(0)
    head = tl.program_id(1)
    # A window's offset in elements may pass 2^31.
    window = tl.program_id(2).to(tl.int64)
    dims = tl.arange(0, PADDED_DIM)
    real = dims < HEAD_DIM
    q_row = q_ptr + window * q_stride_w + head * q_stride_h + query * q_stride_n
    q = tl.load(q_row + dims * q_stride_d, mask=real, other=0.0).to(tl.float32) * scale
    k_base = k_ptr + window * k_stride_w + head * k_stride_h
    v_base = v_ptr + window * v_stride_w + head * v_stride_h
    row = graph_ptr + (window * nodes + query) * keys

    largest = -float("inf")
    total = 0.0
    out = tl.zeros([PADDED_DIM], dtype=tl.float32)
    for start in range(0, keys, BLOCK_K):
        slots = start + tl.arange(0, BLOCK_K)
        index = tl.load(row + slots, mask=slots < keys, other=-1)
        valid = index >= 0
        taken = valid[:, None] & real[None, :]
        k = tl.load(
            k_base + index[:, None] * k_stride_n + dims[None, :] * k_stride_d, mask=taken, other=0.0
        )
        scores = tl.sum(k.to(tl.float32) * q[None, :], axis=1)
        if WINDOW:
            side: tl.constexpr = 2 * WINDOW - 1
            dy = query // WINDOW - index // WINDOW + WINDOW - 1
            dx = query % WINDOW - index % WINDOW + WINDOW - 1
            table = bias_ptr + head * side * side
            scores += tl.load(table + dy * side + dx, mask=valid, other=0.0).to(tl.float32)
        scores = tl.where(valid, scores, -float("inf"))
        # Every row starts with a key, so the first block makes `larger` finite.
        larger = tl.maximum(largest, tl.max(scores, axis=0))
        weights = tl.exp(scores - larger)
        decay = tl.exp(largest - larger)
        v = tl.load(
            v_base + index[:, None] * v_stride_n + dims[None, :] * v_stride_d, mask=taken, other=0.0
        )
        out = out * decay + tl.sum(weights[:, None] * v.to(tl.float32), axis=0)
        total = total * decay + tl.sum(weights, axis=0)
        largest = larger

    out_row = out_ptr + ((window * heads + head) * nodes + query) * HEAD_DIM
    tl.store(out_row + dims, (out / total).to(out_ptr.dtype.element_ty), mask=real)
