"""The two networks: columnar for super-resolution, U-shaped for same-size restoration."""

from __future__ import annotations

from kgt.attention import get_backend
from kgt.attention.key_graph import check_count
from kgt.network.layers import KeyGraphAttention, KGTStage
from kgt.network.shapes import Columnar, Shape, UShaped


class KGT(Shape):
    """Stages that share a graph among their layers, with its number of keys and its backend."""

    stage_class = KGTStage

    def set_k(self, k: int) -> None:
        """Keep k keys per token from now on, in every stage (random-k training, k at inference).

        Raises:
            ValueError: for a k that is no whole number, or below 1.
        """
        check_count("k", k)
        for stage in self.modules():
            if isinstance(stage, KGTStage):
                stage.k = k

    def set_backend(self, backend: str) -> None:
        """Attend with this backend (or "auto") from now on, in every layer.

        Raises:
            ValueError: for an unknown backend, listing the valid ones.
        """
        if backend != "auto":
            get_backend(backend)
        for attention in self.modules():
            if isinstance(attention, KeyGraphAttention):
                attention.backend = backend

    def _stage(self, level: int, depth: int, shifted: bool, window: int) -> KGTStage:
        config = self.config
        return self.stage_class(
            config,
            config.embed_dim * 2**level,
            config.heads * 2**level,
            depth,
            window,
            shifted and config.window_offset == "alternate",
        )


class ColumnarKGT(Columnar, KGT):
    """Stages at one resolution, between two convolutions; enlarges or restores at the same size."""


class UShapedKGT(UShaped, KGT):
    """Stages at falling, then rising resolution; restores at the same size."""
