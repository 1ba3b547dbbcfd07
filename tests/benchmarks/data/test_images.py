import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from benchmarks.data.images import digest_pixels, find_images, read_image, read_size


@pytest.fixture
def photograph():
    return np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)


def save(path, pixels, **options):
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "webp", "bmp", "tif"])
def test_digest_does_not_depend_on_the_file_format(tmp_path, photograph, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"image.{suffix}", photograph, **options)
    assert digest_pixels(read_image(path)) == digest_pixels(photograph)


def test_a_palette_is_expanded(tmp_path, photograph):
    levels = photograph // 128 * 255
    path = save(tmp_path / "image.png", Image.fromarray(levels).quantize(8))
    assert np.array_equal(read_image(path), levels)


def test_bilevel_images_become_gray(tmp_path, photograph):
    mask = photograph[..., 0] > 127
    assert np.array_equal(read_image(save(tmp_path / "image.png", mask)), mask * np.uint8(255))


@pytest.mark.parametrize("channels", [1, 3])
def test_an_opaque_alpha_channel_is_dropped(tmp_path, photograph, channels):
    colors = photograph[..., :channels]
    alpha = np.full((24, 20, 1), 255, np.uint8)
    path = save(tmp_path / "image.png", np.concatenate([colors, alpha], axis=2))
    assert np.array_equal(read_image(path), colors.squeeze())
    alpha[5, 5] = 254
    save(path, np.concatenate([colors, alpha], axis=2))
    with pytest.raises(ValueError, match=r"image\.png: opaque .*down to 254; flatten it"):
        read_image(path)


def test_a_transparent_palette_is_refused(tmp_path, photograph):
    indexed = Image.fromarray(photograph).quantize(8)
    path = save(tmp_path / "image.png", indexed, transparency=3)
    with pytest.raises(ValueError, match=r"image\.png: opaque .*down to 0"):
        read_image(path)


def test_16_bits_are_refused_gray(tmp_path):
    for suffix in ("png", "tif"):
        path = save(tmp_path / f"image.{suffix}", np.zeros((8, 8), np.uint16))
        with pytest.raises(ValueError, match=rf"image\.{suffix}: 8 bits .*got 16; convert"):
            read_image(path)


def test_16_bits_are_refused_in_color(tmp_path):
    # Pillow cannot write such a file, and reads it as 8 bits.
    path = tmp_path / "image.png"
    assert cv2.imwrite(str(path), np.full((8, 8, 3), 777, np.uint16))
    with pytest.raises(ValueError, match=r"image\.png: 8 bits .*got 16; convert"):
        read_image(path)


@pytest.mark.parametrize(
    ("mode", "suffix", "kind"),
    [("CMYK", "jpg", "cmyk"), ("F", "tif", "float"), ("I", "tif", "int")],
)
def test_other_color_spaces_are_refused(tmp_path, mode, suffix, kind):
    path = save(tmp_path / f"image.{suffix}", Image.new(mode, (8, 8)))
    with pytest.raises(ValueError, match=rf"image\.{suffix}: gray or RGB .*{kind}.*convert"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["png", "webp", "jpg", "bmp", "tif"])
def test_truncated_files_name_themselves(tmp_path, photograph, suffix):
    path = save(tmp_path / f"image.{suffix}", photograph)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(OSError, match=rf"image\.{suffix}.*fetch it anew"):
        read_image(path)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n"])
def test_files_of_no_image_name_themselves(tmp_path, content):
    path = tmp_path / "image.png"
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"image\.png.*fetch it anew"):
        read_image(path)


def test_missing_files_name_themselves(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"image\.png"):
        read_image(tmp_path / "image.png")


@pytest.mark.parametrize("size", [(1, 1), (1, 300)])
def test_a_line_or_a_single_pixel_is_an_image(tmp_path, size):
    pixels = np.full((*size, 3), 7, np.uint8)
    assert np.array_equal(read_image(save(tmp_path / "image.png", pixels)), pixels)


def test_30_megapixels_are_read_and_a_bomb_is_refused(tmp_path, monkeypatch):
    path = save(tmp_path / "image.png", np.zeros((5000, 6000), np.uint8))
    assert read_image(path).shape == (5000, 6000)
    monkeypatch.setattr("kgt.pictures.read.MAX_PIXELS", 29_000_000)
    with pytest.raises(ValueError, match=r"image\.png: .*30,000,000 pixels.*cut it into parts"):
        read_image(path)


def test_hidden_files_are_no_images(tmp_path, photograph):
    save(tmp_path / "a.png", photograph)
    (tmp_path / "._a.png").write_bytes(b"\0\5\x16\7Mac OS X")
    (tmp_path / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    assert find_images(tmp_path) == {"a": tmp_path / "a.png"}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_and_their_sizes_are_upright(tmp_path, photograph, orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    path = save(tmp_path / "image.png", photograph, exif=exif)
    with Image.open(path) as file:
        expected = np.array(ImageOps.exif_transpose(file))
    assert np.array_equal(read_image(path), expected)
    assert read_size(path) == expected.shape[:2]


@pytest.mark.parametrize("suffix", ["png", "webp", "jpg", "bmp", "tif"])
def test_sizes_are_those_of_the_header(tmp_path, photograph, suffix):
    path = save(tmp_path / f"image.{suffix}", photograph)
    assert read_size(path) == (24, 20)
    path.write_bytes(b"no image")
    with pytest.raises(OSError, match=rf"image\.{suffix} is no picture.*fetch it anew"):
        read_size(path)
