"""Exif: directories of entries, which are copied as they are, so that no value changes its type.

The layout is that of TIFF Revision 6.0 (Adobe, 1992), which Exif shares, and of BigTIFF. libvips
does the rest, but leaves sizes of a first directory as they were, and in TIFF files knows no Exif.
"""

from __future__ import annotations

import mmap
import struct
import warnings
from typing import BinaryIO, NamedTuple

import numpy as np

# Entries by tag: their kind and the bytes of their values.
Directory = dict[int, tuple[int, bytes]]

# Directories by the tag that points to them; the first one is FIRST.
FIRST, DETAILS, PLACE = 0, 0x8769, 0x8825
_WIDTH, _HEIGHT = 0xA002, 0xA003
_LONG, _LONG8 = 4, 16
# What describes the picture, and not how its file is laid out.
_KEPT = frozenset(
    {
        *(0x010E, 0x010F, 0x0110, 0x0131, 0x0132),  # description, make, model, software, date
        *(0x013B, 0x013C, 0x8298, 0x4746, 0x4749),  # artist, computer, copyright, two ratings
        *(0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F),  # title, comment, author, keywords, subject
    }
)
# An offset into the file that the metadata came from.
_INTEROPERABILITY = 0xA005
# Bytes of a number, and numbers of a value, by kind.
_KINDS = {
    **dict.fromkeys((1, 2, 6, 7), (1, 1)),
    **dict.fromkeys((3, 8), (2, 1)),
    **dict.fromkeys((_LONG, 9, 11, 13), (4, 1)),
    **dict.fromkeys((5, 10), (4, 2)),
    **dict.fromkeys((12, _LONG8), (8, 1)),
}


class _Layout(NamedTuple):
    """How directories are laid out: "<" or ">" as byte order, with the wide fields of BigTIFF?"""

    order: str
    wide: bool = False

    @property
    def number(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.wide else "H"))

    @property
    def entry(self) -> struct.Struct:
        return struct.Struct(self.order + ("HHQ8s" if self.wide else "HHL4s"))

    @property
    def offset(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.wide else "L"))


def read_directory(data: bytes | mmap.mmap) -> tuple[_Layout, Directory]:
    """Layout and first directory of a TIFF file or of Exif; entries that are damaged are left out.

    Raises:
        ValueError: if they are none.
    """
    try:
        layout = _Layout({b"II": "<", b"MM": ">"}[data[:2]], data[2:4] in (b"+\0", b"\0+"))
        (place,) = layout.offset.unpack_from(data, 8 if layout.wide else 4)
        return layout, _read_entries(data, layout, place)
    except (KeyError, struct.error) as error:
        raise ValueError("there is no directory") from error


def _read_entries(data: bytes | mmap.mmap, layout: _Layout, place: int) -> Directory:
    (count,) = layout.number.unpack_from(data, place)
    begin = place + layout.number.size
    table = data[begin : begin + count * layout.entry.size]
    whole = len(table) // layout.entry.size * layout.entry.size
    directory = {}
    for tag, kind, number, field in layout.entry.iter_unpack(table[:whole]):
        length = number * int(np.prod(_KINDS.get(kind, (0, 0))))
        if length > len(field):
            (at,) = layout.offset.unpack(field)
            field = data[at : at + length]
        if 0 < length <= len(field):
            directory[tag] = (kind, field[:length])
    return directory


def keep_exif(data: bytes | mmap.mmap) -> bytes:
    """Camera, exposure, place and author, from a TIFF file or from Exif of another one.

    Damaged entries are left out; where nothing can be read, with a warning.

    Returns:
        Exif in the byte order that it had, without orientation and thumbnail; or nothing.
    """
    try:
        layout, first = read_directory(data)
    except ValueError as error:
        warnings.warn(f"the Exif metadata is damaged and left out: {error}", stacklevel=2)
        return b""
    directories = {FIRST: {tag: entry for tag, entry in first.items() if tag in _KEPT}}
    for pointer in {DETAILS, PLACE} & set(first):
        value = first[pointer][1]
        if len(value) in (4, 8):
            place = int.from_bytes(value, "little" if layout.order == "<" else "big")
            try:
                found = _read_entries(data, layout, place)
            except struct.error:  # it lies beyond the end
                continue
            found.pop(_INTEROPERABILITY, None)
            directories[pointer] = {t: entry for t, entry in found.items() if entry[0] != _LONG8}
    return _encode(directories, layout.order) if any(directories.values()) else b""


def _encode(directories: dict[int, Directory], order: str) -> bytes:
    layout = _Layout(order)
    content, place = _lay_out(directories, layout, 8)
    start = b"II*\0" if order == "<" else b"MM\0*"
    return start + layout.offset.pack(place) + content


def _lay_out(directories: dict[int, Directory], layout: _Layout, begin: int) -> tuple[bytes, int]:
    """Directories as they lie from a place in a file on, and where the first one of them lies."""
    first = dict(directories[FIRST])
    content = b""
    for pointer in sorted(set(directories) - {FIRST}):
        kind = _LONG8 if layout.wide else _LONG
        first[pointer] = (kind, layout.offset.pack(begin + len(content)))
        content += _lay_out_one(directories[pointer], layout, begin + len(content))
    return content + _lay_out_one(first, layout, begin + len(content)), begin + len(content)


def _lay_out_one(directory: Directory, layout: _Layout, begin: int) -> bytes:
    values_at = begin + layout.number.size + len(directory) * layout.entry.size + layout.offset.size
    table, values = layout.number.pack(len(directory)), b""
    for tag, (kind, value) in sorted(directory.items()):
        number = len(value) // int(np.prod(_KINDS[kind]))
        field = value
        if len(value) > layout.offset.size:
            field = layout.offset.pack(values_at + len(values))
            values += value + bytes(len(value) % 2)
        table += layout.entry.pack(tag, kind, number, field)
    return table + bytes(layout.offset.size) + values


def fit_exif(exif: bytes, width: int, height: int) -> bytes:
    """Exif as `keep_exif` returns it, for a picture of a size in pixels."""
    layout, directories = _read_all(exif)
    return _encode(_fit(directories, layout, width, height), layout.order)


def append_exif(file: BinaryIO, exif: bytes, width: int, height: int) -> None:
    """Add Exif as `keep_exif` returns it to a TIFF file that is open for reading and writing."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        layout, first = read_directory(data)
    source, directories = _read_all(exif)
    directories = _fit(directories, source, width, height)
    if source.order != layout.order:
        directories = {
            pointer: {tag: (kind, _swap(kind, value)) for tag, (kind, value) in entries.items()}
            for pointer, entries in directories.items()
        }
    directories[FIRST] |= first
    end = file.seek(0, 2)
    file.write(bytes(end % 2))
    content, place = _lay_out(directories, layout, end + end % 2)
    file.write(content)
    file.seek(8 if layout.wide else 4)
    file.write(layout.offset.pack(place))


def _read_all(exif: bytes) -> tuple[_Layout, dict[int, Directory]]:
    layout, first = read_directory(exif)
    directories = {FIRST: first}
    for pointer in {DETAILS, PLACE} & set(first):
        (place,) = layout.offset.unpack(first.pop(pointer)[1])
        directories[pointer] = _read_entries(exif, layout, place)
    return layout, directories


def _fit(
    directories: dict[int, Directory], layout: _Layout, width: int, height: int
) -> dict[int, Directory]:
    details = directories.get(DETAILS, {})
    for tag, length in ((_WIDTH, width), (_HEIGHT, height)):
        if tag in details:
            details[tag] = (_LONG, struct.pack(f"{layout.order}L", length))
    return directories


def _swap(kind: int, value: bytes) -> bytes:
    """Values in the other byte order."""
    return np.frombuffer(value, f"u{_KINDS[kind][0]}").byteswap().tobytes()
