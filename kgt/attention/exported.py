"""The key-graph in operators that any runtime has, for exports."""

from __future__ import annotations

import torch
from torch import Tensor

from kgt.attention.key_graph import PADDING
from kgt.attention.similarity import Ranking


def find_keys_plainly(
    ranking: Ranking, k: int, include_self: bool, regions: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Indices [W, N, k], not sorted, and degrees [W, N], None if all are k; without checks.

    Ties go where a runtime's topk lets them go; in ONNX that is the smaller index.
    """
    similarity = ranking.all_pairs()
    if not include_self:
        itself = torch.eye(similarity.shape[-1], dtype=torch.bool, device=similarity.device)
        similarity = similarity.masked_fill(itself, -torch.inf)
    if regions is not None:
        apart = regions[:, :, None] != regions[:, None, :]
        images = similarity.shape[0] // regions.shape[0]
        similarity = similarity.masked_fill(apart.repeat(images, 1, 1), -torch.inf)
    top = similarity.topk(k)
    indices = top.indices.int()
    if regions is None:
        return indices, None
    found = top.values > -torch.inf
    return torch.where(found, indices, PADDING), found.sum(-1, dtype=torch.int32)
