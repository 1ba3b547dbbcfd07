"""Trained weights that ship with a package: a folder of safetensors files, one per model.

A file is named after its model. Its metadata name the model, too, and describe the training. Beside
it lies a card, NAME.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

from kgt.contract import Restorer

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

    def read_metadata(self) -> dict[str, str]:
        """How the weights were trained: model, recipe, steps, digests of code and data.

        Raises:
            ValueError: naming the file, when it cannot be read or is of another model.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, "pt") as file:
                metadata = dict(file.metadata() or {})
        except (OSError, SafetensorError) as error:
            raise ValueError(f"{self.path} cannot be read: {error}; install kgt anew") from error
        if metadata.get("model") != self.model:
            raise ValueError(
                f"{self.path} holds the weights of {metadata.get('model')!r}, not of {self.model!r}"
            )
        return metadata

    def load_into(self, network: Restorer) -> None:
        """Fill a network whose parameters have exactly the names and shapes of the file.

        The network's attribute `provenance` becomes the file's metadata.

        Raises:
            ValueError: when the file does not fit, or as `read_metadata`. The network is then in
                no defined state.
        """
        from safetensors.torch import load_file

        provenance = self.read_metadata()
        try:
            network.load_state_dict(load_file(self.path))
        except RuntimeError as error:
            # The first line only names the class; the second begins with what is wrong.
            problem = shorten(str(error).partition("\n")[2], 200, placeholder=" ...")
            raise ValueError(
                f"the trained weights of {self.model} do not fit: {problem}. Only fields can be "
                "overridden that change the shape of no parameter, such as k; to train other "
                "shapes, create the network with pretrained=False"
            ) from error
        network.provenance = provenance


def find_weights(folder: Path) -> dict[str, ShippedWeights]:
    """Trained weights in a folder by model, sorted; none where there is no folder."""
    weights = map(ShippedWeights, sorted(folder.glob(f"*{_SUFFIX}")))
    return {shipped.model: shipped for shipped in weights}
