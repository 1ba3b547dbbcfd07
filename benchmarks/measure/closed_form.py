"""Parameters and FLOPs of KGT and SwinIR from their configurations: no network, no tensors."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from baselines.swinir import SwinIRConfig
from benchmarks.measure.counters import PARTS, Part
from kgt.attention import AttentionShape, choose_backend
from kgt.attention.cost import Cost
from kgt.attention.sdpa import dense_cost
from kgt.config import KGTConfig
from kgt.errors import quote

DENSE = "dense"


@dataclass
class Tally:
    """What a network costs, added up layer by layer.

    Attributes:
        parameters: number of learned values.
        flops: of matrix products and convolutions, by part.
        pairs_in_graph: pairs of query and key that are connected, summed over windows and layers
            but not over heads; padding of short rows counts.
        pairs_computed: pairs whose scores are computed.
    """

    parameters: int = 0
    flops: Counter[Part] = field(default_factory=lambda: Counter(dict.fromkeys(PARTS, 0)))
    pairs_in_graph: int = 0
    pairs_computed: int = 0

    def convolve(self, inputs: int, outputs: int, pixels: int, kernel: int = 3) -> None:
        """Add a convolution, kernel x kernel with bias, that yields this many pixels."""
        weights = kernel**2 * inputs * outputs
        self.parameters += weights + outputs
        self.flops["convolution"] += 2 * weights * pixels

    def project(
        self, inputs: int, outputs: int, rows: int, part: Part = "linear", bias: bool = True
    ) -> None:
        """Add a linear layer that is applied to this many rows."""
        self.parameters += inputs * outputs + bias * outputs
        self.flops[part] += 2 * inputs * outputs * rows

    def transform(self, dim: int, hidden: int, tokens: int) -> None:
        """Add what any transformer layer has besides attention: norms, projections, an MLP."""
        self.parameters += 2 * (2 * dim)
        for inputs, outputs in ((dim, 3 * dim), (dim, dim), (dim, hidden), (hidden, dim)):
            self.project(inputs, outputs, tokens)

    def reconstruct(self, config: KGTConfig | SwinIRConfig, pixels: int) -> None:
        """Add the head, from features of input size to the image."""
        dim, channels, scale = config.embed_dim, config.restored_channels, config.scale
        if scale == 1:
            self.convolve(dim, channels * config.unshuffle**2, pixels)
        elif config.upsampler == "pixelshuffledirect":
            self.convolve(dim, channels * scale**2, pixels)
        else:
            features = config.upsample_features
            self.convolve(dim, features, pixels)
            while scale > 1:
                step = 3 if scale == 3 else 2
                self.convolve(features, features * step**2, pixels)
                scale, pixels = scale // step, pixels * step**2
            self.convolve(features, channels, pixels)


def tally_kgt(config: KGTConfig, pixels: int, backend: str = "auto") -> Tally:
    """Cost of a KGT.

    Args:
        config: the network.
        pixels: of the padded input.
        backend: that attends, on a CPU in float32: whether it computes the graph's pairs or all is
            its own closed form's to say. `DENSE` is the twin without a graph.

    Raises:
        ValueError: for a backend that is unknown, cannot attend or has no closed form, such as
            `reference`, whose products are elementwise and escape every counter.
    """
    tally = Tally()
    dim, blocks = config.embed_dim, config.unshuffle**2
    pixels //= config.unshuffle**2
    tally.convolve(config.in_channels * config.unshuffle**2, dim, pixels)
    if config.shape == "columnar":
        tally.parameters += 2 * (2 * dim)
        for depth in config.depths:
            _add_stage(tally, config, 0, depth, pixels, backend)
        tally.convolve(dim, dim, pixels)
        tally.reconstruct(config, pixels)
        return tally
    *encoder, latent = config.depths
    for level, depth in enumerate(encoder):
        width, there = dim * 2**level, pixels // 4**level
        for _ in ("encoder", "decoder"):
            _add_stage(tally, config, level, depth, there, backend)
        tally.convolve(4 * width, 2 * width, there // 4, kernel=1)  # down
        tally.convolve(2 * width, 4 * width, there // 4, kernel=1)  # up
        tally.convolve(2 * width, width, there, kernel=1)  # fuse
    _add_stage(tally, config, len(encoder), latent, pixels // 4 ** len(encoder), backend)
    _add_stage(tally, config, 0, config.final_depth, pixels, backend)
    tally.convolve(dim, config.restored_channels * blocks, pixels)
    return tally


def _add_stage(
    tally: Tally, config: KGTConfig, level: int, depth: int, tokens: int, backend: str
) -> None:
    """One graph (or one per layer), the layers, a convolution."""
    dim, heads, window = (
        config.embed_dim * 2**level,
        config.heads * 2**level,
        config.windows[level],
    )
    nodes, table = window**2, (2 * window - 1) ** 2
    biased = config.position_bias == "continuous"
    shape = AttentionShape(
        windows=tokens // nodes,
        heads=heads,
        nodes=nodes,
        head_dim=dim // heads,
        k=nodes if backend == DENSE else min(config.k, nodes - (not config.include_self)),
        has_bias=biased,
    )
    attention = attention_cost(shape, backend)
    if attention is None:
        raise ValueError(f"the cost of backend {quote(backend)} is not defined; choose another")
    if backend != DENSE:
        graphs = 1 if config.graph_scope == "stage" else depth
        tally.flops["graph"] += 2 * graphs * tokens * nodes * dim
    for _ in range(depth):
        tally.transform(dim, int(dim * config.mlp_ratio), tokens)
        tally.parameters += config.learned_scale * heads
        tally.flops["attention"] += attention.flops
        tally.pairs_in_graph += tokens * shape.k
        tally.pairs_computed += attention.flops // (4 * dim)
        if biased:
            tally.project(2, config.bias_hidden, table, "position_bias")
            tally.project(config.bias_hidden, heads, table, "position_bias", bias=False)
    tally.convolve(dim, dim, tokens)


def attention_cost(shape: AttentionShape, backend: str) -> Cost | None:
    """Closed-form cost of one attention call; None where the backend has no formula.

    Args:
        shape: axes, types and demands of the call.
        backend: `DENSE` for attention to every token, else as `choose_backend`.

    Raises:
        ValueError: for a backend that is unknown or cannot attend.
    """
    formula = dense_cost if backend == DENSE else choose_backend(shape, backend).cost
    return None if formula is None else formula(shape)


def tally_swinir(config: SwinIRConfig, pixels: int) -> Tally:
    """Cost of a SwinIR; its position bias is looked up, which takes no products.

    Args:
        config: the network.
        pixels: of the padded input.
    """
    tally = Tally()
    dim, nodes = config.embed_dim, config.window_size**2
    pixels //= config.unshuffle**2
    tally.convolve(config.in_channels * config.unshuffle**2, dim, pixels)
    tally.parameters += 2 * (2 * dim)
    for depth in config.depths:
        for _ in range(depth):
            tally.transform(dim, int(dim * config.mlp_ratio), pixels)
            tally.parameters += (2 * config.window_size - 1) ** 2 * config.num_heads
            tally.flops["attention"] += 4 * pixels * nodes * dim
            tally.pairs_in_graph += pixels * nodes
        tally.convolve(dim, dim, pixels)
    tally.pairs_computed = tally.pairs_in_graph
    tally.convolve(dim, dim, pixels)
    tally.reconstruct(config, pixels)
    return tally
