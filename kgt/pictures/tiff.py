"""TIFF files of 8 and 16 bits, gray and RGB, with or without alpha; Pillow has no 16-bit color.

The format is that of TIFF Revision 6.0 (Adobe, 1992) with the compression "Adobe Deflate".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from itertools import accumulate
from typing import IO, Any

from numpy.typing import NDArray
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from PIL.TiffTags import LONG

_DEFLATE, _HORIZONTAL_DIFFERENCES = 8, 2
_GRAY, _RGB = 1, 2
_CHUNKY, _UNASSOCIATED_ALPHA = 1, 2
# Bytes of a strip before compression.
_STRIP = 2**18


def write_tiff(
    file: IO[bytes],
    samples: NDArray[Any],
    icc_profile: bytes = b"",
    tags: Mapping[int, Any] | None = None,
) -> None:
    """Write one picture.

    Args:
        file: an empty file.
        samples: uint8 or uint16 [h, w, C]; C = 1 (gray), 3 (RGB), or one more with alpha.
        icc_profile: the color profile, or nothing.
        tags: further entries of the file's directory; a mapping becomes a directory of its own.
    """
    height, width, channels = samples.shape
    little_endian = samples.astype(samples.dtype.newbyteorder("<"), copy=False)
    rows = max(1, _STRIP // (width * channels * samples.itemsize))
    strips = [_compress(little_endian[top : top + rows]) for top in range(0, height, rows)]
    sizes = [len(strip) for strip in strips]
    directory = ImageFileDirectory_v2()
    entries: dict[int, Any] = {
        **(tags or {}),
        Base.ImageWidth: width,
        Base.ImageLength: height,
        Base.BitsPerSample: (8 * samples.itemsize,) * channels,
        Base.Compression: _DEFLATE,
        Base.Predictor: _HORIZONTAL_DIFFERENCES,
        Base.PhotometricInterpretation: _GRAY if channels < 3 else _RGB,
        Base.SamplesPerPixel: channels,
        Base.PlanarConfiguration: _CHUNKY,
        Base.RowsPerStrip: rows,
    }
    if channels in (2, 4):
        entries[Base.ExtraSamples] = _UNASSOCIATED_ALPHA
    if icc_profile:
        entries[Base.InterColorProfile] = icc_profile
    for tag, value in entries.items():
        directory[tag] = value
    # Counted from the end of the directory, where Pillow knows that the pixels begin.
    offsets = [0, *accumulate(sizes)][:-1]
    for tag, values in ((Base.StripOffsets, offsets), (Base.StripByteCounts, sizes)):
        directory.tagtype[tag] = LONG
        directory[tag] = tuple(values)
    directory.save(file)
    file.writelines(strips)


def reset_orientation(content: bytearray) -> int:
    """Let the content of a TIFF file say that the picture stands upright.

    Returns:
        The orientation that it told before, from 1 to 8; 1 where it told none.
    """
    order = "<" if content[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(f"{order}L", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, directory)
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        if struct.unpack_from(f"{order}H", content, entry)[0] == Base.Orientation:
            (orientation,) = struct.unpack_from(f"{order}H", content, entry + 8)
            struct.pack_into(f"{order}H", content, entry + 8, 1)
            return orientation if orientation in range(1, 9) else 1
    return 1


def _compress(rows: NDArray[Any]) -> bytes:
    """Rows [h, w, C] as differences of neighbors, compressed."""
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]
    return zlib.compress(differences.tobytes())
