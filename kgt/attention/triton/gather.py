"""Triton kernels that gather the keys of each query, or the queries of each key.

Axes: W windows, H heads, N tokens, D head dimension, K keys of a query. Queries, keys, values and
the gradient of the output come in any strides; out and the other gradients lie as [W, N, H, D], the
graph as [W, N, K], log-sum-exp and delta (the products of an output with its gradient) as float32
[W, H, N]. WINDOW is the side M of the window if a table [H, 2M-1, 2M-1] is added, else 0. A loop
keeps a result of its own for each of BLOCK slots, so that threads meet only after it.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kgt.attention.triton.parts import center, entries_of, place, row_pointers


@triton.jit
def gather_forward(
    q_ptr,
    k_ptr,
    v_ptr,
    indices_ptr,
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
    keys,
    scale,
    HEAD_DIM: tl.constexpr,
    PADDED_DIM: tl.constexpr,
    WINDOW: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Attend for one query of one head. Grid (W * N, H)."""
    row = tl.program_id(0)
    head = tl.program_id(1).to(tl.int64)
    window = (row // nodes).to(tl.int64)
    query = row % nodes
    dims = tl.arange(0, PADDED_DIM)
    real = dims < HEAD_DIM
    q_row = q_ptr + window * q_w + head * q_h + query.to(tl.int64) * q_n
    q = tl.load(q_row + dims * q_d, mask=real, other=0.0).to(tl.float32) * scale
    k_base = k_ptr + window * k_w + head * k_h
    v_base = v_ptr + window * v_w + head * v_h
    graph_row = indices_ptr + row.to(tl.int64) * keys
    if WINDOW:
        table = bias_ptr + head * entries_of(WINDOW) + place(query, WINDOW) + center(WINDOW)

    largest = tl.full([BLOCK], -float("inf"), tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    sums = tl.zeros([BLOCK, PADDED_DIM], tl.float32)
    for start in range(0, keys, BLOCK):
        slots = start + tl.arange(0, BLOCK)
        key = tl.load(graph_row + slots, mask=slots < keys, other=-1)
        edge = key >= 0
        taken = edge[:, None] & real[None, :]
        k = tl.load(row_pointers(k_base, key, dims, k_n, k_d), mask=taken, other=0.0)
        v = tl.load(row_pointers(v_base, key, dims, v_n, v_d), mask=taken, other=0.0)
        scores = tl.sum(k.to(tl.float32) * q[None, :], axis=1)
        if WINDOW:
            scores += tl.load(table - place(key, WINDOW), mask=edge, other=0.0)
        # A slot without a key leaves everything as it is: its weight is 0, its decay 1.
        larger = tl.where(edge, tl.maximum(largest, scores), largest)
        weights = tl.where(edge, tl.exp(scores - larger), 0.0)
        decay = tl.where(edge, tl.exp(largest - larger), 1.0)
        sums = sums * decay[:, None] + weights[:, None] * v.to(tl.float32)
        total = total * decay + weights
        largest = larger

    # Every row of a graph holds a key, so the largest of all slots is finite.
    top = tl.max(largest, axis=0)
    share = tl.exp(largest - top)
    total_of_all = tl.sum(total * share, axis=0)
    out = tl.sum(sums * share[:, None], axis=0) / total_of_all
    out_row = out_ptr + (row.to(tl.int64) * heads + head) * HEAD_DIM
    tl.store(out_row + dims, out.to(out_ptr.dtype.element_ty), mask=real)
    tl.store(logsumexp_ptr + (window * heads + head) * nodes + query, top + tl.log(total_of_all))


@triton.jit
def gather_backward_queries(
    q_ptr,
    k_ptr,
    v_ptr,
    grad_ptr,
    indices_ptr,
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
    rows,
    rows_per_program,
    heads,
    nodes,
    keys,
    scale,
    HEAD_DIM: tl.constexpr,
    PADDED_DIM: tl.constexpr,
    WINDOW: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Gradients of a run of queries of one head, their deltas, and this program's own table.

    Grid (P, H), P programs of `rows_per_program` of the `rows` = W * N queries; grad_tables is
    float32 [P, H, 2M-1, 2M-1], zeros. The keys of a query are distinct, so are their offsets, and
    a barrier keeps queries in order: every sum is made in one order, and repeats bit by bit.
    """
    part = tl.program_id(0)
    head = tl.program_id(1).to(tl.int64)
    dims = tl.arange(0, PADDED_DIM)
    real = dims < HEAD_DIM
    first = part * rows_per_program
    for step in range(tl.minimum(rows_per_program, rows - first)):
        row = first + step
        window = (row // nodes).to(tl.int64)
        query = row % nodes
        q_row = q_ptr + window * q_w + head * q_h + query.to(tl.int64) * q_n
        g_row = grad_ptr + window * g_w + head * g_h + query.to(tl.int64) * g_n
        merged = (row.to(tl.int64) * heads + head) * HEAD_DIM + dims
        one = (window * heads + head) * nodes + query
        q = tl.load(q_row + dims * q_d, mask=real, other=0.0).to(tl.float32) * scale
        grad = tl.load(g_row + dims * g_d, mask=real, other=0.0).to(tl.float32)
        out = tl.load(out_ptr + merged, mask=real, other=0.0).to(tl.float32)
        delta = tl.sum(grad * out, axis=0)
        tl.store(delta_ptr + one, delta)
        logsumexp = tl.load(logsumexp_ptr + one)
        k_base = k_ptr + window * k_w + head * k_h
        v_base = v_ptr + window * v_w + head * v_h
        graph_row = indices_ptr + row.to(tl.int64) * keys
        if WINDOW:
            origin = place(query, WINDOW) + center(WINDOW)
            table = bias_ptr + head * entries_of(WINDOW) + origin
            grad_table = grad_tables_ptr + (part * heads + head) * entries_of(WINDOW) + origin

        grad_q = tl.zeros([BLOCK, PADDED_DIM], tl.float32)
        for start in range(0, keys, BLOCK):
            slots = start + tl.arange(0, BLOCK)
            key = tl.load(graph_row + slots, mask=slots < keys, other=-1)
            edge = key >= 0
            taken = edge[:, None] & real[None, :]
            k = tl.load(row_pointers(k_base, key, dims, k_n, k_d), mask=taken, other=0.0)
            v = tl.load(row_pointers(v_base, key, dims, v_n, v_d), mask=taken, other=0.0)
            k = k.to(tl.float32)
            scores = tl.sum(k * q[None, :], axis=1)
            if WINDOW:
                scores += tl.load(table - place(key, WINDOW), mask=edge, other=0.0)
            weights = tl.where(edge, tl.exp(scores - logsumexp), 0.0)
            grad_weights = tl.sum(v.to(tl.float32) * grad[None, :], axis=1)
            grad_scores = weights * (grad_weights - delta)
            grad_q += grad_scores[:, None] * k
            if WINDOW:
                entry = grad_table - place(key, WINDOW)
                tl.atomic_add(entry, grad_scores, mask=edge, sem="relaxed")
        summed = tl.sum(grad_q, axis=0) * scale
        tl.store(grad_q_ptr + merged, summed.to(grad_q_ptr.dtype.element_ty), mask=real)
        if WINDOW:
            tl.debug_barrier()


@triton.jit
def gather_backward_keys(
    q_ptr,
    k_ptr,
    v_ptr,
    grad_ptr,
    offsets_ptr,
    queries_ptr,
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
    edges,
    scale,
    HEAD_DIM: tl.constexpr,
    PADDED_DIM: tl.constexpr,
    WINDOW: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Gradients of one key and its value, over the queries that chose it. Grid (W * N, H).

    The queries of key j of window w are queries[w, offsets[w, j] : offsets[w, j + 1]]; offsets is
    [W, N + 1] and queries [W, edges].
    """
    row = tl.program_id(0)
    head = tl.program_id(1).to(tl.int64)
    window = (row // nodes).to(tl.int64)
    key = row % nodes
    dims = tl.arange(0, PADDED_DIM)
    real = dims < HEAD_DIM
    k_row = k_ptr + window * k_w + head * k_h + key.to(tl.int64) * k_n
    v_row = v_ptr + window * v_w + head * v_h + key.to(tl.int64) * v_n
    k = tl.load(k_row + dims * k_d, mask=real, other=0.0).to(tl.float32) * scale
    v = tl.load(v_row + dims * v_d, mask=real, other=0.0).to(tl.float32)
    q_base = q_ptr + window * q_w + head * q_h
    g_base = grad_ptr + window * g_w + head * g_h
    ones = (window * heads + head) * nodes
    begin = tl.load(offsets_ptr + window * (nodes + 1) + key)
    end = tl.load(offsets_ptr + window * (nodes + 1) + key + 1)
    if WINDOW:
        table = bias_ptr + head * entries_of(WINDOW) - place(key, WINDOW) + center(WINDOW)

    grad_k = tl.zeros([BLOCK, PADDED_DIM], tl.float32)
    grad_v = tl.zeros([BLOCK, PADDED_DIM], tl.float32)
    for start in range(begin, end, BLOCK):
        slots = start + tl.arange(0, BLOCK)
        edge = slots < end
        query = tl.load(queries_ptr + window * edges + slots, mask=edge, other=0)
        taken = edge[:, None] & real[None, :]
        q = tl.load(row_pointers(q_base, query, dims, q_n, q_d), mask=taken, other=0.0)
        grad = tl.load(row_pointers(g_base, query, dims, g_n, g_d), mask=taken, other=0.0)
        logsumexp = tl.load(logsumexp_ptr + ones + query, mask=edge, other=0.0)
        delta = tl.load(delta_ptr + ones + query, mask=edge, other=0.0)
        q = q.to(tl.float32)
        grad = grad.to(tl.float32)
        scores = tl.sum(q * k[None, :], axis=1)
        if WINDOW:
            scores += tl.load(table + place(query, WINDOW), mask=edge, other=0.0)
        weights = tl.where(edge, tl.exp(scores - logsumexp), 0.0)
        grad_scores = weights * (tl.sum(grad * v[None, :], axis=1) - delta)
        grad_v += weights[:, None] * grad
        grad_k += grad_scores[:, None] * q

    merged = (row.to(tl.int64) * heads + head) * HEAD_DIM + dims
    summed = tl.sum(grad_k, axis=0) * scale
    tl.store(grad_k_ptr + merged, summed.to(grad_k_ptr.dtype.element_ty), mask=real)
    summed = tl.sum(grad_v, axis=0)
    tl.store(grad_v_ptr + merged, summed.to(grad_v_ptr.dtype.element_ty), mask=real)
