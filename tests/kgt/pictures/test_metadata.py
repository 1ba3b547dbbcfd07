"""What a file says of its picture: which side is up, profile, Exif, text and resolution."""

import io
from dataclasses import replace

import cv2
import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.ImageOps
import PIL.PngImagePlugin
import pytest
import tifffile
from PIL.ExifTags import GPS, IFD, Base

from kgt import Picture
from tests.kgt.pictures.making import ALL_FORMATS, LOSSLESS, draw, make_exif


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


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_resolution_is_kept(suffix, tmp_path):
    PIL.Image.fromarray(draw(6, 5, 3)).save(tmp_path / "in.jpg", dpi=(300, 150))
    Picture.read(tmp_path / "in.jpg").save(tmp_path / f"out{suffix}")
    with PIL.Image.open(tmp_path / f"out{suffix}") as written:
        assert written.info["dpi"] == pytest.approx((300, 150), rel=1e-3)
