"""A network restores a picture of any size and kind."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from kgt.contract import Restorer, as_module, split_whole
from kgt.network.windows import pad_to_multiple
from kgt.pictures.mosaic import interpolate_mosaic
from kgt.pictures.picture import Picture
from kgt.tiles import BYTE_BUDGET, OVERLAP
from kgt.tiles.inference import place_tiles, plan_tiles, restore_bands

# Of red, green and blue (ITU-R BT.601).
_LUMA = (0.299, 0.587, 0.114)
# Below this, planning tiles takes longer than restoring the picture whole.
_SMALL_PIXELS = 128**2


def restore_picture(
    net: Restorer,
    picture: Picture | PIL.Image.Image | str | os.PathLike[str],
    tile: int | Literal["auto"] | None = "auto",
    *,
    overlap: int = OVERLAP,
    byte_budget: int = BYTE_BUDGET,
    on_tile: Callable[[float], object] = lambda done: None,
) -> Picture:
    """Restore a picture of any size and kind.

    A side that is shorter than the network's grid is filled up by reflection. A gray picture goes
    through a color network as three equal channels, of which the luma is kept. To a network for
    demosaicking, a gray picture is the mosaic of a sensor, stored upright under an RGGB pattern,
    and becomes a color picture; a color picture is taken for one that was interpolated already.
    Alpha is kept, and upscaled bicubically.

    Args:
        net: a restorer.
        picture: a picture, an image of Pillow, or a file.
        tile: as for `restore_bands`.
        overlap: as for `restore`.
        byte_budget: bytes that "auto" may take besides the pictures, see `plan_tiles`.
        on_tile: told the fraction of the tiles that are restored, after every tile.

    Returns:
        The picture in as many bits as before, with its color profile, Exif and text.

    Raises:
        ValueError: a color picture and a gray network, a result that is NaN or infinite, and as
            `restore` and `Picture.read`.
        OSError: as `Picture.read`.
    """
    if isinstance(picture, PIL.Image.Image):
        picture = Picture.from_pil(picture)
    elif not isinstance(picture, Picture):
        picture = Picture.read(picture)
    pixels = picture.pixels
    if net.task == "demosaic" and pixels.shape[-1] == 1:
        pixels = _interpolate(pixels)
    net, image = split_whole(net, _make_input(pixels, net))
    if tile == "auto" and image.shape[-2] * image.shape[-1] <= _SMALL_PIXELS:
        tile = None
    elif tile == "auto":
        plan = plan_tiles(net, image, overlap=overlap, byte_budget=byte_budget, streamed=True)
        tile = plan.tile
    height, width = (net.scale * length for length in pixels.shape[:2])
    restored = np.empty((height, width, pixels.shape[-1]), pixels.dtype)
    done = 0
    with _count_calls(net, _count_tiles(net, image, tile, overlap), on_tile):
        for band in restore_bands(net, image, tile, overlap=overlap):
            rows = band[0, :, : height - done, :width]
            if not rows.isfinite().all():
                raise ValueError(f"the result has NaN or infinite values below row {done}")
            rows = rows.double() * np.iinfo(pixels.dtype).max
            if len(rows) > pixels.shape[-1]:
                rows = torch.einsum("chw,c->hw", rows, rows.new_tensor(_LUMA))[None]
            restored[done : done + rows.shape[1]] = _round(rows, pixels.dtype)
            done += rows.shape[1]
            del band, rows  # else they live while the next ones are made
    return replace(
        picture,
        pixels=restored,
        alpha=None if picture.alpha is None else _upscale(picture.alpha, net.scale),
        # A profile is of gray or of color.
        icc_profile=picture.icc_profile if pixels is picture.pixels else b"",
    )


def _interpolate(mosaic: NDArray[Any]) -> NDArray[Any]:
    """A mosaic [h, w, 1] as the color image [h, w, 3] of the same dtype that networks train on."""
    image = interpolate_mosaic(torch.from_numpy(mosaic[..., 0].astype(np.float32)))
    return _round(image, mosaic.dtype)


def _make_input(pixels: NDArray[Any], net: Restorer) -> Tensor:
    """Pixels [h, w, C] as the network takes them, [1, C', h, w]; bytes are converted by tiles."""
    wanted = net.in_channels
    if pixels.shape[-1] > wanted:
        raise ValueError("the network takes gray pictures; convert this color picture to gray")
    like = next(net.parameters(), torch.empty(0))
    image = torch.from_numpy(np.require(pixels, requirements=["C", "W"])).to(like.device)
    image = image.permute(2, 0, 1)[None].contiguous().expand(-1, wanted, -1, -1)
    multiple = net.size_multiple
    is_small = min(pixels.shape[:2]) < multiple
    if is_small or pixels.dtype != np.uint8:
        image = image.to(like.dtype).div_(np.iinfo(pixels.dtype).max)
    if is_small:
        # One pixel reflects nothing.
        image = F.pad(
            image, (0, int(image.shape[3] == 1), 0, int(image.shape[2] == 1)), mode="replicate"
        )
        image = pad_to_multiple(image, multiple)
    return image


def _count_tiles(net: Restorer, image: Tensor, tile: int | None, overlap: int) -> int:
    if tile is None:
        return 1
    return math.prod(len(place_tiles(net, length, tile, overlap)) for length in image.shape[-2:])


@contextmanager
def _count_calls(net: Restorer, total: int, on_call: Callable[[float], object]) -> Iterator[None]:
    """Tell after every call of a network what fraction of all its calls is done."""
    done = 0

    def tell(*_: object) -> None:
        nonlocal done
        done += 1
        on_call(done / total)

    hook = as_module(net).register_forward_hook(tell)
    try:
        yield
    finally:
        hook.remove()


def _round(steps: Tensor, dtype: np.dtype[Any]) -> NDArray[Any]:
    """An image [C, h, w] on the scale of a dtype as integers [h, w, C], rounded half up.

    The image is overwritten.
    """
    rounded = steps.clamp_(0, np.iinfo(dtype).max).add_(0.5)
    return rounded.permute(1, 2, 0).cpu().numpy().astype(dtype)


def _upscale(alpha: NDArray[Any], scale: int) -> NDArray[Any]:
    """Upscale [h, w] bicubically; at scale 1 it stays what it is."""
    if scale == 1:
        return alpha
    samples = torch.from_numpy(alpha.astype(np.float32))[None, None]
    upscaled = F.interpolate(samples, scale_factor=scale, mode="bicubic")[0]
    return _round(upscaled, alpha.dtype)[..., 0]
