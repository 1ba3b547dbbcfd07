"""PNG files written row by row, as no library that this package depends on writes them.

The format is that of Portable Network Graphics (PNG) Specification (Third Edition), W3C, 2025:
chunks in section 5, filters in section 9, the zlib stream in section 10.
"""

from __future__ import annotations

import os
import struct
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Literal

import torch
from torch import Tensor

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels: gray, gray and alpha, RGB, RGBA
_DTYPES = {8: (torch.uint8,), 16: (torch.uint16, torch.int32)}
_LARGEST = 2**31 - 1
_SUB, _UP, _PAETH = 1, 2, 4
# Bytes of rows that are filtered at a time; filters need some copies of them.
_BLOCK = 2**17


class PngWriter:
    """Writes one image from top to bottom, as its rows are known.

    Use it in a with statement. The file gets its name when the image is complete; before, and
    after an exception, there is none under that name, and an older one stays what it was.

    Args:
        path: where the file goes.
        height, width: pixels of the whole image.
        channels: 1 for gray, 3 for RGB, and one more where the last is alpha.
        bits: of a sample.
        chunks: names and contents of what else the file says; they go before the pixels.

    Raises:
        ValueError: for a size, or numbers of channels or bits, that are not written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        height: int,
        width: int,
        channels: int = 3,
        bits: Literal[8, 16] = 8,
        chunks: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        if not (1 <= height <= _LARGEST and 1 <= width <= _LARGEST):
            raise ValueError(f"{height}x{width} pixels: a PNG has 1 to {_LARGEST:,} on a side")
        if channels not in _COLOR_TYPES:
            raise ValueError(f"{channels} channels: 1 (gray) to 4 (RGBA) are written")
        if bits not in _DTYPES:
            raise ValueError(f"{bits} bits: 8 and 16 are written")
        self.path = Path(path)
        self.height, self.width, self.channels, self.bits = height, width, channels, bits
        self.chunks = tuple(chunks)
        self.rows_written = 0
        self._unfinished = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self._zlib = zlib.compressobj()
        # Filtered bytes refer to the pixel to the left and the row above, zeros at the border.
        self._pixel = channels * bits // 8
        self._above = torch.zeros(1, self._pixel * (1 + width), dtype=torch.int16)

    def __enter__(self) -> PngWriter:
        """Begin the file; raises OSError where it cannot be created."""
        self._file = self._unfinished.open("xb")
        header = (self.width, self.height, self.bits, _COLOR_TYPES[self.channels], 0, 0, 0)
        try:
            self._file.write(_SIGNATURE)
            self._write_chunk(b"IHDR", struct.pack(">IIBBBBB", *header))
            for name, content in self.chunks:
                self._write_chunk(name, content)
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the file, or remove what there is of it.

        Raises:
            ValueError: if rows are missing.
            OSError: where the file cannot be written.
        """
        try:
            with self._file:
                if kind is None:
                    self._finish()
            if kind is None:
                self._unfinished.replace(self.path)
        finally:
            self._unfinished.unlink(missing_ok=True)

    def write(self, rows: Tensor) -> None:
        """Append rows.

        Args:
            rows: [h, width, channels], h >= 0, on the CPU: uint8 for 8 bits; for 16 bits uint16,
                or int32 from 0 to 65535.

        Raises:
            ValueError: for another shape, dtype or value, or for more rows than the image has.
            OSError: where the file cannot be written.
        """
        if rows.ndim != 3 or rows.shape[1:] != (self.width, self.channels):
            raise ValueError(
                f"rows of shape {list(rows.shape)}: this image takes "
                f"[h, {self.width}, {self.channels}]"
            )
        if rows.dtype not in _DTYPES[self.bits]:
            names = " or ".join(str(dtype) for dtype in _DTYPES[self.bits])
            raise ValueError(f"rows of {rows.dtype}: {self.bits} bits take {names}")
        if self.rows_written + len(rows) > self.height:
            raise ValueError(
                f"{len(rows)} rows after {self.rows_written}: this image has {self.height}"
            )
        for block in rows.split(max(1, _BLOCK // self._above.shape[1])):
            filtered = self._filter(_to_bytes(block))
            self._write_data(self._zlib.compress(filtered.numpy().data))
        self.rows_written += len(rows)

    def _filter(self, rows: Tensor) -> Tensor:
        """Filter rows of bytes, each with the type whose sum of magnitudes is least.

        That is what section 12.7 recommends for truecolor and grayscale.
        """
        rows = torch.nn.functional.pad(rows, (self._pixel, 0))
        known = torch.cat([self._above, rows])
        above, self._above = known[:-1], known[-1:].clone()
        x, b = rows[:, self._pixel :], above[:, self._pixel :]
        a, c = rows[:, : -self._pixel], above[:, : -self._pixel]
        filtered = {_SUB: x - a, _UP: x - b, _PAETH: x - _predict_paeth(a, b, c)}
        # As signed bytes, of which 255 is as small as 1.
        candidates = torch.stack([f.to(torch.int8) for f in filtered.values()], dim=1)
        best = candidates.to(torch.int16).abs().sum(dim=2).argmin(dim=1)
        types = torch.tensor([*filtered], dtype=torch.int8)[best]
        chosen = candidates[torch.arange(len(rows)), best]
        return torch.cat([types[:, None], chosen], dim=1)

    def _finish(self) -> None:
        if self.rows_written < self.height:
            raise ValueError(f"{self.path}: {self.rows_written} rows of {self.height} were written")
        self._write_data(self._zlib.flush())
        self._write_chunk(b"IEND", b"")

    def _write_data(self, compressed: bytes) -> None:
        if compressed:
            self._write_chunk(b"IDAT", compressed)

    def _write_chunk(self, name: bytes, data: bytes) -> None:
        checksum = zlib.crc32(data, zlib.crc32(name))
        self._file.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum))


def _to_bytes(rows: Tensor) -> Tensor:
    """Rows [h, w, c] as int16 [h, bytes] in [0, 255]; the higher byte of 16 bits goes first."""
    if rows.dtype == torch.uint8:
        return rows.flatten(1).to(torch.int16)
    samples = rows.to(torch.int32)
    if len(rows) and not 0 <= samples.min() <= samples.max() < 2**16:
        raise ValueError(
            f"samples from {samples.min()} to {samples.max()}: 16 bits take 0 to {2**16 - 1:,}"
        )
    return torch.stack([samples >> 8, samples & 255], dim=-1).flatten(1).to(torch.int16)


def _predict_paeth(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Of left, above and upper left, the nearest to a + b - c, in this order where equal."""
    to_a, to_b, to_c = (b - c).abs(), (a - c).abs(), (a + b - 2 * c).abs()
    return torch.where((to_a <= to_b) & (to_a <= to_c), a, torch.where(to_b <= to_c, b, c))
