"""Triton kernels that do a tile of neighboring tokens at once, by matrix products.

Names and layouts as in `gather`. A tile of TILE queries goes over the union of their keys;
bit t of a union's word is set where query t of the tile chose that key. With keys and queries
exchanged the same serves the gradients of keys and values. For T tiles the order of the tokens is
[T * TILE], N and more standing for none; unions and words are [W, T, S] (S a multiple of BLOCK), of
which counts [W, T] are filled; the rest of the words is 0. PRECISION is how products of float32 are
computed.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kgt.attention.triton.parts import center, entries_of, place, row_pointers


@triton.jit
def tile_forward(
    q_ptr,
    k_ptr,
    v_ptr,
    order_ptr,
    union_ptr,
    words_ptr,
    counts_ptr,
    bias_ptr,
    out_ptr,
    logsumexp_ptr,
    q_w,
    q_h,
    q_n,
    q_d,
    k_w,
    k_h,
    k_n,
    k_d,
    v_w,
    v_h,
    v_n,
    v_d,
    heads,
    nodes,
    slots,
    scale,
    HEAD_DIM: tl.constexpr,
    PADDED_DIM: tl.constexpr,
    WINDOW: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Attend for a tile of queries of one head. Grid (W * tiles, H)."""
    group = tl.program_id(0)
    head = tl.program_id(1).to(tl.int64)
    tiles = tl.cdiv(nodes, TILE)
    window = (group // tiles).to(tl.int64)
    bits = tl.arange(0, TILE)
    query = tl.load(order_ptr + group % tiles * TILE + bits)
    dims = tl.arange(0, PADDED_DIM)
    real = dims < HEAD_DIM
    inside = (query < nodes)[:, None] & real[None, :]
    q_base = q_ptr + window * q_w + head * q_h
    k_base = k_ptr + window * k_w + head * k_h
    v_base = v_ptr + window * v_w + head * v_h
    q = tl.load(row_pointers(q_base, query, dims, q_n, q_d), mask=inside, other=0.0)
    union = group.to(tl.int64) * slots + tl.arange(0, BLOCK)
    if WINDOW:
        table = bias_ptr + head * entries_of(WINDOW)
        origin = place(query, WINDOW) + center(WINDOW)

    largest = tl.full([TILE], -float("inf"), tl.float32)
    total = tl.zeros([TILE], tl.float32)
    out = tl.zeros([TILE, PADDED_DIM], tl.float32)
    for start in range(0, tl.load(counts_ptr + group), BLOCK):
        key = tl.load(union_ptr + union + start)
        word = tl.load(words_ptr + union + start)
        edge = ((word[None, :] >> bits[:, None]) & 1) != 0
        k = tl.load(row_pointers(k_base, key, dims, k_n, k_d), mask=real[None, :], other=0.0)
        v = tl.load(row_pointers(v_base, key, dims, v_n, v_d), mask=real[None, :], other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
        if WINDOW:
            entry = origin[:, None] - place(key, WINDOW)[None, :]
            scores += tl.load(table + entry, mask=edge, other=0.0)
        scores = tl.where(edge, scores, -float("inf"))
        larger = tl.maximum(largest, tl.max(scores, axis=1))
        # A query may have met none of its keys yet: 0 then stands for minus infinity.
        finite = tl.where(larger == -float("inf"), 0.0, larger)
        weights = tl.exp(scores - finite[:, None])
        decay = tl.exp(largest - finite)
        total = total * decay + tl.sum(weights, axis=1)
        out = out * decay[:, None]
        out += tl.dot(weights.to(v.dtype), v, input_precision=PRECISION)
        largest = larger

    merged = out_ptr + (window * nodes * heads + head) * HEAD_DIM
    row_of = query[:, None] * (heads * HEAD_DIM) + dims[None, :]
    tl.store(merged + row_of, (out / total[:, None]).to(out_ptr.dtype.element_ty), mask=inside)
    ones = logsumexp_ptr + (window * heads + head) * nodes
    tl.store(ones + query, largest + tl.log(total), mask=query < nodes)


@triton.jit
def tile_backward_queries(
    q_ptr,
    k_ptr,
    v_ptr,
    grad_ptr,
    order_ptr,
    union_ptr,
    words_ptr,
    counts_ptr,
    bias_ptr,
    out_ptr,
    logsumexp_ptr,
    delta_ptr,
    grad_q_ptr,
    grad_tables_ptr,
    q_w,
    q_h,
    q_n,
    q_d,
    k_w,
    k_h,
    k_n,
    k_d,
    v_w,
    v_h,
    v_n,
    v_d,
    g_w,
    g_h,
    g_n,
    g_d,
    tables,
    heads,
    nodes,
    slots,
    scale,
    HEAD_DIM: tl.constexpr,
    PADDED_DIM: tl.constexpr,
    WINDOW: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Gradients of a tile of queries of one head, their deltas, and the table's.

    Grid (W * tiles, H).
    Pairs of one tile share offsets, so the table's gradient, alone of all, is summed in any order:
    by atomics, into one of float32 [tables, H, 2M-1, 2M-1], zeros.
    """
    group = tl.program_id(0)
    head = tl.program_id(1).to(tl.int64)
    tiles = tl.cdiv(nodes, TILE)
    window = (group // tiles).to(tl.int64)
    bits = tl.arange(0, TILE)
    query = tl.load(order_ptr + group % tiles * TILE + bits)
    dims = tl.arange(0, PADDED_DIM)
    real = dims < HEAD_DIM
    inside = (query < nodes)[:, None] & real[None, :]
    q_base = q_ptr + window * q_w + head * q_h
    k_base = k_ptr + window * k_w + head * k_h
    v_base = v_ptr + window * v_w + head * v_h
    g_base = grad_ptr + window * g_w + head * g_h
    merged = (window * nodes * heads + head) * HEAD_DIM
    row_of = query[:, None] * (heads * HEAD_DIM) + dims[None, :]
    ones = (window * heads + head) * nodes
    q = tl.load(row_pointers(q_base, query, dims, q_n, q_d), mask=inside, other=0.0)
    grad = tl.load(row_pointers(g_base, query, dims, g_n, g_d), mask=inside, other=0.0)
    out = tl.load(out_ptr + merged + row_of, mask=inside, other=0.0)
    delta = tl.sum(grad.to(tl.float32) * out.to(tl.float32), axis=1)
    tl.store(delta_ptr + ones + query, delta, mask=query < nodes)
    logsumexp = tl.load(logsumexp_ptr + ones + query, mask=query < nodes, other=0.0)
    union = group.to(tl.int64) * slots + tl.arange(0, BLOCK)
    if WINDOW:
        origin = place(query, WINDOW) + center(WINDOW)
        table = bias_ptr + head * entries_of(WINDOW)
        one_of = (group % tables) * heads + head
        grad_table = grad_tables_ptr + one_of * entries_of(WINDOW)

    grad_q = tl.zeros([TILE, PADDED_DIM], tl.float32)
    for start in range(0, tl.load(counts_ptr + group), BLOCK):
        key = tl.load(union_ptr + union + start)
        word = tl.load(words_ptr + union + start)
        edge = ((word[None, :] >> bits[:, None]) & 1) != 0
        k = tl.load(row_pointers(k_base, key, dims, k_n, k_d), mask=real[None, :], other=0.0)
        v = tl.load(row_pointers(v_base, key, dims, v_n, v_d), mask=real[None, :], other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
        if WINDOW:
            entry = origin[:, None] - place(key, WINDOW)[None, :]
            scores += tl.load(table + entry, mask=edge, other=0.0)
        weights = tl.where(edge, tl.exp(scores - logsumexp[:, None]), 0.0)
        grad_weights = tl.dot(grad, tl.trans(v), input_precision=PRECISION)
        grad_scores = weights * (grad_weights - delta[:, None])
        grad_q += tl.dot(grad_scores.to(k.dtype), k, input_precision=PRECISION)
        if WINDOW:
            tl.atomic_add(grad_table + entry, grad_scores, mask=edge, sem="relaxed")
    grad_q = (grad_q * scale).to(grad_q_ptr.dtype.element_ty)
    tl.store(grad_q_ptr + merged + row_of, grad_q, mask=inside)


@triton.jit
def tile_backward_keys(
    q_ptr,
    k_ptr,
    v_ptr,
    grad_ptr,
    order_ptr,
    union_ptr,
    words_ptr,
    counts_ptr,
    bias_ptr,
    logsumexp_ptr,
    delta_ptr,
    grad_k_ptr,
    grad_v_ptr,
    q_w,
    q_h,
    q_n,
    q_d,
    k_w,
    k_h,
    k_n,
    k_d,
    v_w,
    v_h,
    v_n,
    v_d,
    g_w,
    g_h,
    g_n,
    g_d,
    heads,
    nodes,
    slots,
    scale,
    HEAD_DIM: tl.constexpr,
    PADDED_DIM: tl.constexpr,
    WINDOW: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Gradients of a tile of keys and values of one head. Grid (W * tiles, H).

    The unions are of the queries that chose these keys. Scores stand as [keys, queries].
    """
    group = tl.program_id(0)
    head = tl.program_id(1).to(tl.int64)
    tiles = tl.cdiv(nodes, TILE)
    window = (group // tiles).to(tl.int64)
    bits = tl.arange(0, TILE)
    key = tl.load(order_ptr + group % tiles * TILE + bits)
    dims = tl.arange(0, PADDED_DIM)
    real = dims < HEAD_DIM
    inside = (key < nodes)[:, None] & real[None, :]
    q_base = q_ptr + window * q_w + head * q_h
    k_base = k_ptr + window * k_w + head * k_h
    v_base = v_ptr + window * v_w + head * v_h
    g_base = grad_ptr + window * g_w + head * g_h
    ones = (window * heads + head) * nodes
    k = tl.load(row_pointers(k_base, key, dims, k_n, k_d), mask=inside, other=0.0)
    v = tl.load(row_pointers(v_base, key, dims, v_n, v_d), mask=inside, other=0.0)
    union = group.to(tl.int64) * slots + tl.arange(0, BLOCK)
    if WINDOW:
        table = bias_ptr + head * entries_of(WINDOW)
        origin = center(WINDOW) - place(key, WINDOW)

    grad_k = tl.zeros([TILE, PADDED_DIM], tl.float32)
    grad_v = tl.zeros([TILE, PADDED_DIM], tl.float32)
    for start in range(0, tl.load(counts_ptr + group), BLOCK):
        query = tl.load(union_ptr + union + start)
        word = tl.load(words_ptr + union + start)
        edge = ((word[None, :] >> bits[:, None]) & 1) != 0
        q = tl.load(row_pointers(q_base, query, dims, q_n, q_d), mask=real[None, :], other=0.0)
        grad = tl.load(row_pointers(g_base, query, dims, g_n, g_d), mask=real[None, :], other=0.0)
        logsumexp = tl.load(logsumexp_ptr + ones + query)
        delta = tl.load(delta_ptr + ones + query)
        scores = tl.dot(k, tl.trans(q), input_precision=PRECISION) * scale
        if WINDOW:
            entry = origin[:, None] + place(query, WINDOW)[None, :]
            scores += tl.load(table + entry, mask=edge, other=0.0)
        weights = tl.where(edge, tl.exp(scores - logsumexp[None, :]), 0.0)
        grad_v += tl.dot(weights.to(grad.dtype), grad, input_precision=PRECISION)
        grad_weights = tl.dot(v, tl.trans(grad), input_precision=PRECISION)
        grad_scores = weights * (grad_weights - delta[None, :])
        grad_k += tl.dot(grad_scores.to(q.dtype), q, input_precision=PRECISION)

    merged = (window * nodes * heads + head) * HEAD_DIM
    row_of = key[:, None] * (heads * HEAD_DIM) + dims[None, :]
    grad_k = (grad_k * scale).to(grad_k_ptr.dtype.element_ty)
    tl.store(grad_k_ptr + merged + row_of, grad_k, mask=inside)
    grad_v = grad_v.to(grad_v_ptr.dtype.element_ty)
    tl.store(grad_v_ptr + merged + row_of, grad_v, mask=inside)
