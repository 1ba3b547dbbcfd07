"""The dense-window twin of KGT: the same network with every token of a window connected.

It has the parameters of its original and takes its weights, so what differs is what the graph
does. No graph is built; position bias and image borders enter one additive mask of fused attention.
On a CPU torch has no fused gradient of such a mask. There the twin is trained along a graph of all
keys by the native kernels, which takes a third to a tenth of the time of torch's own operators.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.registry import register
from kgt.attention import AttentionShape, get_backend
from kgt.attention.bias import dense_bias
from kgt.attention.compiling import is_traced
from kgt.attention.graph import build_key_graph
from kgt.attention.key_graph import KeyGraph
from kgt.attention.sdpa import attend_densely
from kgt.config import PRESETS, KGTConfig, preset
from kgt.network.layers import KeyGraphAttention, KGTLayer, KGTStage
from kgt.network.model import KGT
from kgt.network.shapes import Columnar, UShaped
from kgt.zoo import initialize


class DenseAttention(KeyGraphAttention):
    """Attention over all tokens of a window, less those across an image border."""

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, graph: KeyGraph | Tensor | None, bias: Tensor | None
    ) -> Tensor:
        """Attention of scaled queries; q, k, v, out [W, H, N, D], graph as a stage connects it."""
        if isinstance(graph, KeyGraph):
            return super().attend(q, k, v, graph, bias)
        regions = graph
        dense = None if bias is None else dense_bias(bias.to(q.dtype), q.shape[2])[None]
        if regions is None:
            return F.scaled_dot_product_attention(q, k, v, attn_mask=dense, scale=1.0)
        apart = regions[:, :, None] != regions[:, None, :]
        apart = apart.repeat(q.shape[0] // regions.shape[0], 1, 1)
        mask = q.new_zeros(()) if dense is None else dense
        if torch.compiler.is_compiling():
            # What is compiled does not choose windows by values.
            return attend_densely(q, k, v, torch.where(apart[:, None], -torch.inf, mask), 1.0)
        # Only windows at the border need a mask of their own; the others share the bias.
        border = (regions != regions[:, :1]).any(-1).repeat(q.shape[0] // regions.shape[0])
        apart = apart[border, None]
        out = torch.empty_like(q)
        out[border] = F.scaled_dot_product_attention(
            q[border],
            k[border],
            v[border],
            attn_mask=torch.where(apart, -torch.inf, mask),
            scale=1.0,
        )
        if not border.all():
            out[~border] = F.scaled_dot_product_attention(
                q[~border], k[~border], v[~border], attn_mask=dense, scale=1.0
            )
        return out


class DenseLayer(KGTLayer):
    """A KGT layer with dense attention."""

    attention_class = DenseAttention


class DenseStage(KGTStage):
    """A KGT stage that builds no graph."""

    layer_class = DenseLayer

    def connect(  # type: ignore[override]  # regions take the graph's place
        self, tokens: Tensor, regions: Tensor | None
    ) -> KeyGraph | Tensor | None:
        """Regions [nW, N] or None, within which all tokens are connected, or a graph of that."""
        if torch.is_grad_enabled() and not is_traced():
            windows, nodes, dim = tokens.shape
            heads = cast(DenseLayer, self.layers[0]).attention.heads
            axes = windows, heads, nodes, dim // heads, nodes
            shape = AttentionShape(*axes, tokens.dtype, tokens.device.type, requires_grad=True)
            if not get_backend("native").unsupported_reasons(shape):
                return build_key_graph(tokens, nodes, regions=regions)
        return regions


class DenseTwin(KGT):
    """A KGT whose stages are dense."""

    stage_class = DenseStage


class ColumnarTwin(Columnar, DenseTwin):
    """That of a columnar KGT."""


class UShapedTwin(UShaped, DenseTwin):
    """That of a U-shaped KGT."""


def _build(**fields: Any) -> DenseTwin:
    config = KGTConfig(**fields)
    network = UShapedTwin(config) if config.shape == "u" else ColumnarTwin(config)
    return network.apply(initialize)


for _name in PRESETS:
    register(f"{_name}-dense", **asdict(preset(_name)))(_build)
