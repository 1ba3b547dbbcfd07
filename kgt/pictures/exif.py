"""What is kept of a picture's Exif: what describes it, not how its file is laid out."""

from __future__ import annotations

import warnings

import PIL.Image
from PIL.ExifTags import IFD, Base

_KEPT = frozenset(
    {
        *(Base.ImageDescription, Base.Make, Base.Model, Base.Software, Base.DateTime),
        *(Base.Artist, Base.HostComputer, Base.Copyright, Base.Rating, Base.RatingPercent),
        *(Base.XResolution, Base.YResolution, Base.ResolutionUnit),
        *(Base.XPTitle, Base.XPComment, Base.XPAuthor, Base.XPKeywords, Base.XPSubject),
    }
)
# Offsets into the file that the metadata came from.
_OFFSETS = frozenset({Base.ExifInteroperabilityOffset})


def read_exif(image: PIL.Image.Image) -> tuple[int, bytes]:
    """How an image must be turned to stand upright, and what else its Exif says of it.

    Damaged metadata is left out with a warning.

    Returns:
        The orientation, from 1 (upright) to 8; and camera, exposure, place and author, without
        orientation and thumbnail, or nothing.
    """
    try:
        source = image.getexif()
        if not len(source):
            # Pillow tells of damage once, and may have done so when it opened the file.
            PIL.Image.Exif().load(image.info.get("exif", b""))
        exif = PIL.Image.Exif()
        for tag in _KEPT & set(source):
            exif[tag] = source[tag]
        for folder in (IFD.Exif, IFD.GPSInfo):
            entries = source.get_ifd(folder)
            if entries:
                exif[folder] = {tag: entries[tag] for tag in entries if tag not in _OFFSETS}
        orientation = source.get(Base.Orientation, 1)
        kept = exif.tobytes() if len(exif) else b""
    # Damaged metadata fails anywhere in the reader, with whatever error that place raises.
    except Exception as error:
        warnings.warn(f"the Exif metadata is damaged and left out: {error}", stacklevel=2)
        return 1, b""
    return orientation if orientation in range(1, 9) else 1, kept


def load_exif(data: bytes, width: int, height: int) -> PIL.Image.Exif:
    """Metadata as `read_exif` returns it, for an upright image of a size in pixels."""
    exif = PIL.Image.Exif()
    exif.load(data)
    exif[Base.Orientation] = 1
    details = exif.get_ifd(IFD.Exif)
    for tag, length in ((Base.ExifImageWidth, width), (Base.ExifImageHeight, height)):
        if tag in details:
            details[tag] = length
    return exif
