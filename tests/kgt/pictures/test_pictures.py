import contextlib
import io
import warnings
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.ImageOps
import PIL.PngImagePlugin
import pytest
import pyvips
import tifffile
from PIL.ExifTags import GPS, IFD, Base

from kgt import Picture

LOSSLESS = [".png", ".tif"]
ALL_FORMATS = [".png", ".tif", ".jpg", ".webp"]


def draw(*shape, dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


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


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ALL_FORMATS)
def test_pictures_stand_upright(orientation, suffix, tmp_path):
    exif = PIL.Image.Exif()
    exif[Base.Orientation] = orientation
    source = PIL.Image.fromarray(draw(5, 9, 3))
    source.save(tmp_path / f"in{suffix}", exif=exif, lossless=True)
    with PIL.Image.open(tmp_path / f"in{suffix}") as file:
        expected = np.array(PIL.ImageOps.exif_transpose(file))
    picture = Picture.read(tmp_path / f"in{suffix}")
    assert np.array_equal(picture.pixels, expected)
    with PIL.Image.open(tmp_path / f"in{suffix}") as file:
        assert np.array_equal(Picture.from_pil(file).pixels, expected)
    picture.save(tmp_path / "out.png")
    with PIL.Image.open(tmp_path / "out.png") as written:
        assert np.array_equal(np.array(PIL.ImageOps.exif_transpose(written)), expected)
        assert written.getexif().get(Base.Orientation, 1) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("suffix", "byte_order"), [(".png", ""), (".tif", "<"), (".tif", ">")])
def test_sixteen_bits_stand_upright(orientation, suffix, byte_order, tmp_path):
    samples = draw(5, 9, 3)
    exif = PIL.Image.Exif()
    exif[Base.Orientation] = orientation
    path = tmp_path / f"in{suffix}"
    if suffix == ".tif":
        tags = [(Base.Orientation.value, "H", 1, orientation, True)]
        fields = {"byteorder": byte_order, "photometric": "rgb", "extratags": tags}
        tifffile.imwrite(path, samples * np.uint16(257), **fields)
    else:
        encoded = cv2.imencode(".png", (samples * np.uint16(257))[..., ::-1])[1].tobytes()
        stream = io.BytesIO()
        PIL.PngImagePlugin.putchunk(stream, b"eXIf", exif.tobytes()[6:])
        path.write_bytes(encoded[:33] + stream.getvalue() + encoded[33:])
    eight = PIL.Image.fromarray(samples)
    eight.getexif()[Base.Orientation] = orientation
    expected = np.array(PIL.ImageOps.exif_transpose(eight)) * np.uint16(257)
    assert np.array_equal(Picture.read(path).pixels, expected)


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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("source", ALL_FORMATS)
@pytest.mark.parametrize("target", ALL_FORMATS)
def test_metadata_is_kept(source, target, dtype, tmp_path):
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    image = PIL.Image.fromarray(draw(24, 40, 3))
    image.save(tmp_path / f"in{source}", exif=make_exif().tobytes(), icc_profile=profile)
    picture = Picture.read(tmp_path / f"in{source}")
    replace(picture, pixels=picture.pixels.astype(dtype)).save(tmp_path / f"out{target}")
    with PIL.Image.open(tmp_path / f"out{target}") as written:
        written.load()
        exif = written.getexif()
        assert written.size == (24, 40)
        assert written.info["icc_profile"] == profile
    assert exif[Base.Make] == "Maker"
    assert exif[Base.Artist] == "Someone"
    assert exif.get(Base.Orientation, 1) == 1
    details = exif.get_ifd(IFD.Exif)
    assert details[Base.ExposureTime] == 0.125
    assert details[Base.LensModel] == "Lens"
    # These described the picture before it was turned.
    assert (details[Base.ExifImageWidth], details[Base.ExifImageHeight]) == (24, 40)
    place = exif.get_ifd(IFD.GPSInfo)
    assert place[GPS.GPSLatitudeRef] == "N"
    assert place[GPS.GPSLatitude] == (47.0, 30.0, 1.5)


def test_a_picture_of_pillow_keeps_its_metadata():
    image = PIL.Image.fromarray(draw(6, 5, 3))
    image.info["icc_profile"] = b"profile"
    image.getexif()[Base.Make] = "Maker"
    back = Picture.from_pil(image).to_pil()
    assert np.array_equal(np.array(back), np.array(image))
    assert back.info["icc_profile"] == b"profile"
    assert back.getexif()[Base.Make] == "Maker"


def test_damaged_exif_is_left_out_with_a_warning(tmp_path):
    image = PIL.Image.fromarray(draw(6, 5, 3))
    image.save(tmp_path / "a.jpg", exif=b"Exif\0\0no such thing")
    with pytest.warns(UserWarning, match="Exif metadata is damaged"):
        picture = Picture.read(tmp_path / "a.jpg")
    assert picture.exif == b""
    assert picture.size == (5, 6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_text_is_kept_but_not_what_tells_of_the_old_file(dtype, tmp_path):
    text = PIL.PngImagePlugin.PngInfo()
    text.add_text("Title", "A café")
    text.add_itxt("Comment", "雪")
    text.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    PIL.Image.fromarray(draw(6, 5, 3)).save(tmp_path / "in.png", pnginfo=text)
    picture = Picture.read(tmp_path / "in.png")
    replace(picture, pixels=picture.pixels.astype(dtype)).save(tmp_path / "out.png")
    with PIL.Image.open(tmp_path / "out.png") as written:
        assert written.text == {"Title": "A café", "Comment": "雪"}
        assert written.size == (6, 5)


def test_transparency_does_not_go_into_a_jpeg(tmp_path):
    (tmp_path / "a.jpg").write_text("older")
    picture = Picture.from_pil(make_image("RGBA"))
    with pytest.raises(ValueError, match="transparency"):
        picture.save(tmp_path / "a.jpg")
    assert [*tmp_path.iterdir()] == [tmp_path / "a.jpg"]
    assert (tmp_path / "a.jpg").read_text() == "older"
    opaque = Picture(picture.pixels, np.full_like(picture.alpha, 255))
    opaque.save(tmp_path / "a.jpg")
    with PIL.Image.open(tmp_path / "a.jpg") as written:
        assert written.mode == "RGB"


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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_of_which_zero_is_white_is_read_as_it_looks(dtype, tmp_path):
    samples = draw(4, 4, dtype=dtype)
    tifffile.imwrite(tmp_path / "white.tif", samples, photometric="miniswhite")
    tifffile.imwrite(tmp_path / "black.tif", samples, photometric="minisblack")
    black, white = (Picture.read(tmp_path / f"{name}.tif").pixels for name in ("black", "white"))
    assert np.array_equal(black[..., 0], samples)
    assert np.array_equal(white[..., 0], np.iinfo(dtype).max - samples)


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


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_resolution_is_kept(suffix, tmp_path):
    PIL.Image.fromarray(draw(6, 5, 3)).save(tmp_path / "in.jpg", dpi=(300, 150))
    Picture.read(tmp_path / "in.jpg").save(tmp_path / f"out{suffix}")
    with PIL.Image.open(tmp_path / f"out{suffix}") as written:
        assert written.info["dpi"] == pytest.approx((300, 150), rel=1e-3)


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
