import io

import cv2
import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest
import pyvips
import tifffile

from kgt import Picture
from tests.kgt.pictures.making import ALL_FORMATS, LOSSLESS, draw


def make_palette(transparent):
    image = PIL.Image.fromarray(draw(7, 9) % 5, "L").convert("L")
    image = PIL.Image.frombytes("P", image.size, image.tobytes())
    image.putpalette(draw(15).tobytes())
    if transparent:
        image.info["transparency"] = bytes([0, 80, 255, 255, 255])
    return image


def make_image(kind):
    if kind.startswith("P"):
        return make_palette(kind == "P+key")
    mode, _, key = kind.partition("+")
    if mode == "1":
        return PIL.Image.fromarray(draw(7, 9) > 127)
    channels = len(mode)
    samples = draw(7, 9, channels) if channels > 1 else draw(7, 9)
    image = PIL.Image.fromarray(samples)
    if key:
        image.info["transparency"] = image.getpixel((4, 3))
    return image


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *(("1", "L"), ("L", "L"), ("LA", "LA"), ("P", "RGB"), ("RGB", "RGB"), ("RGBA", "RGBA")),
        *(("P+key", "RGBA"), ("L+key", "LA"), ("RGB+key", "RGBA")),
    ],
)
@pytest.mark.parametrize("suffix", LOSSLESS)
def test_every_kind_of_eight_bits_is_read_and_written(kind, mode, suffix, tmp_path):
    image = make_image(kind)
    image.save(tmp_path / "in.png", **image.info)
    Picture.read(tmp_path / "in.png").save(tmp_path / f"out{suffix}")
    with PIL.Image.open(tmp_path / f"out{suffix}") as written:
        assert written.mode == mode
        expected = np.array(image.convert(mode))
        assert np.array_equal(np.array(written), expected)
        if "key" in kind:
            assert 0 < (expected[..., -1] < 255).mean() < 0.9


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("source", LOSSLESS)
@pytest.mark.parametrize("target", LOSSLESS)
def test_sixteen_bits_stay(channels, source, target, tmp_path):
    samples = draw(7, 9, channels, dtype=np.uint16)
    cv2.imwrite(str(tmp_path / f"in{source}"), samples)
    Picture.read(tmp_path / f"in{source}").save(tmp_path / f"out{target}")
    written = cv2.imread(str(tmp_path / f"out{target}"), cv2.IMREAD_UNCHANGED)
    assert written.dtype == np.uint16
    assert np.array_equal(written.reshape(samples.shape), samples)


def test_gray_of_sixteen_bits_with_alpha_stays(tmp_path):
    picture = Picture(draw(7, 9, 1, dtype=np.uint16), draw(7, 9, dtype=np.uint16))
    for suffix in LOSSLESS:
        picture.save(tmp_path / f"a{suffix}")
        read = Picture.read(tmp_path / f"a{suffix}")
        assert np.array_equal(read.pixels, picture.pixels)
        assert np.array_equal(read.alpha, picture.alpha)
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), picture.samples)
    # OpenCV repeats gray as blue, green and red.
    decoded = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(decoded[..., 2:], picture.samples)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_color_of_sixteen_bits_becomes_alpha(channels, tmp_path):
    samples = draw(7, 9, channels, dtype=np.uint16)
    picture = Picture(samples)
    picture.save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    key = samples[3, 4].astype(">u2").tobytes().rjust(2, b"\0")
    end = 8 + 25  # signature and header
    chunk = PIL.PngImagePlugin.putchunk
    stream = io.BytesIO()
    chunk(stream, b"tRNS", key)
    (tmp_path / "a.png").write_bytes(content[:end] + stream.getvalue() + content[end:])
    read = Picture.read(tmp_path / "a.png")
    assert np.array_equal(read.pixels, samples)
    expected = np.full((7, 9), 65535)
    expected[3, 4] = 0
    assert np.array_equal(read.alpha, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 70_000), (3000, 50)])
def test_another_library_reads_tiff_files(size, channels, dtype, tmp_path):
    samples = draw(*size, channels, dtype=dtype)
    has_alpha = channels in (2, 4)
    pixels, alpha = samples[..., : channels - has_alpha], samples[..., -1] if has_alpha else None
    Picture(pixels, alpha).save(tmp_path / "a.tif")
    read = tifffile.imread(tmp_path / "a.tif")
    assert read.dtype == dtype
    assert np.array_equal(read.reshape(samples.shape), samples)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_sixteen_bits_are_rounded_where_a_format_has_eight(suffix, tmp_path):
    flat = Picture(np.full((16, 16, 3), 30_000, np.uint16))
    flat.save(tmp_path / f"a{suffix}")
    with PIL.Image.open(tmp_path / f"a{suffix}") as written:
        assert np.abs(np.array(written).astype(int) - round(30_000 / 257)).max() <= 1
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    assert np.array_equal(np.array(Picture(ramp).to_pil()), np.rint(ramp[..., 0] / 257))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", ALL_FORMATS)
def test_what_fails_midway_leaves_the_older_file(suffix, dtype, tmp_path, monkeypatch):
    path = tmp_path / f"a{suffix}"
    path.write_text("older")

    def write_some(*arguments, **fields):
        [unfinished] = set(tmp_path.iterdir()) - {path}
        assert unfinished.name.endswith(".part")
        raise KeyboardInterrupt

    monkeypatch.setattr("kgt.pictures.write._encode", write_some)
    with pytest.raises(KeyboardInterrupt):
        Picture(draw(6, 5, 3, dtype=dtype)).save(path)
    assert [*tmp_path.iterdir()] == [path]
    assert path.read_text() == "older"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_of_which_zero_is_white_is_read_as_it_looks(dtype, tmp_path):
    samples = draw(4, 4, dtype=dtype)
    tifffile.imwrite(tmp_path / "white.tif", samples, photometric="miniswhite")
    tifffile.imwrite(tmp_path / "black.tif", samples, photometric="minisblack")
    black, white = (Picture.read(tmp_path / f"{name}.tif").pixels for name in ("black", "white"))
    assert np.array_equal(black[..., 0], samples)
    assert np.array_equal(white[..., 0], np.iinfo(dtype).max - samples)


def test_an_avif_file_of_ten_bits_is_read_in_sixteen(tmp_path):
    white = pyvips.Image.new_from_array(np.full((16, 16, 3), 65535, np.uint16))
    white.copy(interpretation="rgb16").heifsave(
        str(tmp_path / "a.avif"), compression="av1", bitdepth=10
    )
    picture = Picture.read(tmp_path / "a.avif")
    assert picture.pixels.dtype == np.uint16
    assert (picture.pixels == 65535).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_bmp_files_are_read(mode, tmp_path):
    image = PIL.Image.fromarray(draw(7, 9, 3)).convert(mode)
    image.save(tmp_path / "a.bmp")
    expected = np.array(image.convert("RGB" if mode in ("P", "RGB") else "L"))
    assert np.array_equal(Picture.read(tmp_path / "a.bmp").pixels.squeeze(), expected)


def test_no_file_is_taken_for_what_was_read_before_it(tmp_path):
    for seed in range(3):
        picture = Picture(draw(7, 9, 3, seed=seed))
        picture.save(tmp_path / "a.png")
        assert np.array_equal(Picture.read(tmp_path / "a.png").pixels, picture.pixels)
