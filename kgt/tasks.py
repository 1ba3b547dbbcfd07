"""What the small networks that ship are for: the tasks of `restore`."""

from __future__ import annotations

from typing import NamedTuple


class Purpose(NamedTuple):
    """What a network is for.

    Attributes:
        suffix: how the names end of networks for it.
        task: their attribute `task`.
        scale: their attribute `scale`.
    """

    suffix: str
    task: str
    scale: int = 1


# By the name of the task.
PURPOSES = {
    "denoise-color": Purpose("denoise-color", "denoise"),
    "jpeg-color": Purpose("jpeg-color", "jpeg"),
    "sr-x4": Purpose("x4", "sr", 4),
    "demosaic": Purpose("demosaic", "demosaic"),
    "deblur": Purpose("deblur", "deblur"),
    "weather": Purpose("weather", "weather"),
}
SAME_SIZE = tuple(purpose for purpose in PURPOSES.values() if purpose.scale == 1)
