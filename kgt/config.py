"""The configuration of a network and the presets.

Every choice on which the papers are silent is a field with one default; `[A]` marks them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from kgt.attention.key_graph import check_count
from kgt.attention.similarity import SIMILARITIES
from kgt.errors import quote, unknown
from kgt.fields import convert_all
from kgt.tasks import SAME_SIZE

_CHOICES = {
    "shape": ("columnar", "u"),
    "similarity": tuple(SIMILARITIES),
    "upsampler": ("pixelshuffle", "pixelshuffledirect"),
    "norm": ("pre", "post"),
    "score": ("dot", "cosine"),
    "window_offset": ("alternate", "none"),
    "position_bias": ("continuous", "none"),
    "graph_scope": ("stage", "layer"),
}

_POSITIVE = ("embed_dim", "heads", "mlp_ratio", "upsample_features", "bias_hidden")


@dataclass(frozen=True)
class KGTConfig:
    """Everything that defines a network; frozen, so a network never drifts from its name.

    Attributes:
        task: what the preset is for, e.g. "sr"; read by harnesses, not by the network.
        shape: "columnar" (super-resolution) or "u" (all other tasks), KGT Fig. 2.
        scale: upsampling factor, 1 for same-size restoration.
        in_channels: channels of the input: 1 or 3 of an image, or 6 of two images that a network
            sees together, of which it restores the second.
        out_channels: channels of the result; None for as many as of the input.
        unshuffle: [A] side of the pixel blocks that become channels before the first convolution,
            and pixels again after the last: 2 restores at the same size for a quarter of the cost.
        embed_dim: C; in the U shape the C of the top level, doubled at each level down.
        heads: H; in the U shape of the top level, doubled at each level down.
        depths: layers per stage (columnar); per level from the top to the latent (U shape).
        final_depth: layers of the stage after the decoder (U shape).
        mlp_ratio: hidden width of the MLP over C.
        upsampler: head of the columnar shape: "pixelshuffle" as printed, or the lighter
            "pixelshuffledirect" of SwinIR's lightweight networks.
        upsample_features: channels of the "pixelshuffle" head.
        window: side M of a window, N = M * M tokens.
        level_windows: [A] window per level of the U shape, top to latent.
        k: keys per token at construction; `set_k` changes it later, as in random-k training.
        include_self: [A] a token may be its own key; False is Eq. 2 as printed.
        similarity: "dot" as printed, or another of `kgt.attention.similarity.SIMILARITIES`, ours.
        graph_scope: "stage" builds the graph once per stage as printed; "layer" rebuilds it from
            the input of every layer (the ablation of sharing).
        norm: [A] "pre" or "post" LayerNorm.
        score: [A] "dot" as printed, or "cosine" attention as in GRL.
        learned_scale: [A] one learned factor of the scores per head and layer, as the printed
            parameter counts allow; False is 1 / sqrt(d) (dot) or 10 (cosine), fixed.
        position_bias: [A] "continuous" (fits the printed parameter counts) or "none".
        bias_hidden: width of the position-bias network.
        window_offset: [A] "alternate" shifts every second stage by M / 2 cyclically; "none".
        mean: [A] per-channel mean subtracted from each image of the input.
    """

    task: str = "sr"
    shape: str = "columnar"
    scale: int = 1
    in_channels: int = 3
    out_channels: int | None = None
    unshuffle: int = 1
    embed_dim: int = 180
    heads: int = 6
    depths: tuple[int, ...] = (6, 6, 6, 6, 6, 6)
    final_depth: int = 0
    mlp_ratio: float = 2.0
    upsampler: str = "pixelshuffle"
    upsample_features: int = 64
    window: int = 32
    level_windows: tuple[int, ...] = ()
    k: int = 512
    include_self: bool = True
    similarity: str = "dot"
    graph_scope: str = "stage"
    norm: str = "pre"
    score: str = "dot"
    learned_scale: bool = True
    position_bias: str = "continuous"
    bias_hidden: int = 512
    window_offset: str = "alternate"
    mean: tuple[float, ...] = (0.4488, 0.4371, 0.4040)

    def __post_init__(self) -> None:
        convert_all(self, _POSITIVE)
        for name, valid in _CHOICES.items():
            value = getattr(self, name)
            if value not in valid:
                raise ValueError(f"{name} = {quote(value)}; valid: {', '.join(valid)}")
        if self.in_channels not in (1, 3, 6):
            raise ValueError(f"in_channels = {self.in_channels}; valid: 1, 3, 6")
        if not 1 <= self.restored_channels <= self.in_channels:
            raise ValueError(
                f"out_channels = {self.out_channels}; valid: 1 to in_channels = {self.in_channels}"
            )
        if self.restored_channels < self.in_channels and self.scale > 1:
            raise ValueError(
                f"out_channels = {self.out_channels} needs scale = 1; scale = {self.scale}"
            )
        if self.scale not in (1, 2, 3, 4):
            raise ValueError(f"scale = {self.scale}; valid: 1, 2, 3, 4")
        if self.embed_dim % self.heads:
            raise ValueError(f"embed_dim {self.embed_dim} is not a multiple of heads {self.heads}")
        check_count("k", self.k)
        if not self.depths or min(self.depths) < 1:
            raise ValueError(f"depths = {self.depths}: at least one stage of at least one layer")
        if min(self.windows) < 2:
            raise ValueError(f"windows of side {self.windows}: at least 2 pixels")
        if self.shape == "u" and len(self.level_windows) != len(self.depths):
            raise ValueError(
                f"{len(self.depths)} levels need as many level_windows, got {self.level_windows}"
            )
        if self.shape == "u" and self.scale != 1:
            raise ValueError(f"the U shape restores at the same size; scale = {self.scale}")
        if self.unshuffle not in (1, 2, 4):
            raise ValueError(f"unshuffle = {self.unshuffle}; valid: 1, 2, 4")
        if self.unshuffle > 1 and self.scale > 1:
            raise ValueError(
                f"unshuffle = {self.unshuffle} restores at the same size; scale = {self.scale}"
            )

    @property
    def restored_channels(self) -> int:
        """Channels of the result."""
        return self.in_channels if self.out_channels is None else self.out_channels

    @property
    def windows(self) -> tuple[int, ...]:
        """Windows in use, one per level."""
        return self.level_windows if self.shape == "u" else (self.window,)

    @property
    def size_multiple(self) -> int:
        """Height and width are padded to a multiple of this many pixels."""
        return self.unshuffle * max(window * 2**level for level, window in enumerate(self.windows))


_TINY: dict[str, object] = {
    "embed_dim": 48,
    "heads": 6,
    "depths": (2, 2, 2),
    "upsampler": "pixelshuffledirect",
    "window": 16,
    "k": 64,
    "bias_hidden": 32,
}
_U: dict[str, object] = {
    "shape": "u",
    "embed_dim": 60,
    "heads": 2,
    "depths": (6, 8, 8, 6),
    "final_depth": 4,
    "level_windows": (32, 32, 16, 8),
}
_TINY_U: dict[str, object] = {
    "shape": "u",
    "unshuffle": 2,
    "embed_dim": 40,
    "heads": 5,
    "depths": (2, 2),
    "final_depth": 2,
    "level_windows": (16, 8),
    "k": 64,
    "bias_hidden": 32,
}

PRESETS: dict[str, dict[str, object]] = {
    **{f"kgt-s-x{s}": {"scale": s} for s in (2, 3, 4)},
    **{f"kgt-b-x{s}": {"scale": s, "depths": (8,) * 8} for s in (2, 3, 4)},
    **{f"kgt-tiny-x{s}": {"scale": s, **_TINY} for s in (2, 3, 4)},
    "kgt-u": {"task": "denoise", **_U},
    **{f"kgt-tiny-{own.suffix}": {"task": own.task, **_TINY_U} for own in SAME_SIZE},
}


def preset(name: str, **overrides: object) -> KGTConfig:
    """The configuration of a named model, with fields replaced by `overrides`.

    Raises:
        ValueError: for an unknown name or field, listing the valid ones.
    """
    if name not in PRESETS:
        raise unknown("model", name, sorted(PRESETS))
    valid = {field.name for field in fields(KGTConfig)}
    for field in sorted(set(overrides) - valid):
        raise unknown("field", field, sorted(valid))
    return KGTConfig(**{**PRESETS[name], **overrides})  # type: ignore[arg-type]
