"""Files decoded by libvips, strictly: what is damaged or cut short is refused."""

from __future__ import annotations

import logging
import mmap
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pyvips
from numpy.typing import NDArray

from kgt.pictures.exif import keep_exif
from kgt.pictures.formats import READ, SIGNATURES

MAX_PIXELS = 180_000_000
# Pixels per mm of a file that has none: 72 per inch, as in Exif.
RESOLUTION = (72 / 25.4, 72 / 25.4)
_KINDS = {("uchar", "b-w"), ("uchar", "srgb"), ("ushort", "grey16"), ("ushort", "rgb16")}
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
# May hold sizes and turns that are no longer true: XMP, and Exif as ImageMagick writes it.
_STALE_TEXT = (b"XML:com.adobe.xmp", b"Raw profile type")

# pyvips logs what libvips warns of; unless someone listens, Python would print it.
logging.getLogger("pyvips").addHandler(logging.NullHandler())


class Decoded(NamedTuple):
    """The picture of a file, upright: samples [h, w, 1 to 4], and what `Picture` has besides."""

    samples: NDArray[Any]
    icc_profile: bytes = b""
    exif: bytes = b""
    text: bytes = b""
    resolution: tuple[float, float] = RESOLUTION


@contextmanager
def open_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file; an error of libvips in the block is raised as one OSError of one line."""
    try:
        with path.open("rb") as file:
            yield file
    except (pyvips.Error, UnicodeDecodeError) as error:
        said = getattr(error, "detail", "") or getattr(error, "message", "no reason is given")
        said = " ".join(dict.fromkeys(said.split("\n"))).strip()
        raise OSError(
            f"{path} is damaged or cut short, or its kind cannot be decoded: {said[:200]}"
        ) from error
    finally:
        # What is left there, perhaps of bytes that are no UTF-8, pyvips would read later.
        pyvips.vips_lib.vips_error_clear()


def find_decoder(file: BinaryIO, path: Path) -> str:
    """Name of the decoder of a file, by how the file begins.

    Raises:
        OSError: for a file of another kind.
    """
    begin = file.read(16)
    for name, signature in SIGNATURES.items():
        if signature.match(begin):
            return name
    raise OSError(f"{path} is no picture, or damaged; read are {READ}")


def open_image(file: BinaryIO, path: Path, decoder: str) -> Any:
    """The image of libvips in a file, of which only the header is read; not yet upright.

    Raises:
        pyvips.Error: it is damaged, or this libvips lacks the decoder.
        ValueError: it has too many pixels.
    """
    source = pyvips.Source.new_from_descriptor(file.fileno())
    load = getattr(pyvips.Image, f"{decoder}load_source")
    # Of JPEG a warning says that pixels are lost; of TIFF, that an entry is unusual.
    fail_on = "warning" if decoder == "jpeg" else "error"
    image = load(source, access="sequential", fail_on=fail_on)
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(
            f"{path}: {image.width}x{image.height} are {image.width * image.height:,} pixels, of "
            f"which {MAX_PIXELS:,} are read at most; cut it into parts"
        )
    found = _XMP_ORIENTATION.search(_get(image, "xmp-data", b""))
    if found and not image.get_typeof("orientation"):
        image = image.copy()
        image.set_type(pyvips.GValue.gint_type, "orientation", int(found[1]))
    return image


def decode(file: BinaryIO, path: Path, decoder: str) -> Decoded:
    """Decode a file. Palettes are expanded, and the picture is turned upright.

    Raises:
        pyvips.Error: it is damaged, or this libvips lacks the decoder.
        ValueError: it holds several pictures, too many pixels, or samples of another kind than
            gray or RGB of up to 8, or of 16 bits.
    """
    image = open_image(file, path, decoder)
    frames = _get(image, "n-pages", 1)
    text = b""
    if decoder == "png":
        frames, text = _read_png_chunks(file)
    if frames > 1:
        raise ValueError(f"{path} holds {frames} pictures; save the one that is meant")
    kind = image.format, image.interpretation
    if kind not in _KINDS or image.bands > 4:
        raise ValueError(
            f"{path}: gray or RGB of 8 or 16 bits expected, got {image.bands} channels of "
            f"{image.format}, {image.interpretation}; convert it to gray or RGB"
        )
    # Turns need rows in another order than they are decoded in.
    turned = _get(image, "orientation", 1) > 1
    samples = (image.copy_memory().autorot() if turned else image).numpy()
    bits = _get(image, "bits-per-sample", 16)
    if decoder == "heif" and 8 < bits < 16:
        samples = samples | samples >> bits  # else the brightest of 10 bits were not white
    return Decoded(
        samples.reshape(*samples.shape[:2], -1),
        _get(image, "icc-profile-data", b""),
        _read_exif(image, file, decoder),
        text,
        RESOLUTION if image.xres == image.yres == 1 else (image.xres, image.yres),
    )


def _get(image: Any, name: str, default: Any) -> Any:
    return image.get(name) if image.get_typeof(name) else default


def _read_exif(image: Any, file: BinaryIO, decoder: str) -> bytes:
    if decoder == "tiff":
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return keep_exif(content)
    exif = _get(image, "exif-data", b"").removeprefix(b"Exif\0\0")
    return keep_exif(exif) if exif else b""


def _read_png_chunks(file: BinaryIO) -> tuple[int, bytes]:
    """Number of frames, and the chunks of text as they are: libvips takes all text for ASCII."""
    frames, text = 1, b""
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">L4s", head)
        if name in (b"tEXt", b"zTXt", b"iTXt", b"acTL"):
            content = file.read(length + 4)
            if name == b"acTL":
                frames = int.from_bytes(content[:4], "big")
            elif not content.startswith(_STALE_TEXT):
                text += head + content
        else:
            file.seek(length + 4, 1)
    return frames, text
