"""Pictures: the pixels of a file, and what else it says of them."""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from PIL.ExifTags import IFD, Base
from PIL.PngImagePlugin import PngInfo

from kgt.pictures.exif import load_exif, read_exif
from kgt.pictures.png import PngWriter
from kgt.pictures.tiff import reset_orientation, write_tiff

# Formats that are written, by suffix.
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
# Formats whose samples Pillow never halves without a word, or where we can tell.
_READ = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
READ_SUFFIXES = (*FORMATS, ".bmp", ".gif")
_QUALITY = 95
_LONGEST = {"JPEG": 65_500, "WEBP": 16_383}  # pixels of a side
# Where OpenCV puts the channels of each kind of file; gray with alpha it expands to BGRA.
_OPENCV_CHANNELS = {"RGB": [2, 1, 0], "RGBA": [2, 1, 0, 3], "LA": [0, 3]}


@dataclass(frozen=True, eq=False)
class Picture:
    """The pixels of a picture, upright, and what else its file says.

    Attributes:
        pixels: uint8 or uint16 [h, w, C], C = 1 (gray) or 3 (RGB).
        alpha: [h, w] of the same dtype, or None where everything is opaque.
        icc_profile: the color profile of the pixels, or nothing.
        exif: metadata in the Exif format, or nothing.
        text: what a PNG file has of text, by keyword.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None
    icc_profile: bytes = b""
    exif: bytes = b""
    text: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Picture:
        """Read a PNG, JPEG, WebP, TIFF, BMP or GIF file.

        Palettes are expanded, and the picture is turned as its Exif orientation says. Samples of
        16 bits stay what they are.

        Raises:
            OSError: the file cannot be read or decoded.
            ValueError: it holds several pictures, or samples of another kind than gray or RGB of
                up to 8, or of 16 bits; or more pixels than Pillow opens.
        """
        path = Path(path)
        PIL.Image.init()  # else formats are not known before they are first met
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
                with PIL.Image.open(path, formats=_READ) as file:
                    return cls._read_open(file, path)
        except PIL.UnidentifiedImageError as error:
            raise OSError(f"{path} is no picture, or damaged; read are {', '.join(_READ)}") from (
                error
            )
        except PIL.Image.DecompressionBombError as error:
            raise ValueError(f"{path}: {error}; cut it into parts") from error
        except SyntaxError as error:
            raise OSError(f"{path} cannot be decoded: {error}") from error

    @classmethod
    def _read_open(cls, file: PIL.Image.Image, path: Path) -> Picture:
        frames = getattr(file, "n_frames", 1)
        # An MPO is a JPEG file whose further pictures are previews.
        if frames > 1 and file.format != "MPO":
            raise ValueError(f"{path} holds {frames} pictures; save the one that is meant")
        _check_deep_gray(file)
        lost = _find_lost_channels(file)
        file.load()  # decoded by Pillow in any case, which refuses files that are cut short
        if lost:
            return cls._join(_apply_color_key(_read_deep_samples(path, lost), file), file)
        return cls.from_pil(file)

    @classmethod
    def from_pil(cls, image: PIL.Image.Image) -> Picture:
        """Take over an image of Pillow, as `read` does a file.

        Pillow has no 16-bit color: where the image is such a file it holds 8 bits, `read` all.

        Raises:
            ValueError: for samples of another kind than gray or RGB of up to 8, or gray of 16 bits.
        """
        return cls._join(_take_samples(image), image)

    @classmethod
    def _join(cls, samples: NDArray[Any], image: PIL.Image.Image) -> Picture:
        """Samples [h, w, 1 to 4] as the image has them, and its metadata."""
        orientation, exif = read_exif(image)
        samples = np.ascontiguousarray(turn_upright(samples, orientation))
        colors = samples.shape[-1] - 1 + samples.shape[-1] % 2
        # XMP is left out, for it may tell of sizes and turns that are no longer true.
        text = {
            key: str(value)
            for key, value in getattr(image, "text", {}).items()
            if not key.startswith(("XML:com.adobe.xmp", "Raw profile type"))
        }
        return cls(
            samples[..., :colors],
            samples[..., colors] if colors < samples.shape[-1] else None,
            image.info.get("icc_profile") or b"",
            exif,
            text,
        )

    @property
    def samples(self) -> NDArray[Any]:
        """[h, w, C] or, with alpha as the last channel, [h, w, C + 1]."""
        if self.alpha is None:
            return self.pixels
        return np.concatenate([self.pixels, self.alpha[..., None]], axis=-1)

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
        samples = self.samples
        if samples.dtype == np.uint16:
            samples = ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
        image = PIL.Image.fromarray(samples.squeeze(-1) if samples.shape[-1] == 1 else samples)
        image.info.update(self._describe())
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
        kind = self.check_format(path)
        if kind == "PNG" and self.pixels.dtype == np.uint16:
            self._write_deep_png(path)
            return
        with _replace_when_complete(path) as unfinished:
            if kind == "TIFF":
                self._write_tiff(unfinished)
            else:
                self._write_by_pillow(unfinished, kind)

    def check_format(self, path: Path, scale: int = 1) -> str:
        """Name the format of a file, and refuse what it cannot hold.

        Args:
            path: the file, of which only the suffix matters.
            scale: sides of what will be saved over those of this picture.

        Raises:
            ValueError: for a suffix that is not written, for transparency in a JPEG, or for sides
                that are too long.
        """
        kind = find_format(path)
        longest = scale * max(self.size)
        if longest > _LONGEST.get(kind, longest):
            raise ValueError(
                f"{path}: a side of {longest:,} pixels; {kind} has up to {_LONGEST[kind]:,}, "
                "PNG and TIFF have more"
            )
        if kind == "JPEG" and not self.is_opaque:
            raise ValueError(f"{path}: JPEG has no transparency; write PNG, WebP or TIFF")
        return kind

    def _write_deep_png(self, path: Path) -> None:
        chunks = []
        if self.icc_profile:
            chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(self.icc_profile)))
        if self.exif:
            chunks.append((b"eXIf", self._describe()["exif"].removeprefix(b"Exif\0\0")))
        for keyword, text in self.text.items():
            # Neither compressed nor translated, and in no named language.
            chunks.append((b"iTXt", keyword.encode("latin-1") + bytes(5) + text.encode()))
        samples = self.samples
        height, width, channels = samples.shape
        with PngWriter(path, height, width, channels, 16, chunks) as file:
            file.write(torch.from_numpy(np.require(samples, requirements=["C", "W"])))

    def _write_tiff(self, path: Path) -> None:
        tags: dict[int, Any] = {}
        if self.exif:
            exif = load_exif(self.exif, *self.size)
            folders = (IFD.Exif, IFD.GPSInfo)
            tags = {tag: exif.get_ifd(tag) if tag in folders else exif[tag] for tag in exif}
        with path.open("wb") as file:
            write_tiff(file, self.samples, self.icc_profile, tags)

    def _write_by_pillow(self, path: Path, kind: str) -> None:
        picture = replace(self, alpha=None) if kind == "JPEG" else self
        text = PngInfo()
        for keyword, value in self.text.items():
            text.add_itxt(keyword, value)
        # Each format takes what it knows of these: JPEG alone the subsampling, here of nothing.
        picture.to_pil().save(
            path, kind, quality=_QUALITY, subsampling=0, pnginfo=text, **self._describe()
        )

    def _describe(self) -> dict[str, bytes]:
        """The color profile and Exif, as far as there are any, under Pillow's names."""
        described = {}
        if self.icc_profile:
            described["icc_profile"] = self.icc_profile
        if self.exif:
            described["exif"] = load_exif(self.exif, *self.size).tobytes()
        return described


def find_format(path: Path) -> str:
    """Name of the format that a suffix stands for.

    Raises:
        ValueError: for a suffix that is not written, listing those that are.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(
            f"{path}: no format has the suffix {suffix!r}; written are {', '.join(FORMATS)}"
        )
    return FORMATS[suffix]


def turn_upright(samples: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn an image [h, w, C] as its Exif orientation from 1 to 8 says; the result is a view."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    return samples[:, ::-1] if orientation in (2, 3, 6, 7) else samples


def _check_deep_gray(file: Any) -> None:
    """Refuse gray TIFF files whose samples Pillow takes for 16 bits from black to white."""
    if file.format != "TIFF" or not file.mode.startswith("I;16"):
        return
    bits, white_is_zero = file.tag_v2[Base.BitsPerSample], 0
    if bits != (16,) or file.tag_v2[Base.PhotometricInterpretation] == white_is_zero:
        raise ValueError(
            "gray of more than 8 bits that are not 16, or of which 0 is white; convert it to 8 or "
            "16 bits of which 0 is black"
        )


def _find_lost_channels(file: Any) -> str:
    """Channels of 16 bits of which Pillow keeps 8: "RGB", "RGBA", "LA", or "" for none.

    Args:
        file: an image of Pillow, opened but not decoded.
    """
    if file.mode not in ("RGB", "RGBA"):
        return ""
    if file.format == "TIFF":
        bits = file.tag_v2.get(Base.BitsPerSample, (8,))
        return file.mode if max(bits) > 8 else ""
    # The raw mode of PNG files is e.g. "RGB;16B".
    raw = str(file.tile[0][3]) if file.format == "PNG" else ""
    return raw.partition(";")[0] if ";16" in raw else ""


def _read_deep_samples(path: Path, channels: str) -> NDArray[Any]:
    """Samples uint16 [h, w, 2 to 4] of a file, turned as far as Pillow turns what it decodes."""
    import cv2

    content = bytearray(path.read_bytes())
    # Pillow turns TIFF files alone; OpenCV would turn some and refuse the others.
    orientation = reset_orientation(content) if content[:2] in (b"II", b"MM") else 1
    samples = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    order = _OPENCV_CHANNELS[channels]
    if samples is None or samples.dtype != np.uint16 or samples.shape[-1] <= max(order):
        raise ValueError(f"{path}: its 16-bit samples cannot be decoded; save it as a PNG file")
    return turn_upright(samples[..., order], orientation)


def _apply_color_key(samples: NDArray[Any], image: PIL.Image.Image) -> NDArray[Any]:
    """Samples uint16 [h, w, C] with alpha, where a PNG file says which color is transparent."""
    key = image.info.get("transparency")
    if key is None:
        return samples
    is_opaque = (samples != key).any(axis=-1, keepdims=True)
    return np.concatenate([samples, is_opaque.astype(np.uint16) * 65535], axis=-1)


def _take_samples(image: PIL.Image.Image) -> NDArray[Any]:
    """Samples [h, w, 1 to 4] of an image, with the last of 2 and 4 as alpha."""
    if image.mode.startswith("I;16"):
        return _apply_color_key(np.array(image, np.uint16)[..., None], image)
    is_gray = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:
        image = image.convert("LA" if is_gray else "RGBA")
    elif image.mode in ("1", "P"):
        image = image.convert("L" if is_gray else "RGB")
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise ValueError(f"a picture of mode {image.mode}; convert it to gray or RGB")
    return np.array(image).reshape(image.height, image.width, -1)


@contextmanager
def _replace_when_complete(path: Path) -> Iterator[Path]:
    """Where to write what becomes `path` in one step, unless an exception is raised."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
