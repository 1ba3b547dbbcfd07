"""What is no picture, or none that a format or this program can hold."""

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from kgt import Picture
from tests.kgt.pictures.making import draw, make_exif


def test_transparency_does_not_go_into_a_jpeg(tmp_path):
    (tmp_path / "a.jpg").write_text("older")
    picture = Picture(draw(7, 9, 3), draw(7, 9))
    with pytest.raises(ValueError, match="transparency"):
        picture.save(tmp_path / "a.jpg")
    assert [*tmp_path.iterdir()] == [tmp_path / "a.jpg"]
    assert (tmp_path / "a.jpg").read_text() == "older"
    opaque = Picture(picture.pixels, np.full_like(picture.alpha, 255))
    opaque.save(tmp_path / "a.jpg")
    with PIL.Image.open(tmp_path / "a.jpg") as written:
        assert written.mode == "RGB"


def save_frames(path, **fields):
    frames = [PIL.Image.fromarray(draw(8, 8, 3, seed=seed)) for seed in (0, 1)]
    frames[0].save(path, save_all=True, append_images=frames[1:], **fields)


@pytest.mark.parametrize("suffix", [".gif", ".tif", ".png", ".webp"])
def test_several_pictures_in_a_file_are_refused(suffix, tmp_path):
    save_frames(tmp_path / f"a{suffix}")
    with pytest.raises(ValueError, match="2 pictures"):
        Picture.read(tmp_path / f"a{suffix}")


def test_of_a_photograph_with_previews_the_photograph_is_read(tmp_path):
    save_frames(tmp_path / "a.jpg", format="MPO")
    with PIL.Image.open(tmp_path / "a.jpg") as file:
        assert np.array_equal(Picture.read(tmp_path / "a.jpg").pixels, np.array(file))


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("a.png", b"no picture", OSError, r"a\.png is no picture"),
        ("absent.png", None, OSError, r"absent\.png"),
        ("cut.jpg", "jpeg", OSError, r"cut\.jpg is damaged or cut short"),
        ("cut.png", "png", OSError, r"cut\.png is damaged or cut short"),
        ("cut.tif", "tiff", OSError, r"cut\.tif is damaged or cut short"),
        ("cut.webp", "webp", OSError, r"cut\.webp is damaged or cut short"),
        ("cut.gif", "gif", OSError, r"cut\.gif is damaged or cut short"),
        ("cut.bmp", "bmp", OSError, r"cut\.bmp is damaged or cut short"),
        ("cut.avif", "avif", OSError, r"cut\.avif is damaged or cut short"),
    ],
)
def test_broken_files_are_told(name, content, error, message, tmp_path):
    path = tmp_path / name
    if isinstance(content, str):
        stream = io.BytesIO()
        PIL.Image.fromarray(draw(64, 64, 3)).save(stream, content)
        content = stream.getvalue()[: stream.tell() // 2]
    if content:
        path.write_bytes(content)
    with pytest.raises(error, match=message):
        Picture.read(path)


def test_sixteen_bits_that_are_cut_short_are_told(tmp_path):
    Picture(draw(64, 64, 3, dtype=np.uint16)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(OSError, match=r"a\.png is damaged or cut short"):
        Picture.read(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["CMYK", "F", "I", "LAB"])
def test_other_samples_are_refused(mode):
    with pytest.raises(ValueError, match=f"mode {mode}"):
        Picture.from_pil(PIL.Image.new(mode, (4, 4)))


@pytest.mark.parametrize(
    ("suffix", "longest"), [(".webp", 16_383), (".jpg", 65_500), (".png", None), (".tif", None)]
)
def test_sides_that_a_format_cannot_hold_are_refused_before_they_are_made(suffix, longest):
    picture = Picture(np.zeros((1, 20_000, 3), np.uint8))
    if longest:
        with pytest.raises(ValueError, match=rf"80,000 pixels.* {longest:,}"):
            picture.check_format(Path(f"a{suffix}"), 4)
    else:
        picture.check_format(Path(f"a{suffix}"), 4)


@pytest.mark.parametrize(("suffix", "longest"), [(".webp", 16_383), (".jpg", 65_500)])
def test_the_longest_sides_are_written(suffix, longest, tmp_path):
    Picture(np.zeros((1, longest, 3), np.uint8)).save(tmp_path / f"a{suffix}")
    with PIL.Image.open(tmp_path / f"a{suffix}") as written:
        assert written.size == (longest, 1)


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'\.bmp'; written are \.png"):
        Picture(draw(4, 4, 3)).save(tmp_path / "a.bmp")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff", "gif", "bmp", "avif"])
def test_damage_anywhere_raises_what_is_documented(kind, tmp_path):
    stream = io.BytesIO()
    PIL.Image.fromarray(draw(4, 4, 3)).resize((40, 40)).save(
        stream, kind, exif=make_exif().tobytes()
    )
    content = stream.getvalue()
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        for place in rng.integers(0, min(len(content), 400), 3):
            damaged[place] = rng.integers(256)
        (tmp_path / "a").write_bytes(damaged)
        with contextlib.suppress(OSError, ValueError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Picture.read(tmp_path / "a")
