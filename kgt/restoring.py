"""From network to picture, band by band: into memory, or into a file that is larger than memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from kgt.contract import Restorer, split_whole
from kgt.network.windows import pad_to_multiple
from kgt.pictures.mosaic import interpolate_malvar
from kgt.pictures.picture import Picture
from kgt.pictures.write import write_bands
from kgt.tiles import BYTE_BUDGET, OVERLAP
from kgt.tiles.bands import restore_bands
from kgt.tiles.plan import plan_tiles

if TYPE_CHECKING:
    import PIL.Image

    Source = Picture | PIL.Image.Image | str | os.PathLike[str]

# Of red, green and blue (ITU-R BT.601).
_LUMA = (0.299, 0.587, 0.114)
# Below this, planning tiles takes longer than restoring the picture whole.
_SMALL_PIXELS = 128**2
# Rows of the source that bicubic interpolation reads beyond those that it interpolates.
_REACH = 2


def restore_picture(
    net: Restorer,
    picture: Source,
    tile: int | Literal["auto"] | None = "auto",
    *,
    overlap: int = OVERLAP,
    byte_budget: int = BYTE_BUDGET,
    on_progress: Callable[[float], object] | None = None,
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
        on_progress: as for `restore_bands`.

    Returns:
        The picture in as many bits as before, with its color profile, Exif and text.

    Raises:
        ValueError: a color picture and a gray network, a result that is NaN or infinite, and as
            `restore` and `Picture.read`.
        OSError: as `Picture.read`.
    """
    picture = _interpolate(net, _open(picture))
    width, height = (net.scale * length for length in picture.size)
    restored = np.empty((height, width, picture.channels), picture.pixels.dtype)
    top = 0
    for rows in _restore_rows(net, picture, tile, overlap, byte_budget, on_progress):
        restored[top : top + len(rows)] = rows
        top += len(rows)
        del rows  # else they live while the next ones are made
    return picture.with_samples(restored)


def restore_file(
    net: Restorer,
    picture: Source,
    path: str | os.PathLike[str],
    tile: int | Literal["auto"] | None = "auto",
    *,
    overlap: int = OVERLAP,
    byte_budget: int = BYTE_BUDGET,
    on_progress: Callable[[float], object] | None = None,
) -> None:
    """Restore a picture as `restore_picture` does, into a file whose size memory does not limit.

    What is restored goes to the disk band by band, beside the file, which is encoded and appears
    when all of it is there. What the file cannot hold, or the folder not take, is refused before.

    Args:
        net: a restorer.
        picture: as for `restore_picture`.
        path: a file as for `Picture.save`; one that is there is replaced.
        tile: as for `restore_bands`.
        overlap: as for `restore`.
        byte_budget: as for `restore_picture`.
        on_progress: as for `restore_picture`.

    Raises:
        ValueError: as `restore_picture` and `Picture.check_format`.
        OSError: as `Picture.read`, or the file cannot be written.
    """
    path, picture = Path(path), _open(picture)
    picture.check_format(path, net.scale)
    picture = _interpolate(net, picture)
    width, height = (net.scale * length for length in picture.size)
    rows = _restore_rows(net, picture, tile, overlap, byte_budget, on_progress)
    write_bands(path, rows, (width, height), picture)


def choose_picture_tile(
    net: Restorer, picture: Picture, *, overlap: int = OVERLAP, byte_budget: int = BYTE_BUDGET
) -> int | None:
    """The tile that "auto" stands for, None where the picture goes through the network whole."""
    image = _make_input(picture.pixels, net)
    if image.shape[-2] * image.shape[-1] <= _SMALL_PIXELS:
        return None
    return plan_tiles(net, image, overlap=overlap, byte_budget=byte_budget, streamed=True).tile


def _open(picture: Source) -> Picture:
    if isinstance(picture, Picture):
        return picture
    if isinstance(picture, (str, os.PathLike)):
        return Picture.read(picture)
    return Picture.from_pil(picture)


def _interpolate(net: Restorer, picture: Picture) -> Picture:
    """A mosaic as the color picture that networks for demosaicking train on; others as they are."""
    if net.task != "demosaic" or picture.pixels.shape[-1] > 1:
        return picture
    image = interpolate_malvar(torch.from_numpy(picture.pixels[..., 0].astype(np.float32)))
    pixels = _round(image, picture.pixels.dtype)
    return replace(picture, pixels=pixels, icc_profile=b"")  # the profile is of gray


def _restore_rows(
    net: Restorer,
    picture: Picture,
    tile: int | Literal["auto"] | None,
    overlap: int,
    byte_budget: int,
    on_progress: Callable[[float], object] | None,
) -> Iterator[NDArray[Any]]:
    """Restored samples [rows, scale * w, channels] of the picture, from top to bottom."""
    pixels, scale = picture.pixels, net.scale
    if tile == "auto":
        tile = choose_picture_tile(net, picture, overlap=overlap, byte_budget=byte_budget)
    body, image = split_whole(net, _make_input(pixels, net))
    height, width = (scale * length for length in pixels.shape[:2])
    top = 0
    for band in restore_bands(body, image, tile, overlap=overlap, on_progress=on_progress):
        restored = band[0, :, : height - top, :width]
        if not restored.isfinite().all():
            raise ValueError(f"the result has NaN or infinite values below row {top}")
        restored = restored.double().mul_(np.iinfo(pixels.dtype).max)
        if len(restored) > pixels.shape[-1]:
            luma = restored.new_tensor(_LUMA)
            restored = torch.einsum("chw,c->hw", restored, luma)[None]
        rows = _round(restored, pixels.dtype)
        if picture.alpha is not None:
            alpha = _upscale(picture.alpha, scale, top, top + len(rows))
            rows = np.concatenate([rows, alpha[..., None]], axis=-1)
        top += len(rows)
        del band, restored  # else they live while the next ones are made
        yield rows
        del rows


def _make_input(pixels: NDArray[Any], net: Restorer) -> Tensor:
    """Pixels [h, w, C] as the network takes them, [1, C', h, w]; bytes are converted by tiles."""
    wanted = net.in_channels
    if pixels.shape[-1] > wanted:
        raise ValueError("the network takes gray pictures; convert this color picture to gray")
    like = next(net.parameters(), torch.empty(0, dtype=torch.float32))
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


def _round(steps: Tensor, dtype: np.dtype[Any]) -> NDArray[Any]:
    """An image [C, h, w] on the scale of a dtype as integers [h, w, C], rounded half up.

    The image is overwritten.
    """
    rounded = steps.clamp_(0, np.iinfo(dtype).max).add_(0.5)
    return rounded.permute(1, 2, 0).cpu().numpy().astype(dtype)


def _upscale(alpha: NDArray[Any], scale: int, top: int, bottom: int) -> NDArray[Any]:
    """Rows of alpha [h, w], upscaled bicubically; at scale 1 they stay what they are."""
    if scale == 1:
        return alpha[top:bottom]
    first, last = max(top // scale - _REACH, 0), -(-bottom // scale) + _REACH
    samples = torch.from_numpy(alpha[first:last].astype(np.float32))[None, None]
    upscaled = F.interpolate(samples, scale_factor=scale, mode="bicubic")[0]
    return _round(upscaled[:, top - first * scale : bottom - first * scale], alpha.dtype)[..., 0]
