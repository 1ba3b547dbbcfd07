"""Attention problems to measure: inputs made once from a seed, graphs of real photographs.

Random graphs hide what real ones have (hubs, shared keys), so photographs are the default: the
tokens are what the first stage of an untrained KGT-S sees of a photograph, a 3x3 convolution to 180
channels and a LayerNorm.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.plan.cells import Cell
from benchmarks.quality.datasets import load_dataset
from kgt import KeyGraph, build_key_graph, key_graph_attention
from kgt.attention import AttentionProblem, choose_backend
from kgt.attention.cost import Cost, dense_attention_cost

DENSE = "dense"
_CHANNELS = 180
_TOLERANCE_ULP = 8


@dataclass(frozen=True)
class AttentionInputs:
    """Queries, keys and values [W, H, N, D] and the graph they attend along."""

    q: Tensor
    k: Tensor
    v: Tensor
    graph: KeyGraph

    def digest(self) -> str:
        """Short SHA-256 of all inputs."""
        tensors = (self.q, self.k, self.v, self.graph.indices)
        return digest_tensors(*tensors)


def digest_tensors(*tensors: Tensor) -> str:
    """Short SHA-256 of the bytes of tensors (of 16-bit floats: of their float32 values)."""
    sha = hashlib.sha256()
    for tensor in tensors:
        half = tensor.dtype in (torch.bfloat16, torch.float16)
        exact = tensor.detach().float() if half else tensor.detach()
        sha.update(exact.contiguous().numpy().tobytes())
    return sha.hexdigest()[:12]


def window_shape(n: int) -> tuple[int, int]:
    """Height and width of the most nearly square window of n tokens."""
    height = next(size for size in range(math.isqrt(n), 0, -1) if n % size == 0)
    return height, n // height


@torch.no_grad()
def photo_tokens(windows: int, n: int, seed: int = 0) -> Tensor:
    """Tokens [W, N, 180] of windows cut from the embedded photographs, from their centers out.

    Raises:
        ValueError: when a window is larger than every photograph.
    """
    height, width = window_shape(n)
    generator = torch.Generator().manual_seed(seed)
    weight = torch.empty(_CHANNELS, 3, 3, 3).uniform_(-1, 1, generator=generator) / 27**0.5
    photographs = [item.image for item in load_dataset("embedded")]
    photographs = [
        image
        for image in photographs
        if image.ndim == 3 and image.shape[0] > height + 1 and image.shape[1] > width + 1
    ]
    if not photographs:
        raise ValueError(
            f"N = {n} is a window of {height}x{width}, larger than every embedded photograph; "
            "use random graphs"
        )
    tokens = []
    for index in range(windows):
        image = photographs[index % len(photographs)]
        step = index // len(photographs)
        top = (image.shape[0] // 2 + step * height) % (image.shape[0] - height - 1)
        left = (image.shape[1] // 2 + step * width) % (image.shape[1] - width - 1)
        crop = torch.from_numpy(image[top : top + height + 2, left : left + width + 2].copy())
        features = F.conv2d(crop.permute(2, 0, 1)[None] / 255.0, weight)
        tokens.append(features.flatten(2).mT[0])
    return nn.functional.layer_norm(torch.stack(tokens), (_CHANNELS,))


def random_graph(windows: int, n: int, k: int, generator: torch.Generator) -> KeyGraph:
    """K distinct keys per token, uniformly drawn."""
    kept = min(k, n)
    indices = torch.rand(windows, n, n, generator=generator).topk(kept, dim=-1).indices
    return KeyGraph(indices.sort(-1).values.int(), k)


def make_inputs(cell: Cell) -> AttentionInputs:
    """The inputs of an attention cell; equal cells give equal inputs."""
    windows, heads, n, head_dim = (
        cell.windows or 1,
        cell.heads or 1,
        cell.n or 1,
        cell.head_dim or 1,
    )
    k = cell.k or n
    generator = torch.Generator().manual_seed(cell.seed)
    dtype = getattr(torch, cell.dtype or "float32")
    shape = (3, windows, heads, n, head_dim)
    q, key, v = torch.randn(shape, generator=generator).to(dtype).unbind()
    if cell.graph == "random":
        graph = random_graph(windows, n, k, generator)
    else:
        graph = build_key_graph(photo_tokens(windows, n, cell.seed), k)
    return AttentionInputs(q.clone(), key.clone(), v.clone(), graph)


def make_call(inputs: AttentionInputs, backend: str, cell: Cell) -> Callable[[], Tensor]:
    """The call that is measured: `backend` on the inputs, with a backward pass if the cell asks.

    Raises:
        ValueError: when the backend is unknown or cannot do the problem, with every reason.
    """
    if backend != DENSE:
        choose_backend(describe_problem(cell, inputs.graph.k), backend)
    attend: Callable[..., Tensor]
    if backend == DENSE:
        attend = F.scaled_dot_product_attention
    else:
        attend = partial(
            key_graph_attention,
            graph=inputs.graph,
            backend=backend,
            byte_budget=cell.byte_budget,
        )
    if cell.mode != "backward":
        return torch.inference_mode()(lambda: attend(inputs.q, inputs.k, inputs.v))

    def forward_backward() -> Tensor:
        q, k, v = (t.detach().requires_grad_() for t in (inputs.q, inputs.k, inputs.v))
        out = attend(q, k, v)
        out.sum().backward()
        return out.detach()

    return forward_backward


def describe_problem(cell: Cell, k: int) -> AttentionProblem:
    """The cell as the problem its backend is asked to do, with k clamped as the graph's is."""
    return AttentionProblem(
        windows=cell.windows or 1,
        heads=cell.heads or 1,
        nodes=cell.n or 1,
        head_dim=cell.head_dim or 1,
        k=k,
        dtype=getattr(torch, cell.dtype or "float32"),
        requires_grad=cell.mode == "backward",
        byte_budget=cell.byte_budget,
    )


def closed_form(cell: Cell, k: int) -> Cost | None:
    """Closed-form cost of a cell's backend; None where there is no formula (backward passes)."""
    if cell.mode == "backward":
        return None
    problem = describe_problem(cell, k)
    if cell.backend == DENSE:
        return dense_attention_cost(problem)
    formula = choose_backend(problem, cell.backend or "auto").cost
    return None if formula is None else formula(problem)


@torch.no_grad()
def reference_error(inputs: AttentionInputs, out: Tensor, backend: str) -> tuple[float, float]:
    """Largest error of an output against the float64 reference, and what is allowed.

    One head is compared, the last, where a wrong stride shows first: the reference is slow and the
    heads differ in nothing.
    """
    q, k, v = (t[:, -1:].double() for t in (inputs.q, inputs.k, inputs.v))
    if backend == DENSE:
        truth = F.scaled_dot_product_attention(q, k, v)
    else:
        truth = key_graph_attention(q, k, v, inputs.graph, backend="reference")
    error = (out[:, -1:].double() - truth).abs().max().item()
    return error, _TOLERANCE_ULP * torch.finfo(out.dtype).eps * v.abs().max().item()
