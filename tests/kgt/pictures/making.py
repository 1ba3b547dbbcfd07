"""Samples, pictures and metadata that the tests of pictures make."""

import numpy as np
import PIL.Image
from PIL.ExifTags import GPS, IFD, Base

LOSSLESS = [".png", ".tif"]
ALL_FORMATS = [".png", ".tif", ".jpg", ".webp"]


def draw(*shape, dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def make_exif():
    exif = PIL.Image.Exif()
    exif[Base.Make] = "Maker"
    exif[Base.Artist] = "Someone"
    exif[Base.Orientation] = 6
    exif[IFD.Exif] = {
        Base.ExposureTime: 0.125,
        Base.ExifImageWidth: 40,
        Base.ExifImageHeight: 24,
        Base.LensModel: "Lens",
    }
    exif[IFD.GPSInfo] = {GPS.GPSLatitudeRef: "N", GPS.GPSLatitude: (47.0, 30.0, 1.5)}
    return exif
