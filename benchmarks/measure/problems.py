"""Attention calls to measure: inputs made once from a seed, graphs of real photographs.

Random graphs hide what real ones have (hubs, shared keys), so photographs are the default: the
tokens are what the first stage of an untrained KGT-S sees of a photograph, a 3x3 convolution to 180
channels and a LayerNorm.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.data.datasets import load_dataset
from benchmarks.measure.closed_form import DENSE, attention_cost
from benchmarks.records.cell import AttentionCell
from kgt import KeyGraph, build_key_graph, key_graph_attention
from kgt.attention import AttentionShape, choose_backend
from kgt.attention.bias import dense_bias, window_of
from kgt.attention.cost import Cost
from kgt.attention.sdpa import attend_densely

AUTO = "auto"
CHANNELS = 180
LAYERS = 6
_TOLERANCE_ULP = 8

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class AttentionInputs:
    """Queries, keys and values [W, H, N, D] and the graph they attend along.

    Attributes:
        q, k, v: [W, H, N, D].
        graph: the keys of every token.
        bias: table [H, 2M-1, 2M-1] of the relative offsets, or None.
        gradient: what a backward pass starts from, like q; None where there is none.
        truths: float64 outputs of the last head, by what specifies them, once they are computed.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    graph: KeyGraph
    bias: Tensor | None = None
    gradient: Tensor | None = None
    truths: dict[str, Tensor] = field(default_factory=dict)

    def digest(self) -> str:
        """Short SHA-256 of all inputs."""
        tensors = (self.q, self.k, self.v, self.graph.indices, self.bias, self.gradient)
        return digest_tensors(*(tensor for tensor in tensors if tensor is not None))

    def last_head(self, dtype: torch.dtype) -> AttentionInputs:
        """The inputs of the last head alone, in another element type."""
        q, k, v = (t[:, -1:].to(dtype) for t in (self.q, self.k, self.v))
        bias = None if self.bias is None else self.bias[-1:].to(dtype)
        gradient = None if self.gradient is None else self.gradient[:, -1:].to(dtype)
        return AttentionInputs(q, k, v, self.graph, bias, gradient)


def digest_tensors(*tensors: Tensor) -> str:
    """Short SHA-256 of the bytes of tensors (of 16-bit floats: of their float32 values)."""
    sha = hashlib.sha256()
    for tensor in tensors:
        half = tensor.dtype in (torch.bfloat16, torch.float16)
        exact = tensor.detach().float() if half else tensor.detach()
        sha.update(exact.contiguous().cpu().numpy().tobytes())
    return sha.hexdigest()[:12]


def window_shape(n: int) -> tuple[int, int]:
    """Height and width of the most nearly square window of n tokens."""
    height = next(size for size in range(math.isqrt(n), 0, -1) if n % size == 0)
    return height, n // height


@torch.no_grad()
def photo_tokens(windows: int, n: int, seed: int = 0, channels: int = CHANNELS) -> Tensor:
    """Tokens [W, N, C] of windows cut from the embedded photographs, from their centers out.

    Raises:
        ValueError: when a window is larger than every photograph.
    """
    height, width = window_shape(n)
    generator = torch.Generator().manual_seed(seed)
    weight = torch.empty(channels, 3, 3, 3).uniform_(-1, 1, generator=generator) / 27**0.5
    images = (item.image for item in load_dataset("embedded"))
    large = (
        image
        for image in images
        if image.ndim == 3 and image.shape[0] > height + 1 and image.shape[1] > width + 1
    )
    # No more are read than there are windows.
    photographs = list(islice(large, windows))
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
    return nn.functional.layer_norm(torch.stack(tokens), (channels,))


def photo_images(batch: int, height: int, width: int) -> Tensor:
    """Images [B, 3, h, w] in [0, 1]: the embedded color photographs, scaled to cover the size."""
    photographs = [item.image for item in load_dataset("embedded") if item.image.ndim == 3]
    images = []
    for index in range(batch):
        photograph = torch.from_numpy(photographs[index % len(photographs)].copy())
        image = photograph.permute(2, 0, 1)[None] / 255.0
        scale = max(height / image.shape[2], width / image.shape[3])
        size = [math.ceil(scale * side) for side in image.shape[2:]]
        image = F.interpolate(image, size, mode="bicubic", antialias=True)
        top, left = (size[0] - height) // 2, (size[1] - width) // 2
        images.append(image[..., top : top + height, left : left + width].clamp(0, 1))
    return torch.cat(images)


def random_graph(windows: int, n: int, k: int, generator: torch.Generator) -> KeyGraph:
    """K distinct keys per token, uniformly drawn."""
    kept = min(k, n)
    indices = torch.rand(windows, n, n, generator=generator).topk(kept, dim=-1).indices
    return KeyGraph(indices.sort(-1).values.int(), k)


def shape_of(cell: AttentionCell) -> AttentionShape:
    """The shape of an attention cell, with k clamped as its graph's is."""
    return AttentionShape(
        windows=cell.windows,
        heads=cell.heads,
        nodes=cell.n,
        head_dim=cell.head_dim,
        k=min(cell.k, cell.n),
        dtype=getattr(torch, cell.dtype),
        device=cell.device or "cpu",
        has_bias=bool(cell.bias),
        requires_grad=cell.mode == "backward",
        byte_budget=cell.byte_budget,
    )


def make_inputs(cell: AttentionCell) -> AttentionInputs:
    """The inputs of an attention cell, on its device; equal cells give equal inputs.

    Raises:
        ValueError: when a bias is asked for and n is not the square of a window's side.
    """
    shape = shape_of(cell)
    windows, n, k = cell.windows, cell.n, cell.k
    sizes = (windows, cell.heads, n, cell.head_dim)
    generator = torch.Generator().manual_seed(cell.seed)

    def draw(*sizes: int) -> Tensor:
        return torch.randn(sizes, generator=generator).to(shape.device, shape.dtype)

    q, key, v = draw(3, *sizes).unbind()
    if cell.graph == "random":
        graph = random_graph(windows, n, k, generator)
        graph = KeyGraph(graph.indices.to(shape.device), graph.requested_k)
    else:
        graph = build_key_graph(photo_tokens(windows, n, cell.seed).to(shape.device), k)
    bias = gradient = None
    if shape.has_bias:
        side = 2 * window_of(n) - 1
        bias = draw(shape.heads, side, side)
    if shape.requires_grad:
        gradient = draw(*sizes)
    return AttentionInputs(q.clone(), key.clone(), v.clone(), graph, bias, gradient)


def make_call(inputs: AttentionInputs, backend: str, cell: AttentionCell) -> Callable[[], Tensor]:
    """One call of `backend` on the inputs, with a backward pass if the cell asks.

    Raises:
        ValueError: when the backend is unknown or cannot attend, with every reason.
    """
    attend = _attention(inputs.graph, resolve_backend(cell, backend), cell.byte_budget)
    if cell.mode == "backward":
        return lambda: _differentiate(attend, inputs)[0]
    if backend == DENSE and inputs.bias is not None:
        # It is the same at every call, so who wants to be fast expands it once.
        mask = dense_bias(inputs.bias, inputs.graph.nodes)[None]
        scale = shape_of(cell).head_dim ** -0.5
        return torch.inference_mode()(
            lambda: attend_densely(inputs.q, inputs.k, inputs.v, mask, scale)
        )
    return torch.inference_mode()(lambda: attend(inputs.q, inputs.k, inputs.v, inputs.bias))


@dataclass(frozen=True)
class StageCall:
    """What is timed: attention in one layer or, where layers share work, in a whole stage.

    Attributes:
        once: the attention of one layer.
        graph: the stage's graph, which starts without anything derived from it.
        layers: how many layers a call attends for; a layer takes its time divided by this.
    """

    once: Callable[[], Tensor]
    graph: KeyGraph
    layers: int = 1

    def __call__(self) -> Tensor:
        """The output of the last layer."""
        self.graph.derived.clear()
        for _ in range(self.layers):
            out = self.once()
        return out


def make_stage_call(inputs: AttentionInputs, backend: str, cell: AttentionCell) -> StageCall:
    """The call that is timed; the backend is called once to see whether its layers share work.

    Raises:
        ValueError: as `make_call`.
    """
    layer = StageCall(make_call(inputs, backend, cell), inputs.graph)
    layer()
    shared = bool(inputs.graph.derived)
    return replace(layer, layers=cell.layers or LAYERS) if shared else layer


def _attention(graph: KeyGraph, backend: str, byte_budget: int | None = None) -> Attend:
    """`backend` as a function of q, k, v and the bias table."""
    if backend == DENSE:
        return _attend_to_all
    return lambda q, k, v, bias: key_graph_attention(
        q, k, v, graph, bias, backend, byte_budget=byte_budget
    )


def _attend_to_all(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Attention to every token; the gradient of the bias flows to its table."""
    mask = None if bias is None else dense_bias(bias, q.shape[2])[None]
    return attend_densely(q, k, v, mask, q.shape[-1] ** -0.5)


def _differentiate(attend: Attend, inputs: AttentionInputs) -> tuple[Tensor, list[Tensor]]:
    """Output, and the gradients of q, k, v and the bias table if there is one.

    A gradient that a backend leaves out is zero, and so found to be wrong.
    """
    q, k, v = (t.detach().requires_grad_() for t in (inputs.q, inputs.k, inputs.v))
    bias = None if inputs.bias is None else inputs.bias.detach().requires_grad_()
    out = attend(q, k, v, bias)
    out.backward(inputs.gradient)
    leaves = (q, k, v) if bias is None else (q, k, v, bias)
    return out.detach(), [torch.zeros_like(t) if t.grad is None else t.grad for t in leaves]


def resolve_backend(cell: AttentionCell, backend: str) -> str:
    """The name of what will run: `auto` chooses, every other name stands for itself.

    Raises:
        ValueError: when the backend is unknown or cannot attend, with every reason.
    """
    return backend if backend == DENSE else choose_backend(shape_of(cell), backend).name


def closed_form(cell: AttentionCell) -> Cost | None:
    """Closed-form cost of a cell's backend; None where there is no formula (backward passes)."""
    if cell.mode == "backward":
        return None
    return attention_cost(shape_of(cell), cell.backend)


@torch.no_grad()
def reference_error(inputs: AttentionInputs, out: Tensor, backend: str) -> tuple[float, float]:
    """Largest error of an output against the float64 reference, and what is allowed.

    One head is compared, the last, where a wrong stride shows first: the reference is slow and the
    heads differ in nothing.
    """
    what = _specification(backend)
    exact = inputs.last_head(torch.float64)
    if what not in inputs.truths:
        attend = _attention(exact.graph, what)
        inputs.truths[what] = attend(exact.q, exact.k, exact.v, exact.bias)
    error = (out[:, -1:].double() - inputs.truths[what]).abs().max().item()
    return error, _TOLERANCE_ULP * torch.finfo(out.dtype).eps * exact.v.abs().max().item()


def gradient_errors(
    inputs: AttentionInputs, backend: str, cell: AttentionCell
) -> dict[str, tuple[float, float]]:
    """Largest error of each gradient against float64, and what is allowed, on the last head.

    Allowed is twice the error of plain dense attention in the same element type, and 4 ulp of the
    largest gradient: gradients that cancel are rounded at the size of what was subtracted.
    """
    exact, plain = inputs.last_head(torch.float64), inputs.last_head(inputs.q.dtype)
    usual = DENSE if backend == DENSE else "torch-mask"
    chosen = resolve_backend(cell, backend)
    _, truth = _differentiate(_attention(exact.graph, _specification(backend)), exact)
    _, expected = _differentiate(_attention(plain.graph, usual), plain)
    _, found = _differentiate(_attention(inputs.graph, chosen, cell.byte_budget), inputs)
    slack = 4 * torch.finfo(inputs.q.dtype).eps * max(t.abs().max().item() for t in truth)
    errors = {}
    names = ("q", "k", "v", "bias")[: len(truth)]
    for name, own, rough, fine in zip(names, found, expected, truth, strict=True):
        last = own[-1:] if name == "bias" else own[:, -1:]
        allowed = 2 * (rough.double() - fine).abs().max().item() + slack
        errors[name] = ((last.double() - fine).abs().max().item(), allowed)
    return errors


def _specification(backend: str) -> str:
    """What a backend must compute: the reference, or attention to every token."""
    return DENSE if backend == DENSE else "reference"
