"""Cuts of images as they turn up in other sets: scaled, mirrored, gray, coded as JPEG."""

import io
from dataclasses import dataclass

import numpy as np
import PIL.Image

LEAST_SIDE = 96


@dataclass(frozen=True)
class Cut:
    """A part of an image and what was done to it; quality is that of JPEG, None for none."""

    left: int
    top: int
    width: int
    height: int
    scale: float
    mirrored: bool = False
    gray: bool = False
    quality: int | None = None

    def of(self, image):
        box = (self.left, self.top, self.left + self.width, self.top + self.height)
        size = (round(self.width * self.scale), round(self.height * self.scale))
        part = PIL.Image.fromarray(image).crop(box).resize(size, PIL.Image.Resampling.BICUBIC)
        if self.mirrored:
            part = part.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)
        if self.gray:
            part = part.convert("L")
        if self.quality:
            file = io.BytesIO()
            part.save(file, "JPEG", quality=self.quality)
            part = PIL.Image.open(file)
        return np.array(part)


def draw_cut(rng, image):
    """A cut of at least 96 x 96 pixels, of half to twice its size."""
    height, width = image.shape[:2]
    rows, columns = (int(rng.integers(LEAST_SIDE, side + 1)) for side in (height, width))
    return Cut(
        left=int(rng.integers(width - columns + 1)),
        top=int(rng.integers(height - rows + 1)),
        width=columns,
        height=rows,
        scale=2 ** rng.uniform(-1, 1),
        mirrored=bool(rng.integers(2)),
        gray=bool(rng.integers(2)),
        quality=int(rng.integers(30, 96)) if rng.integers(2) else None,
    )
