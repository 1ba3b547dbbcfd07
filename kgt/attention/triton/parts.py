"""Pieces that the Triton kernels share. Importing this needs triton."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def row_pointers(base, rows, dims, stride_n, stride_d):
    """Pointers [R, D] to the vectors of `rows`; an offset in elements may pass 2^31."""
    return base + rows.to(tl.int64)[:, None] * stride_n + dims[None, :] * stride_d


@triton.jit
def place(token, WINDOW: tl.constexpr):
    """Where a token stands in the relative-offset table of a window of WINDOW x WINDOW tokens.

    The entry of a query and a key is place(query) - place(key) + center(WINDOW).
    """
    return token // WINDOW * (2 * WINDOW - 1) + token % WINDOW


@triton.jit
def center(WINDOW: tl.constexpr):
    """The entry of the offset (0, 0) in the flattened table [2M-1, 2M-1]."""
    return 2 * WINDOW * (WINDOW - 1)


@triton.jit
def entries_of(WINDOW: tl.constexpr):
    """Entries of one head's table."""
    return (2 * WINDOW - 1) * (2 * WINDOW - 1)
