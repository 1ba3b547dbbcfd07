"""Trained weights that ship with a package: a folder of safetensors files, one per model.

A file is named after its model. Its metadata name the model, too, and describe the training. Beside
it lies a card, NAME.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kgt.checkpoints import fill, read_checkpoint
from kgt.contract import Restorer
from kgt.errors import quote

_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class ShippedWeights:
    """Trained weights of one model.

    Attributes:
        path: the safetensors file, NAME.safetensors.
    """

    path: Path

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.path.name.removesuffix(_SUFFIX)

    def load_into(self, network: Restorer) -> None:
        """Fill a network, as `kgt.checkpoints.fill` does.

        Raises:
            ValueError: naming the file, when it cannot be read, is of another model, or does not
                fit.
        """
        checkpoint = read_checkpoint(self.path)
        model = checkpoint.metadata.get("model")
        if model != self.model:
            raise ValueError(
                f"{self.path} holds the weights of {quote(model)}, not of {self.model!r}"
            )
        fill(network, checkpoint)


def find_weights(folder: Path) -> dict[str, ShippedWeights]:
    """Trained weights in a folder by model, sorted; none where there is no folder."""
    weights = map(ShippedWeights, sorted(folder.glob(f"*{_SUFFIX}")))
    return {shipped.model: shipped for shipped in weights}
