"""The recipe for RAW files in docs/restoring.md, on a file that is made here."""

import re
from pathlib import Path

import numpy as np
import PIL.Image
import tifffile
from skimage import data as photographs

ROOT = Path(__file__).parents[3]
# From XYZ to the linear sRGB of the "camera" (IEC 61966-2-1), row by row.
MATRIX = (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)


def write_dng(path, mosaic):
    """A DNG file (Adobe, version 1.4) of an RGGB mosaic of 14 bits without color cast."""
    ratios = tuple(part for value in MATRIX for part in (round(value * 10_000), 10_000))
    tags = [
        (50706, "B", 4, b"\1\4\0\0", True),  # version
        (50708, "s", 0, "Test", True),  # camera
        (33421, "H", 2, (2, 2), True),  # the pattern repeats
        (33422, "B", 4, b"\0\1\1\2", True),  # RGGB
        (50717, "H", 1, 2**14 - 1, True),  # white
        (50721, "2i", 9, ratios, True),
        (50728, "2I", 3, (1,) * 6, True),  # neutral
        (50778, "H", 1, 21, True),  # the matrix is for D65
    ]
    tifffile.imwrite(path, mosaic, photometric=32803, extratags=tags)


def take_photograph(path, photograph):
    """Write what a sensor without noise sees of an sRGB image, uint8 [h, w, 3]."""
    signal = photograph / 255
    linear = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    mosaic = np.empty(photograph.shape[:2])
    for channel, row, column in ((0, 0, 0), (1, 0, 1), (1, 1, 0), (2, 1, 1)):
        mosaic[row::2, column::2] = linear[row::2, column::2, channel]
    write_dng(path, np.rint(mosaic * (2**14 - 1)).astype(np.uint16))


def test_a_raw_file_becomes_a_picture(tmp_path, monkeypatch):
    page = (ROOT / "docs/restoring.md").read_text()
    (recipe,) = re.findall(r"## RAW files.*?```python\n(.*?)```", page, re.S)
    photograph = photographs.astronaut()[:256, :256]
    take_photograph(tmp_path / "photo.dng", photograph)
    monkeypatch.chdir(tmp_path)
    exec(recipe, {})
    with PIL.Image.open("photo.png") as file:
        restored = np.asarray(file.convert("RGB"), dtype=float)
    half = photograph.reshape(128, 2, 128, 2, 3).mean((1, 3))
    assert restored.shape == half.shape
    assert np.abs(restored - half).mean() < 5
