"""The key-graph: for every token of a window, the k most similar tokens of that window.

Source: KGT (arXiv 2402.02634), Eq. 1-2. Where the paper is silent the choices are ours and
arguments: whether a token may select itself, which similarity, which candidates.

Axis letters: W windows, N tokens per window, C channels, K keys kept per token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from kgt.attention.compiling import once
from kgt.attention.exported import find_keys_plainly
from kgt.attention.key_graph import PADDING, KeyGraph, check_count
from kgt.attention.native import load_operators, unavailable_reason
from kgt.attention.similarity import SIMILARITIES, Ranking
from kgt.errors import unknown

_BUILDERS = ("auto", "torch", "native")
_SIMILARITY_BYTES = 64 * 2**20


@contextmanager
def _exact_float32_matmul() -> Iterator[None]:
    """Switch autocast and TF32 off: a rounded similarity selects other keys."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with (
            torch.autocast("cpu", enabled=False),
            torch.autocast("cuda", enabled=False),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


def _select(similarity: Tensor, k: int) -> tuple[Tensor, Tensor | None]:
    """Each row's k largest entries above minus infinity; ties go to the smaller column.

    Args:
        similarity: [W, N, N].
        k: at most N.

    Returns:
        Ascending indices int32 [W, N, k], padded, and the degrees [W, N] or None if all are k.
    """
    if k == similarity.shape[-1]:
        tied = torch.ones_like(similarity[..., 0], dtype=torch.bool)
        indices = similarity.new_empty(similarity.shape, dtype=torch.int32)
    else:
        top = similarity.topk(k + 1, dim=-1)
        indices = top.indices[..., :k].int().sort(-1).values
        # Only where the first one left out equals the last one taken did topk have a choice.
        tied = top.values[..., k - 1] == top.values[..., k]
    if not tied.any():
        return indices, None
    degrees = torch.full_like(tied, k, dtype=torch.int32)
    indices[tied], degrees[tied] = _select_with_ties(similarity[tied], k)
    return indices, degrees


def _select_with_ties(rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Like `_select` for rows [R, N], by threshold and then by counting ties from the left."""
    threshold = rows.topk(k, dim=-1, sorted=False).values.amin(-1, keepdim=True)
    above = rows > threshold
    level = rows == threshold
    level &= level.cumsum(-1, dtype=torch.int32) <= k - above.sum(-1, keepdim=True)
    taken = (above | level) & (rows != -torch.inf)
    degrees = taken.sum(-1, dtype=torch.int32)
    slots = torch.arange(k, device=rows.device, dtype=torch.int32) < degrees[:, None]
    indices = torch.full(slots.shape, PADDING, dtype=torch.int32, device=rows.device)
    indices[slots] = taken.nonzero()[:, 1].int()
    return indices, degrees


@torch.no_grad()
def build_key_graph(
    tokens: Tensor,
    k: int,
    *,
    include_self: bool = True,
    similarity: str = "dot",
    regions: Tensor | None = None,
    backend: str = "auto",
) -> KeyGraph:
    """Connect every token with its k most similar tokens of the same window (paper Eq. 1-2).

    The similarity is computed in float32 (float64 for float64 tokens) whatever autocast says, and
    no gradient flows through the selection. Ties go to the smaller index, so the result is the
    same on every device that computes the same similarities.

    Args:
        tokens: [W, N, C], the un-projected input of a stage.
        k: keys per token, at least 1; clamped to the number of candidates. The graph's
            `requested_k` keeps the k asked for.
        include_self: whether a token is a candidate for itself; False is Eq. 2 as printed.
        similarity: "dot" (Eq. 1), or another name in `kgt.attention.similarity.SIMILARITIES`.
        regions: integer [nW, N] labels with W a multiple of nW; only tokens of equal label are
            candidates. None makes the whole window candidates.
        backend: "torch" (all similarities of some windows, then topk), "native" (C++ for CPUs,
            which holds at most a few MiB of similarities), or "auto", native where it can.

    Raises:
        ValueError: for k < 1, empty, non-floating or non-finite tokens, an unknown similarity or
            backend, a backend that cannot do it, regions that do not fit, a token without any
            candidate, or a similarity of places where N is no square.
    """
    if tokens.ndim != 3 or tokens.numel() == 0:
        raise ValueError(f"tokens must be a non-empty [W, N, C], got shape {list(tokens.shape)}")
    if not tokens.is_floating_point():
        raise ValueError(f"tokens must be floating-point, got {tokens.dtype}")
    check_count("k", k)
    if similarity not in SIMILARITIES:
        raise unknown("similarity", similarity, SIMILARITIES)
    nodes = tokens.shape[1]
    if regions is not None:
        _check_regions(regions, tokens)
    if nodes == 1 and not include_self:
        raise ValueError("a window of 1 token has no candidate when include_self is False")

    features = tokens if tokens.dtype == torch.float64 else tokens.float()
    ranking = SIMILARITIES[similarity](features)
    kept = min(k, nodes if include_self else nodes - 1)
    if torch.compiler.is_exporting():
        indices, degrees = find_keys_plainly(ranking, kept, include_self, regions)
        return KeyGraph(indices, k, degrees)
    if torch.compiler.is_compiling():
        indices, counts = _find_opaquely(*ranking, kept, include_self, regions, backend)
        return KeyGraph(indices, k, None if regions is None else counts)
    indices, degrees = _find_keys(ranking, kept, include_self, regions, backend)
    graph = KeyGraph(indices, k, degrees)
    object.__setattr__(graph, "_checked", graph._state())
    return graph


def _find_keys(
    ranking: Ranking, k: int, include_self: bool, regions: Tensor | None, backend: str
) -> tuple[Tensor, Tensor | None]:
    """Indices [W, N, k] and degrees [W, N], None if all are k."""
    for part in ranking:
        # A finite sum proves all finite in a quarter of the time; an infinite one may overflow.
        if part is not None and not (torch.isfinite(part.sum()) or torch.isfinite(part).all()):
            raise ValueError("tokens contain NaN or infinite values; similarity needs finite ones")
    build = _build_native if _chooses_native(ranking.features, backend) else _build_in_chunks
    indices, degrees = build(ranking, k, include_self, regions)
    if degrees is not None and bool((degrees == 0).any()):
        raise ValueError("a token has no candidate: its region holds only itself")
    return indices, degrees


@torch.library.custom_op("kgt::find_keys", mutates_args=())
def _find_opaquely(
    features: Tensor,
    offsets: Tensor | None,
    k: int,
    include_self: bool,
    regions: Tensor | None,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """`_find_keys` as an operator, for torch.compile: what it does depends on values."""
    indices, degrees = _find_keys(Ranking(features, offsets), k, include_self, regions, backend)
    return indices, indices.new_full(indices.shape[:2], k) if degrees is None else degrees


def _check_regions(regions: Tensor, tokens: Tensor) -> None:
    windows, nodes, _ = tokens.shape
    fits = regions.ndim == 2 and regions.shape[1] == nodes and regions.numel() > 0
    if not fits or windows % regions.shape[0]:
        raise ValueError(
            f"regions {list(regions.shape)} do not fit tokens {list(tokens.shape)}: expected "
            f"[nW, {nodes}] with nW dividing {windows}"
        )
    if regions.is_floating_point() or regions.is_complex() or regions.device != tokens.device:
        raise ValueError(
            f"regions must be integers on {tokens.device}, got {regions.dtype} on {regions.device}"
        )


def _chooses_native(features: Tensor, backend: str) -> bool:
    """Whether the C++ builder does it.

    Raises:
        ValueError: for an unknown backend, or "native" where it cannot, with the reason.
    """
    if backend not in _BUILDERS:
        raise unknown("backend", backend, _BUILDERS)
    if backend == "torch":
        return False
    reason = ""
    if features.device.type != "cpu":
        reason = f"runs on cpu devices, not on {features.device.type}"
    elif features.dtype != torch.float32:
        reason = f"takes similarities in float32, not {features.dtype}"
    reason = reason or unavailable_reason()
    if reason and backend == "native":
        raise ValueError(f"native cannot build this graph: {reason}")
    return not reason


@once
def _register_operator() -> None:
    """Load the operator and register with torch its shapes and FLOPs: those of all similarities."""
    load_operators()
    torch.library.register_fake("kgt::select_keys", _fake_select)
    register_flop_formula(torch.ops.kgt.select_keys)(_count_flops)


def _fake_select(
    features: Tensor, offsets: Tensor | None, k: int, *_: Any
) -> tuple[Tensor, Tensor]:
    windows, nodes = features.shape[:2]
    indices = features.new_empty(windows, nodes, k, dtype=torch.int32)
    return indices, indices.new_empty(windows, nodes)


_find_opaquely.register_fake(_fake_select)


def _count_flops(features: Any, *_: Any, **__: Any) -> int:
    windows, nodes, channels = features
    return 2 * windows * nodes * nodes * channels


@torch.inference_mode(False)  # only tensors made outside of it count how often they change
def _build_native(
    ranking: Ranking, k: int, include_self: bool, regions: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Indices [W, N, k] and degrees [W, N], None if all are k."""
    _register_operator()
    features, offsets = (None if part is None else part.contiguous() for part in ranking)
    labels = None if regions is None else regions.long().contiguous()
    with _exact_float32_matmul():
        indices, degrees = torch.ops.kgt.select_keys(features, offsets, k, include_self, labels)
    return indices, None if bool((degrees == k).all()) else degrees


@torch.inference_mode(False)
def _build_in_chunks(
    ranking: Ranking, k: int, include_self: bool, regions: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Indices [W, N, k] and degrees [W, N], None if all are k; a few windows at a time."""
    windows, nodes, _ = ranking.features.shape
    chunk = max(1, _SIMILARITY_BYTES // (nodes * nodes * ranking.features.element_size()))
    pieces = [
        _connect_windows(
            ranking.cut(start, start + chunk),
            k,
            include_self,
            None if regions is None else _rows_of(regions, start, chunk, windows),
        )
        for start in range(0, windows, chunk)
    ]
    return torch.cat([indices for indices, _ in pieces]), _join_degrees(pieces, k)


def _join_degrees(pieces: list[tuple[Tensor, Tensor | None]], k: int) -> Tensor | None:
    """Degrees of all chunks, None when every row of every chunk is full."""
    if all(degrees is None or bool((degrees == k).all()) for _, degrees in pieces):
        return None
    return torch.cat(
        [
            indices.new_full(indices.shape[:2], k) if degrees is None else degrees
            for indices, degrees in pieces
        ]
    )


def _rows_of(regions: Tensor, start: int, count: int, windows: int) -> Tensor:
    """The region labels of windows start..start+count, cyclic over the images of a batch."""
    stop = min(start + count, windows)
    return regions[torch.arange(start, stop, device=regions.device) % regions.shape[0]]


def _connect_windows(
    ranking: Ranking, k: int, include_self: bool, regions: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    with _exact_float32_matmul():
        similarity = ranking.all_pairs()
    if not include_self:
        similarity.diagonal(dim1=-2, dim2=-1).fill_(-torch.inf)
    if regions is not None:
        # Most windows meet no border; only the others lose candidates.
        border = (regions != regions[:, :1]).any(-1).nonzero().flatten()
        apart = regions[border, :, None] != regions[border, None, :]
        similarity[border] = similarity[border].masked_fill_(apart, -torch.inf)
    return _select(similarity, k)


@dataclass(frozen=True)
class KSampler:
    """Draw k per training iteration from a fixed set (paper Sec. 3, "random sampling" of k).

    The draw depends on the seed and the step alone, so a resumed training draws what the
    uninterrupted one would have drawn; the training log keeps the k of every logged step.

    Attributes:
        choices: the values of k, all at least 1.
        seed: seed of the sequence.
    """

    choices: Sequence[int] = (64, 128, 192, 256, 384, 512)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.choices:
            raise ValueError("choices of k must not be empty")
        for choice in self.choices:
            check_count("k", choice)

    def draw(self, step: int) -> int:
        """The k of training iteration `step`."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        pick = torch.randint(len(self.choices), (1,), generator=generator).item()
        return self.choices[int(pick)]
