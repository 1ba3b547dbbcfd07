import struct

import numpy as np
import PIL.Image
import pytest
import tifffile

from kgt import Picture
from kgt.pictures.exif import DETAILS, FIRST, append_exif, fit_exif, keep_exif, read_directory

ARTIST, MAKE, ORIENTATION, IMAGE_WIDTH = 0x13B, 0x10F, 0x112, 0x100
USER_COMMENT, MAKER_NOTE, EXPOSURE, PIXELS_ACROSS = 0x9286, 0x927C, 0x829A, 0xA002
COMMENT = b"UNICODE\0G\0r\0\xfc\0\xdf\0e\0"
ALL_FORMATS = [".png", ".jpg", ".webp", ".tif"]


def make_exif(order, *, damage=False):
    """Exif with an artist who is not ASCII, and with entries of type UNDEFINED."""

    def directory(at, entries):
        table, values = struct.pack(f"{order}H", len(entries)), b""
        values_at = at + 2 + 12 * len(entries) + 4
        for tag, kind, count, value in entries:
            field = value.ljust(4, b"\0")
            if len(value) > 4:
                field = struct.pack(f"{order}L", values_at + len(values))
                values += value + bytes(len(value) % 2)
            table += struct.pack(f"{order}HHL", tag, kind, count) + field
        return table + bytes(4) + values

    artist = "Łukasz".encode() + b"\0"
    details = [
        (EXPOSURE, 5, 1, struct.pack(f"{order}2L", 1, 30)),
        (MAKER_NOTE, 7, 40, bytes(range(40))),
        (USER_COMMENT, 7, len(COMMENT), COMMENT),
        (PIXELS_ACROSS, 3, 1, struct.pack(f"{order}H", 4000)),
    ]
    first = [
        (IMAGE_WIDTH, 3, 1, struct.pack(f"{order}H", 4000)),
        (MAKE, 2 + 90 * damage, 5, b"Make\0"),
        (ORIENTATION, 3, 1, struct.pack(f"{order}H", 1)),
        (ARTIST, 2, len(artist), artist),
        (DETAILS, 4, 1, bytes(4)),
    ]
    begin = b"II*\0" if order == "<" else b"MM\0*"
    at = 8 + len(directory(8, first))
    first[-1] = (DETAILS, 4, 1, struct.pack(f"{order}L", at))
    return begin + struct.pack(f"{order}L", 8) + directory(8, first) + directory(at, details)


def read_details(exif):
    """Entries as they lie, found without the code under test."""
    order = "<" if exif[:2] == b"II" else ">"

    def entries(at):
        (count,) = struct.unpack_from(f"{order}H", exif, at)
        found = {}
        for index in range(count):
            tag, kind, number = struct.unpack_from(f"{order}HHL", exif, at + 2 + 12 * index)
            found[tag] = kind, number, exif[at + 10 + 12 * index :][:4]
        return found

    first = entries(struct.unpack_from(f"{order}L", exif, 4)[0])
    return first, entries(struct.unpack(f"{order}L", first[DETAILS][2])[0])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("source", [".jpg", ".tif"])
@pytest.mark.parametrize("target", ALL_FORMATS)
def test_types_and_text_stay_in_every_format(order, source, target, tmp_path):
    pixels = np.zeros((6, 5, 3), np.uint8)
    Picture(pixels, exif=keep_exif(make_exif(order))).save(tmp_path / f"a{source}")
    Picture.read(tmp_path / f"a{source}").save(tmp_path / f"b{target}")
    picture = Picture.read(tmp_path / f"b{target}")
    first, details = read_details(picture.exif)
    assert details[USER_COMMENT][:2] == (7, len(COMMENT))
    assert details[MAKER_NOTE][:2] == (7, 40)
    assert COMMENT in picture.exif
    assert bytes(range(40)) in picture.exif
    assert "Łukasz".encode() in picture.exif
    assert IMAGE_WIDTH not in first
    with PIL.Image.open(tmp_path / f"b{target}") as file:
        exif = file.getexif().get_ifd(DETAILS)
    assert exif[EXPOSURE] == pytest.approx(1 / 30)
    assert exif[PIXELS_ACROSS] == 5


def test_an_entry_that_is_damaged_costs_itself_alone():
    whole, damaged = (read_details(keep_exif(make_exif("<", damage=d))) for d in (False, True))
    assert set(whole[0]) - set(damaged[0]) == {MAKE}
    assert whole[1].keys() == damaged[1].keys()


@pytest.mark.parametrize("content", [b"", b"no such thing", b"II*\0\xff\xff\0\0", b"MM\0*"])
def test_what_is_no_exif_is_left_out_with_a_warning(content):
    with pytest.warns(UserWarning, match="Exif metadata is damaged"):
        assert keep_exif(content) == b""


def test_exif_that_is_cut_anywhere_raises_nothing():
    content = make_exif(">")
    for end in range(12, len(content)):
        exif = keep_exif(content[:end])
        assert exif == b"" or read_directory(exif)


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("file_order", ["<", ">"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_joins_a_tiff_file(order, file_order, bigtiff, tmp_path):
    samples = np.random.default_rng(0).integers(0, 65536, (7, 9, 3), dtype=np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, samples, bigtiff=bigtiff, byteorder=file_order, photometric="rgb")
    with path.open("r+b") as file:
        append_exif(file, keep_exif(make_exif(order)), 9, 7)
    with tifffile.TiffFile(path) as file:
        assert np.array_equal(file.pages[0].asarray(), samples)
        details = file.pages[0].tags["ExifTag"].value
        assert file.pages[0].tags["Make"].value == "Make"
    assert details["ExposureTime"] == (1, 30)
    assert details["PixelXDimension"] == 9
    assert np.array_equal(Picture.read(path).pixels, samples)
    assert read_directory(Picture.read(path).exif)[1].keys() >= {MAKE, ARTIST, DETAILS}


def test_sizes_are_those_of_the_picture():
    first, details = read_details(fit_exif(keep_exif(make_exif("<")), 5, 6))
    assert details[PIXELS_ACROSS] == (4, 1, struct.pack("<L", 5))
    assert FIRST not in first
