"""Pictures: the pixels of a file, and its metadata."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kgt.pictures.exif import fit_exif, keep_exif
from kgt.pictures.formats import JPEG, Format, find_format
from kgt.pictures.read import RESOLUTION, decode, find_decoder, open_file, open_image
from kgt.pictures.write import to_bits, write_bands

if TYPE_CHECKING:
    import PIL.Image

# Bytes of a segment of JPEG, less what libvips adds of sizes and resolution.
_JPEG_EXIF = 65_000


@dataclass(frozen=True, eq=False)
class Picture:
    """The pixels of a picture, upright, and what else its file says.

    Attributes:
        pixels: uint8 or uint16 [h, w, C], C = 1 (gray) or 3 (RGB).
        alpha: [h, w] of the same dtype, or None where everything is opaque.
        icc_profile: the color profile of the pixels, or nothing.
        exif: metadata in the Exif format, or nothing.
        text: chunks of text of a PNG file as they lie in it, or nothing.
        resolution: pixels per mm, across and down.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None
    icc_profile: bytes = b""
    exif: bytes = b""
    text: bytes = b""
    resolution: tuple[float, float] = RESOLUTION

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Picture:
        """Read a PNG, JPEG, WebP, TIFF, GIF or AVIF file, and with Pillow a BMP file.

        Palettes are expanded, and the picture is turned as its orientation says. Samples of 16
        bits stay what they are.

        Raises:
            OSError: the file cannot be read, is no picture, is damaged or cut short.
            ValueError: it holds several pictures, too many pixels, or samples of another kind than
                gray or RGB of up to 8, or of 16 bits.
        """
        path = Path(path)
        with open_file(path) as file:
            decoder = find_decoder(file, path)
            if decoder == "bmp":
                return _read_bmp(path)
            return cls._join(*decode(file, path, decoder))

    @classmethod
    def from_pil(cls, image: PIL.Image.Image) -> Picture:
        """Take over an image of Pillow, as `read` does a file.

        Pillow has no 16-bit color: where the image is such a file it holds 8 bits, `read` all.

        Raises:
            ValueError: for samples of another kind than gray or RGB of up to 8, or gray of 16 bits.
        """
        import PIL.ImageOps

        samples = _take_samples(PIL.ImageOps.exif_transpose(image))
        # Pillow writes entries anew and changes types, so what came from a file is taken first.
        exif = image.info.get("exif") or image.getexif().tobytes()
        dpi = image.info.get("dpi")
        return cls._join(
            samples,
            image.info.get("icc_profile") or b"",
            keep_exif(exif.removeprefix(b"Exif\0\0")),
            _pack_text(getattr(image, "text", {})),
            (dpi[0] / 25.4, dpi[1] / 25.4) if dpi else RESOLUTION,
        )

    @classmethod
    def _join(cls, samples: NDArray[Any], *others: Any) -> Picture:
        """Samples [h, w, 1 to 4], the last of 2 and 4 is alpha; and the further attributes."""
        colors = samples.shape[-1] - 1 + samples.shape[-1] % 2
        alpha = samples[..., colors] if colors < samples.shape[-1] else None
        return cls(samples[..., :colors], alpha, *others)

    def with_samples(self, samples: NDArray[Any]) -> Picture:
        """A picture of other samples, with what else the file of this one says."""
        return self._join(samples, self.icc_profile, self.exif, self.text, self.resolution)

    @property
    def samples(self) -> NDArray[Any]:
        """[h, w, C] or, with alpha as the last channel, [h, w, C + 1]."""
        if self.alpha is None:
            return self.pixels
        return np.concatenate([self.pixels, self.alpha[..., None]], axis=-1)

    @property
    def channels(self) -> int:
        """Channels of `samples`."""
        return self.pixels.shape[-1] + (self.alpha is not None)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self.pixels.shape[:2]
        return width, height

    @property
    def is_opaque(self) -> bool:
        """Whether nothing shines through, alpha or not."""
        return self.alpha is None or bool(self.alpha.min() == np.iinfo(self.alpha.dtype).max)

    def to_pil(self) -> PIL.Image.Image:
        """The picture as an image of Pillow with 8 bits per sample, to which 16 are rounded."""
        import PIL.Image

        samples = to_bits(self.samples, 8)
        image = PIL.Image.fromarray(samples.squeeze(-1) if samples.shape[-1] == 1 else samples)
        if self.icc_profile:
            image.info["icc_profile"] = self.icc_profile
        if self.exif:
            image.info["exif"] = b"Exif\0\0" + fit_exif(self.exif, *self.size)
        return image

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a PNG, JPEG, WebP or TIFF file, by the suffix; one that is there is replaced.

        The file appears when it is complete. PNG and TIFF lose nothing. JPEG and WebP are of
        quality 95, and take 8 bits per sample, to which 16 are rounded. All keep the color profile
        and Exif; only PNG keeps text.

        Raises:
            ValueError: as `check_format`.
            OSError: the file cannot be written.
        """
        path = Path(path)
        self.check_format(path)
        write_bands(path, [self.samples], self.size, self)

    def check_format(self, path: Path, scale: int = 1) -> Format:
        """Find the format of a file, and refuse what it cannot hold.

        Args:
            path: the file, of which only the suffix matters.
            scale: sides of what will be saved over those of this picture.

        Raises:
            ValueError: for a suffix that is not written; for sides that are too long; and, in a
                JPEG, for transparency or more Exif than fits.
        """
        kind = find_format(path)
        longest = scale * max(self.size)
        if longest > kind.longest:
            raise ValueError(
                f"{path}: a side of {longest:,} pixels; {kind.name} has up to {kind.longest:,}, "
                "PNG and TIFF have more"
            )
        if kind is JPEG and not self.is_opaque:
            raise ValueError(f"{path}: JPEG has no transparency; write PNG, WebP or TIFF")
        if kind is JPEG and len(self.exif) > _JPEG_EXIF:
            raise ValueError(
                f"{path}: {len(self.exif):,} bytes of Exif; JPEG has up to {_JPEG_EXIF:,}, "
                "write PNG, WebP or TIFF"
            )
        return kind


def read_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of the picture that `Picture.read` reads, from the header of its file.

    Raises:
        OSError: the file cannot be read, or is no picture.
        ValueError: it has too many pixels.
    """
    path = Path(path)
    with open_file(path) as file:
        decoder = find_decoder(file, path)
        if decoder == "bmp":
            return _read_bmp(path).size
        upright = open_image(file, path, decoder).autorot()
        return upright.width, upright.height


def _read_bmp(path: Path) -> Picture:
    """Read a BMP file by Pillow, as libvips comes without a decoder."""
    try:
        import PIL.Image
    except ImportError as error:
        raise OSError(f"{path}: BMP is read where Pillow is installed; save it as PNG") from error
    try:
        with PIL.Image.open(path, formats=["BMP"]) as image:
            image.load()
            return Picture.from_pil(image)
    except PIL.Image.DecompressionBombError as error:
        raise ValueError(f"{path}: {error}; cut it into parts") from error
    except (OSError, SyntaxError) as error:
        raise OSError(f"{path} is damaged or cut short: {error}") from error


def _take_samples(image: PIL.Image.Image) -> NDArray[Any]:
    """Samples [h, w, 1 to 4] of an image of Pillow, with the last of 2 and 4 as alpha."""
    if image.mode.startswith("I;16"):
        deep = np.array(image, np.uint16)[..., None]
        key = image.info.get("transparency")
        if key is None:
            return deep
        return np.concatenate([deep, (deep != key).astype(np.uint16) * 65535], axis=-1)
    is_gray = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:
        image = image.convert("LA" if is_gray else "RGBA")
    elif image.mode in ("1", "P"):
        image = image.convert("L" if is_gray else "RGB")
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise ValueError(f"a picture of mode {image.mode}; convert it to gray or RGB")
    return np.array(image).reshape(image.height, image.width, -1)


def _pack_text(text: Mapping[str, str]) -> bytes:
    """Text of a PNG file as the chunks that hold it."""
    if not text:
        return b""
    from PIL.PngImagePlugin import PngInfo, putchunk

    info, stream = PngInfo(), io.BytesIO()
    for keyword, value in text.items():
        info.add_itxt(keyword, value)
    for name, content, *_ in info.chunks:
        putchunk(stream, name, content)
    return stream.getvalue()
