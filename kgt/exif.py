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


def read_exif(image: PIL.Image.Image) -> bytes:
    """What describes an image: camera, exposure, place, author; without thumbnail and orientation.

    Metadata that cannot be carried over is left out with a warning.
    """
    try:
        source = image.getexif()
        exif = PIL.Image.Exif()
        for tag in _KEPT & set(source):
            exif[tag] = source[tag]
        for folder in (IFD.Exif, IFD.GPSInfo):
            entries = source.get_ifd(folder)
            if entries:
                exif[folder] = {tag: entries[tag] for tag in entries if tag not in _OFFSETS}
        return exif.tobytes() if len(exif) else b""
    # Damaged metadata fails anywhere in the reader, with whatever error that place raises.
    except Exception as error:
        warnings.warn(f"the Exif metadata is damaged and left out: {error}", stacklevel=2)
        return b""


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


def read_orientation(image: PIL.Image.Image) -> int:
    """How an image must be turned to stand upright: 1 (not at all) to 8, as Exif numbers it."""
    try:
        orientation = image.getexif().get(Base.Orientation, 1)
    # As above; then nothing is known of the orientation.
    except Exception:
        return 1
    return orientation if orientation in range(1, 9) else 1
