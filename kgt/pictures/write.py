"""Files written by libvips, from rows as they are made; a file appears when it is complete."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyvips
from numpy.typing import NDArray

from kgt.files import replace_when_complete
from kgt.pictures.exif import append_exif
from kgt.pictures.formats import JPEG, PNG, TIFF, Format, find_format

if TYPE_CHECKING:
    from kgt.pictures.picture import Picture

_END_OF_PNG = 12  # bytes of its last chunk
_FINEST = 1e6  # pixels per mm, of which libvips takes no more
_LARGEST_TIFF = 2**32 - 2**24  # leaves room for directories


def write_bands(
    path: Path, bands: Iterable[NDArray[Any]], size: tuple[int, int], like: Picture
) -> None:
    """Write a picture whose rows are known from top to bottom, without holding all of them.

    Until the last row is known they lie, not compressed, in a file beside it that has no name. The
    folder must take files before the first row is asked for.

    Args:
        path: a file with a suffix of `FORMATS`; one that is there is replaced.
        bands: samples uint8 or uint16 [rows, w, 1 to 4], the last of 2 and 4 channels is alpha.
        size: width and height in pixels.
        like: what has the color profile, Exif, text and resolution that the file gets.

    Raises:
        ValueError: for a suffix that is not written.
        OSError: where the file cannot be written.
    """
    kind = find_format(path)
    try:
        with replace_when_complete(path) as file, TemporaryFile(dir=path.parent) as raw:
            for band in bands:
                colors = band.shape[-1] - (kind is JPEG and band.shape[-1] in (2, 4))
                samples = to_bits(band[..., :colors], kind.bits)
                raw.write(np.ascontiguousarray(samples).data)
                channels, dtype = samples.shape[-1], samples.dtype
                del band, samples  # else they live while the next ones are made
            raw.flush()
            image = pyvips.Image.rawload(
                f"/dev/fd/{raw.fileno()}",
                *(*size, channels),
                format={np.uint8: "uchar", np.uint16: "ushort"}[dtype.type],
                access="sequential",
                revalidate=True,  # libvips would recall what it read under this number before
            )
            _encode(image, file, kind, like)
    except (OSError, pyvips.Error) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "detail", None) or str(error)
        raise OSError(
            f"{path} cannot be written: {' '.join(reason.split())}; no part of it is left behind"
        ) from error


def to_bits(samples: NDArray[Any], bits: int) -> NDArray[Any]:
    """Samples uint8 or uint16 in 8 bits, to which 16 are rounded, or as they are."""
    if samples.dtype == np.uint16 and bits == 8:
        return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return samples


def _encode(image: Any, file: BinaryIO, kind: Format, like: Picture) -> None:
    gray, color = ("b-w", "srgb") if image.format == "uchar" else ("grey16", "rgb16")
    xres, yres = (min(max(value, 0.0), _FINEST) for value in like.resolution)
    image = image.copy(interpretation=gray if image.bands < 3 else color, xres=xres, yres=yres)
    kept = pyvips.enums.ForeignKeep.ICC
    if like.icc_profile:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", like.icc_profile)
    if like.exif and kind is not TIFF:
        kept |= pyvips.enums.ForeignKeep.EXIF
        image.set_type(pyvips.GValue.blob_type, "exif-data", like.exif)
    options = dict(kind.options)
    if kind is TIFF:
        bytes_each = 1 if image.format == "uchar" else 2
        raw_bytes = image.width * image.height * image.bands * bytes_each
        options["bigtiff"] = raw_bytes > _LARGEST_TIFF
    save = getattr(image, f"{kind.name.lower()}save_target")
    save(pyvips.Target.new_to_descriptor(file.fileno()), keep=kept, **options)
    if like.exif and kind is TIFF:
        append_exif(file, like.exif, image.width, image.height)
    if like.text and kind is PNG:
        file.seek(-_END_OF_PNG, 2)
        end = file.read()
        file.seek(-_END_OF_PNG, 2)
        file.write(like.text + end)
