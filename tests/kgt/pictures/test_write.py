import io

import cv2
import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data as photographs

from kgt import Picture
from kgt.pictures.write import write_bands
from tests.kgt.pictures.making import draw

LIKE = Picture(np.zeros((1, 1, 3), np.uint8))


def write(path, pixels, splits=()):
    height, width, _ = pixels.shape
    write_bands(path, iter(np.split(pixels, splits)), (width, height), LIKE)


def read_with_opencv(path, channels):
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return pixels[..., None] if channels == 1 else pixels[..., ::-1]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (13, 17), (64, 32)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_other_decoders_read_what_was_written(suffix, size, channels, dtype, tmp_path):
    pixels = draw(*size, channels, dtype=dtype)
    write(tmp_path / f"a{suffix}", pixels)
    assert np.array_equal(read_with_opencv(tmp_path / f"a{suffix}", channels), pixels)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_bands_do_not_show_in_the_file(tmp_path_factory, data):
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 20))
    channels, dtype = (
        data.draw(st.integers(1, 4)),
        data.draw(st.sampled_from([np.uint8, np.uint16])),
    )
    pixels = draw(height, width, channels, dtype=dtype, seed=data.draw(st.integers(0, 99)))
    splits = sorted(data.draw(st.lists(st.integers(0, height), max_size=6)))
    suffix = data.draw(st.sampled_from([".png", ".tif", ".webp"]))
    folder = tmp_path_factory.mktemp("bands")
    write(folder / f"whole{suffix}", pixels)
    write(folder / f"bands{suffix}", pixels, splits)
    assert (folder / f"bands{suffix}").read_bytes() == (folder / f"whole{suffix}").read_bytes()


@pytest.mark.parametrize("image", [photographs.astronaut, photographs.camera])
def test_photographs_take_no_more_than_with_another_encoder(image, tmp_path):
    pixels = image()
    write(tmp_path / "a.png", np.atleast_3d(pixels))
    other = io.BytesIO()
    PIL.Image.fromarray(pixels).save(other, "png")
    assert (tmp_path / "a.png").stat().st_size < 1.1 * other.tell()


def test_nothing_of_a_file_is_seen_before_it_is_complete(tmp_path):
    path = tmp_path / "a.png"

    def make_bands():
        for _ in range(3):
            assert not path.exists()
            yield draw(2, 5, 3)

    write_bands(path, make_bands(), (5, 6), LIKE)
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("error", [ValueError("NaN"), KeyboardInterrupt()])
def test_bands_that_fail_leave_the_older_file(error, tmp_path):
    path = tmp_path / "a.png"
    path.write_text("older")

    def make_bands():
        yield draw(2, 5, 3)
        raise error

    with pytest.raises(type(error)):
        write_bands(path, make_bands(), (5, 4), LIKE)
    assert [*tmp_path.iterdir()] == [path]
    assert path.read_text() == "older"


def test_rows_that_are_missing_are_refused(tmp_path):
    with pytest.raises(OSError, match=r"a\.png cannot be written"):
        write_bands(tmp_path / "a.png", [draw(2, 5, 3)], (5, 4), LIKE)
    assert not [*tmp_path.iterdir()]


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, monkeypatch):
    # /dev/full answers every write as a full disk does.
    def open_full(**_):
        return open("/dev/full", "wb", buffering=0)  # noqa: PTH123

    monkeypatch.setattr("kgt.pictures.write.TemporaryFile", open_full)
    with pytest.raises(OSError, match=r"a\.png cannot be written: No space left"):
        write(tmp_path / "a.png", draw(30, 20, 3))
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_takes_no_files_is_refused_before_a_row_is_asked_for(tmp_path):
    def make_bands():
        pytest.fail("a row was asked for")
        yield draw(2, 5, 3)

    with pytest.raises(OSError, match=r"a\.png cannot be written"):
        write_bands(tmp_path / "absent" / "a.png", make_bands(), (5, 2), LIKE)


def test_a_resolution_that_cannot_be_is_cut_without_a_word(tmp_path, capfd):
    Picture(draw(2, 2, 3), resolution=(3e8, 7.0)).save(tmp_path / "a.tif")
    assert capfd.readouterr().err == ""
    across, down = Picture.read(tmp_path / "a.tif").resolution
    assert across <= 1e6
    assert down == pytest.approx(7.0)
