"""The key-graph layer and stage (KGT Fig. 2), on windows of tokens.

A stage has one window offset, so it cuts its windows once, builds their graph once, runs all its
layers on the windows [W, N, C] and puts the map together at the end.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kgt.attention import key_graph_attention
from kgt.attention.graph import build_key_graph
from kgt.attention.key_graph import KeyGraph
from kgt.config import KGTConfig
from kgt.network.linear import linear
from kgt.network.position import ContinuousPositionBias
from kgt.network.windows import cyclic_regions, merge_windows, partition_windows, roll

_MAX_COSINE_SCALE = 100.0


class KeyGraphAttention(nn.Module):
    """Multi-head attention over the graph: projections, learned scale, position bias.

    Args:
        config: the network's configuration.
        dim: C of this stage.
        heads: H of this stage.
        window: M of this stage.
    """

    def __init__(self, config: KGTConfig, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.cosine = config.score == "cosine"
        self.backend = "auto"
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        scale = 10.0 if self.cosine else (dim // heads) ** -0.5
        log_scale = torch.full((heads,), math.log(scale))
        if config.learned_scale:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale, persistent=False)
        self.position_bias = (
            ContinuousPositionBias(window, heads, config.bias_hidden)
            if config.position_bias == "continuous"
            else None
        )

    def forward(self, x: Tensor, graph: KeyGraph, residual: Tensor | None = None) -> Tensor:
        """Attend within windows x [W, N, C] along the graph; the residual is added if given."""
        q, k, v = self._project(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if self.cosine:
            q = F.normalize(q, dim=-1) * self._scale().to(q.dtype).view(-1, 1, 1)
            k = F.normalize(k, dim=-1)
        bias = None if self.position_bias is None else self.position_bias()
        out = self.attend(q, k, v, graph, bias).transpose(1, 2).flatten(2)
        return linear(out, self.proj.weight, self.proj.bias, residual=residual)

    def _project(self, x: Tensor) -> Tensor:
        """Queries, keys and values [W, N, 3C]; of dot products the queries come scaled.

        The weights are scaled in their stead: there are far fewer of them.
        """
        if self.cosine:
            return self.qkv(x)
        dim = x.shape[-1]
        factors = self._scale().repeat_interleave(dim // self.heads)
        factors = torch.cat([factors, factors.new_ones(2 * dim)])
        return linear(x, self.qkv.weight * factors[:, None], self.qkv.bias * factors)

    def _scale(self) -> Tensor:
        """The factor of the scores of each head [H]."""
        return self.log_scale.exp().clamp(max=_MAX_COSINE_SCALE)

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, graph: KeyGraph, bias: Tensor | None
    ) -> Tensor:
        """Attention of scaled queries; q, k, v, out [W, H, N, D]."""
        return key_graph_attention(q, k, v, graph, bias, self.backend, scale=1.0)


class KGTLayer(nn.Module):
    """x = x + Att(x), x = x + FFN(x), normalized before (or after) each of the two."""

    attention_class = KeyGraphAttention

    def __init__(self, config: KGTConfig, dim: int, heads: int, window: int) -> None:
        super().__init__()
        hidden = int(dim * config.mlp_ratio)
        self.post_norm = config.norm == "post"
        self.norm1 = nn.LayerNorm(dim)
        self.attention = self.attention_class(config, dim, heads, window)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, x: Tensor, graph: KeyGraph) -> Tensor:
        """Transform windows [W, N, C]."""
        if self.post_norm:
            x = x + self.norm1(self.attention(x, graph))
            return x + self.norm2(self._feed_forward(x))
        x = self.attention(self.norm1(x), graph, residual=x)
        return self._feed_forward(self.norm2(x), residual=x)

    def _feed_forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        widen, _, narrow = self.mlp
        hidden = linear(x, *widen.parameters(), activation="gelu")
        return linear(hidden, *narrow.parameters(), residual=residual)


class KGTStage(nn.Module):
    """Layers that share one graph, then a 3x3 convolution and the stage's input added.

    Args:
        config: the network's configuration.
        dim: C of this stage.
        heads: H of this stage.
        depth: number of layers.
        window: M of this stage.
        shifted: whether the windows of this stage are offset by M / 2.
    """

    layer_class = KGTLayer

    def __init__(
        self, config: KGTConfig, dim: int, heads: int, depth: int, window: int, shifted: bool
    ) -> None:
        super().__init__()
        self.k = config.k
        self.include_self = config.include_self
        self.similarity = config.similarity
        self.shares_graph = config.graph_scope == "stage"
        self.window = window
        self.offset = window // 2 if shifted else 0
        self.layers = nn.ModuleList(
            self.layer_class(config, dim, heads, window) for _ in range(depth)
        )
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Transform a map [B, H, W, C] whose H and W are multiples of the window."""
        height, width = x.shape[1:3]
        offsets = self._offset(height), self._offset(width)
        # What is compiled shifts maps of any size, also by nothing.
        regions, shifted = None, x
        if self.offset and (torch.compiler.is_compiling() or any(offsets)):
            shifted = roll(x, [-offset for offset in offsets])
            regions = cyclic_regions(height, width, self.window, *offsets, x.device)
        tokens = partition_windows(shifted, self.window)
        graph = self.connect(tokens, regions)
        for index, layer in enumerate(self.layers):
            if index and not self.shares_graph:
                graph = self.connect(tokens, regions)
            tokens = layer(tokens, graph)
        y = roll(merge_windows(tokens, self.window, height, width), offsets)
        return x + self.conv(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    def _offset(self, size: int) -> int | torch.SymInt:
        """Of the windows along a side; a single window has no other to exchange tokens with."""
        if self.offset and torch.compiler.is_compiling():
            return torch.sym_min(self.offset, size - self.window)
        return self.offset if self.offset and size > self.window else 0

    def connect(self, tokens: Tensor, regions: Tensor | None) -> KeyGraph:
        """Build the graph of windows [W, N, C]; regions keep it from crossing image borders."""
        return build_key_graph(
            tokens,
            self.k,
            include_self=self.include_self,
            similarity=self.similarity,
            regions=regions,
        )
