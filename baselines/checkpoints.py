"""Reading files of weights without running any code that they may carry."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file


def read_weights(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint; only tensors and plain containers are taken from it.

    Args:
        path: a .safetensors file, or one that `torch.load` reads.

    Returns:
        What the file holds, on the CPU: parameters by name, or a mapping around them.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: naming the file, when it is cut short, carries code, or is no checkpoint.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    # Damaged files fail anywhere in the readers, with whatever error that place raises.
    except Exception as error:
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        if foreign:
            raise ValueError(
                f"{path} asks for {foreign[1]}, but no code of a checkpoint is run and only "
                "tensors are taken; save the parameters alone: torch.save(model.state_dict(), path)"
            ) from error
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise ValueError(f"{path} is cut short, or no checkpoint ({reason})") from error
    if not (isinstance(content, dict) and content and all(isinstance(k, str) for k in content)):
        raise ValueError(
            f"{path} holds a {type(content).__name__} without parameters by name; "
            "a checkpoint is a mapping of names to tensors"
        )
    return content
