import errno
import io
import struct
import zlib

import cv2
import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data as photographs

import kgt.pictures.png
from kgt.pictures.png import PngWriter

DTYPES = {8: np.uint8, 16: np.uint16}


def draw_samples(height, width, channels, bits, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2**bits, (height, width, channels), dtype=DTYPES[bits])


def write(path, pixels, splits=()):
    height, width, channels = pixels.shape
    with PngWriter(path, height, width, channels, 8 * pixels.itemsize) as file:
        for rows in np.split(pixels, splits):
            file.write(torch.from_numpy(rows))


def read_with_opencv(path, channels):
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return pixels[..., None] if channels == 1 else pixels[..., ::-1]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (13, 17), (64, 32)])
def test_other_decoders_read_what_was_written(size, channels, bits, tmp_path):
    pixels = draw_samples(*size, channels, bits)
    write(tmp_path / "a.png", pixels)
    assert np.array_equal(read_with_opencv(tmp_path / "a.png", channels), pixels)
    # Pillow has no 16-bit RGB: it reads the higher bytes of that.
    with PIL.Image.open(tmp_path / "a.png") as file:
        seen = np.asarray(file).reshape(pixels.shape)
    expected = pixels >> 8 if (bits, channels) == (16, 3) else pixels
    assert np.array_equal(seen, expected)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_bands_do_not_show_in_the_file(tmp_path_factory, data):
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 20))
    channels, bits = data.draw(st.sampled_from([1, 3])), data.draw(st.sampled_from([8, 16]))
    pixels = draw_samples(height, width, channels, bits, data.draw(st.integers(0, 99)))
    splits = sorted(data.draw(st.lists(st.integers(0, height), max_size=6)))
    folder = tmp_path_factory.mktemp("bands")
    write(folder / "whole.png", pixels)
    write(folder / "bands.png", pixels, splits)
    assert np.array_equal(read_with_opencv(folder / "bands.png", channels), pixels)
    assert pixel_stream(folder / "bands.png") == pixel_stream(folder / "whole.png")


def read_chunks(path):
    stream = io.BytesIO(path.read_bytes())
    assert stream.read(8) == b"\x89PNG\r\n\x1a\n"
    chunks = []
    while header := stream.read(8):
        length, name = struct.unpack(">I4s", header)
        content = stream.read(length)
        assert struct.unpack(">I", stream.read(4))[0] == zlib.crc32(name + content)
        chunks.append((name, content))
    return chunks


def pixel_stream(path):
    return zlib.decompress(b"".join(data for name, data in read_chunks(path) if name == b"IDAT"))


def test_chunks_are_those_of_the_specification(tmp_path):
    write(tmp_path / "a.png", draw_samples(300, 200, 3, 8))
    chunks = read_chunks(tmp_path / "a.png")
    assert chunks[0] == (b"IHDR", struct.pack(">IIBBBBB", 200, 300, 8, 2, 0, 0, 0))
    assert {name for name, _ in chunks[1:-1]} == {b"IDAT"}
    assert chunks[-1] == (b"IEND", b"")
    assert len(pixel_stream(tmp_path / "a.png")) == 300 * (1 + 3 * 200)


def test_what_else_a_file_says_stands_before_its_pixels(tmp_path):
    extra = [(b"eXIf", b"some"), (b"iTXt", b"more")]
    with PngWriter(tmp_path / "a.png", 1, 2, chunks=extra) as file:
        file.write(torch.zeros(1, 2, 3, dtype=torch.uint8))
    chunks = read_chunks(tmp_path / "a.png")
    assert chunks[1:3] == extra
    assert {name for name, _ in chunks[3:-1]} == {b"IDAT"}


def test_blocks_of_rows_are_filtered_as_one(tmp_path, monkeypatch):
    pixels = photographs.astronaut()
    write(tmp_path / "one.png", pixels)
    monkeypatch.setattr(kgt.pictures.png, "_BLOCK", 4000)
    write(tmp_path / "many.png", pixels)
    assert pixel_stream(tmp_path / "one.png") == pixel_stream(tmp_path / "many.png")
    assert set(pixel_stream(tmp_path / "one.png")[:: 1 + 3 * 512]) == {1, 2, 4}


@pytest.mark.parametrize("image", [photographs.astronaut, photographs.camera])
def test_photographs_take_no_more_than_with_another_encoder(image, tmp_path):
    pixels = image()
    write(tmp_path / "a.png", np.atleast_3d(pixels))
    other = io.BytesIO()
    PIL.Image.fromarray(pixels).save(other, "png")
    assert (tmp_path / "a.png").stat().st_size < 1.1 * other.tell()


def test_sixteen_bits_may_come_in_wider_integers(tmp_path):
    pixels = draw_samples(9, 8, 3, 16)
    write(tmp_path / "a.png", pixels)
    with PngWriter(tmp_path / "b.png", 9, 8, 3, 16) as file:
        file.write(torch.from_numpy(pixels.astype(np.int32)))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("bits", "rows", "message"),
    [
        (8, torch.zeros(2, 4, 3, dtype=torch.uint8), r"\[2, 4, 3\].*\[h, 5, 3\]"),
        (8, torch.zeros(2, 5, 1, dtype=torch.uint8), r"\[2, 5, 1\].*\[h, 5, 3\]"),
        (8, torch.zeros(5, 3, dtype=torch.uint8), r"\[5, 3\].*\[h, 5, 3\]"),
        (8, torch.zeros(2, 5, 3), r"torch.float32: 8 bits take torch.uint8"),
        (16, torch.zeros(2, 5, 3, dtype=torch.uint8), r"16 bits take torch.uint16 or torch.int32"),
        (16, torch.full((2, 5, 3), -1, dtype=torch.int32), "from -1 to -1.*0 to 65,535"),
        (16, torch.full((2, 5, 3), 65536, dtype=torch.int32), "to 65536.*0 to 65,535"),
        (8, torch.zeros(7, 5, 3, dtype=torch.uint8), "7 rows after 0.*has 6"),
    ],
)
def test_wrong_rows_are_refused_and_leave_nothing(bits, rows, message, tmp_path):
    with (
        pytest.raises(ValueError, match=message),
        PngWriter(tmp_path / "a.png", 6, 5, 3, bits) as file,
    ):
        file.write(rows)
    assert not [*tmp_path.iterdir()]


def test_missing_rows_are_refused_and_leave_an_older_file(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("older")
    with pytest.raises(ValueError, match="3 rows of 6"), PngWriter(path, 6, 5) as file:
        file.write(torch.zeros(3, 5, 3, dtype=torch.uint8))
    assert [*tmp_path.iterdir()] == [path]
    assert path.read_text() == "older"


def test_the_file_appears_complete(tmp_path):
    path = tmp_path / "a.png"
    with PngWriter(path, 2, 5) as file:
        file.write(torch.zeros(2, 5, 3, dtype=torch.uint8))
        assert not path.exists()
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("chunks", [(), [(b"iCCP", bytes(2**20))]])
def test_a_full_disk_leaves_nothing(chunks, tmp_path, monkeypatch):
    # /dev/full answers every write as a full disk does.
    open_file = kgt.pictures.png.Path.open

    def open_full(path, mode):
        open_file(path, mode).close()
        return open_file(kgt.pictures.png.Path("/dev/full"), "wb")

    monkeypatch.setattr(kgt.pictures.png.Path, "open", open_full)
    pixels = draw_samples(300, 200, 3, 8)
    with (
        pytest.raises(OSError, match="No space") as error,
        PngWriter(tmp_path / "a.png", 300, 200, chunks=chunks) as file,
    ):
        file.write(torch.from_numpy(pixels))
    assert error.value.errno == errno.ENOSPC
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 5), "0x5 pixels"),
        ((5, 2**31), "1 to 2,147,483,647"),
        ((5, 5, 5), "5 channels: 1"),
        ((5, 5, 3, 4), "4 bits: 8 and 16"),
    ],
)
def test_files_that_are_not_written(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        PngWriter(tmp_path / "a.png", *arguments)
