"""Files of pictures, changed: each is read and written, or refused in words."""

import io
import struct
import warnings
import zlib

import numpy as np
import PIL.Image
import tifffile
from hypothesis import strategies as st

from kgt import Picture
from kgt.pictures.picture import read_size
from tests.fuzzing.mutation import ODD_INTEGERS, changed_bytes, kept

SUFFIX = ""
_SUFFIXES = (".png", ".jpg", ".webp", ".tif")


def _pillow(kind, mode="RGB", size=(9, 7), **options):
    samples = np.random.default_rng(0).integers(0, 256, (*size[::-1], 4), np.uint8)
    image = PIL.Image.fromarray(samples).convert(mode)
    exif = PIL.Image.Exif()
    exif[0x112], exif[0x10F], exif[0x9286] = 6, "Camera", b"ASCII\0\0\0text"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    exif.get_ifd(0x8825)[6] = 1.5
    stream = io.BytesIO()
    image.save(stream, kind, exif=exif, **options)
    return stream.getvalue()


def _tiff(dtype=np.uint8, channels=3, **options):
    shape = (32, 33, channels) if channels > 1 else (32, 33)
    samples = np.random.default_rng(0).integers(0, 255, shape).astype(dtype)
    stream = io.BytesIO()
    tifffile.imwrite(stream, samples, metadata=None, **options)
    return stream.getvalue()


SEEDS = [
    *(_pillow("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")),
    *(_pillow("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
    _pillow("JPEG", progressive=True),
    *(_pillow("WebP", mode) for mode in ("RGB", "RGBA")),
    _pillow("WebP", lossless=True),
    *(_pillow(kind, mode) for kind in ("TIFF", "GIF") for mode in ("L", "P", "RGB")),
    _pillow("AVIF", size=(64, 48)),
    *(_pillow("BMP", mode) for mode in ("1", "L", "P", "RGB")),
    *(_tiff(dtype, channels) for dtype in (np.uint8, np.uint16) for channels in (1, 3, 4)),
    _tiff(tile=(16, 16), compression="zlib"),
    _tiff(np.uint16, bigtiff=True, byteorder=">"),
    _tiff(np.float32, 1),
    *kept("pictures"),
]


@st.composite
def _whole_png(draw):
    """A PNG file of right checksums, whose chunks are changed, doubled or lost."""
    data = draw(st.sampled_from([seed for seed in SEEDS if seed.startswith(b"\x89PNG")]))
    chunks, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">L", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    extra = st.tuples(
        st.sampled_from([b"tEXt", b"iTXt", b"zTXt", b"eXIf", b"pHYs", b"tRNS", b"iCCP", b"PLTE"]),
        st.binary(max_size=40),
    )
    chunks[1:1] = draw(st.lists(extra, max_size=3))
    i = draw(st.integers(0, max(0, len(chunks) - 1)))
    if chunks:
        chunks[i] = chunks[i][0], draw(changed_bytes([chunks[i][1]], 2))
    parts = [(content, name + content) for name, content in chunks]
    return data[:8] + b"".join(
        struct.pack(">L", len(content)) + part + struct.pack(">L", zlib.crc32(part))
        for content, part in parts
    )


@st.composite
def _odd_entry(draw):
    """A TIFF file, one entry of whose first directory is odd."""
    data = bytearray(draw(st.sampled_from([s for s in SEEDS if s[:4] == b"II*\0" and len(s) > 99])))
    (place,) = struct.unpack_from("<L", data, 4)
    if place + 2 > len(data):
        return bytes(data)
    (count,) = struct.unpack_from("<H", data, place)
    for _ in range(draw(st.integers(1, 3))):
        at = place + 2 + 12 * draw(st.integers(0, max(0, count - 1)))
        form, field = draw(st.sampled_from([("<H", 0), ("<H", 2), ("<L", 4), ("<L", 8)]))
        value = draw(st.sampled_from(ODD_INTEGERS) | st.integers(0, 400)) & (
            0xFFFF if form == "<H" else 0xFFFFFFFF
        )
        if at + 12 <= len(data):
            struct.pack_into(form, data, at + field, value)
    return bytes(data)


INPUTS = changed_bytes(SEEDS) | changed_bytes(SEEDS) | _whole_png() | _odd_entry()


def attempt(data, folder):
    source = folder / "picture"
    source.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture = Picture.read(source)
        assert read_size(source) == picture.size
        picture.to_pil()
        # What was read is written, unless the format has no room for it.
        suffix = _SUFFIXES[zlib.crc32(data) % len(_SUFFIXES)]
        picture.save(folder / f"out{suffix}")
        assert Picture.read(folder / f"out{suffix}").size == picture.size
