import cv2
import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

import kgt
from kgt import Picture, restore_file, restore_picture
from kgt.network.windows import check_image
from kgt.pictures.mosaic import interpolate_malvar


class Stub(nn.Module):
    """A function of the image as a network, for images of 8x8 pixels and more."""

    def __init__(self, function=lambda x: x, scale=1, in_channels=3, task="denoise"):
        super().__init__()
        self.function, self.scale, self.in_channels = function, scale, in_channels
        self.task, self.size_multiple = task, 8

    def forward(self, x):
        check_image(x, self.in_channels, self.size_multiple)
        return self.function(x)


def draw(*shape, dtype=np.uint8):
    rng = np.random.default_rng(0)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def to_batch(pixels):
    image = torch.from_numpy(pixels).float() / np.iinfo(pixels.dtype).max
    return image.permute(2, 0, 1)[None]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (1, 40), (60, 41)])
@pytest.mark.parametrize("tile", ["auto", 40, None])
def test_what_a_network_leaves_alone_stays(size, channels, dtype, tile):
    picture = Picture(draw(*size, channels, dtype=dtype), draw(*size, dtype=dtype))
    restored = restore_picture(Stub(), picture, tile)
    assert restored.pixels.dtype == dtype
    assert np.array_equal(restored.pixels, picture.pixels)
    assert np.array_equal(restored.alpha, picture.alpha)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_value_stays(dtype):
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(16, -1, 1)
    for channels in (1, 3):
        pixels = np.repeat(values, channels, axis=-1)
        assert np.array_equal(restore_picture(Stub(), Picture(pixels)).pixels, pixels)


def small_network(name):
    fields = {"embed_dim": 12, "heads": 3, "k": 6, "bias_hidden": 8}
    if name.endswith("x4"):
        fields |= {"window": 16, "depths": (1,)}
    else:
        fields |= {"level_windows": (8, 4), "depths": (1, 1), "final_depth": 1}
    return kgt.create_model(name, **fields).eval()


@pytest.mark.parametrize("name", ["kgt-tiny-denoise-color", "kgt-tiny-x4"])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 1000)])
@torch.no_grad()
def test_networks_restore_every_size(name, size):
    net = small_network(name)
    pixels = draw(*size, 3)
    missing = [(0, max(net.size_multiple - length, 0)) for length in size]
    filled = np.pad(pixels, [*missing, (0, 0)], mode="reflect")
    height, width = (net.scale * length for length in size)
    expected = net(to_batch(filled))[0, :, :height, :width].permute(1, 2, 0).double().numpy()
    restored = restore_picture(net, Picture(pixels), None).pixels
    assert np.array_equal(restored, np.floor(255 * expected.clip(0, 1) + 0.5))


def test_tiles_are_those_of_restore():
    net = small_network("kgt-tiny-denoise-color")
    picture = Picture(draw(150, 110, 3))
    fractions = []
    restored = restore_picture(net, picture, 64, overlap=16, on_progress=fractions.append)
    expected = kgt.restore(net, to_batch(picture.pixels), 64, overlap=16)[0].permute(1, 2, 0)
    steps = (255 * expected.double().clip(0, 1) + 0.5).floor()
    assert np.array_equal(restored.pixels, steps.numpy())
    # 150 pixels take three tiles of 64 that share 16, and 110 take two.
    assert {count / 6 for count in range(1, 7)} <= set(fractions)
    assert fractions == sorted(fractions)
    # When two tiles are done, what the first one alone computes is, too: steps are known and even.
    steps = np.diff([fraction for fraction in fractions if fraction >= 2 / 6])
    assert len(steps) > 100
    assert np.allclose(steps, steps[0])
    assert not any(module._forward_hooks for module in net.modules())


def test_the_budget_reaches_the_plan():
    picture = Picture(draw(200, 200, 3))
    with pytest.raises(ValueError, match="byte_budget = 1,000"):
        restore_picture(small_network("kgt-tiny-denoise-color"), picture, byte_budget=1000)


def test_gray_is_the_luma_of_a_color_network():
    factors = torch.tensor([0.5, 1.0, 0.25]).view(3, 1, 1)
    picture = Picture(draw(9, 12, 1))
    restored = restore_picture(Stub(lambda x: x * factors), picture)
    weight = 0.299 * 0.5 + 0.587 + 0.114 * 0.25
    assert np.abs(restored.pixels - weight * picture.pixels.astype(float)).max() <= 0.5 + 1e-4


def test_gray_networks_take_gray_pictures():
    net = Stub(lambda x: 1 - x, in_channels=1)
    picture = Picture(draw(9, 12, 1))
    assert np.array_equal(restore_picture(net, picture).pixels, 255 - picture.pixels)
    with pytest.raises(ValueError, match="takes gray pictures"):
        restore_picture(net, Picture(draw(9, 12, 3)))


def test_values_beyond_the_range_are_clipped():
    net = Stub(lambda x: 3 * x - 1)
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    restored = restore_picture(net, Picture(values)).pixels.astype(int)
    assert np.abs(restored - np.clip(3 * values.astype(int) - 255, 0, 255)).max() <= 1


@pytest.mark.parametrize("tile", ["auto", None])
def test_small_pictures_are_one_tile(tile):
    fractions = []
    restore_picture(Stub(), Picture(draw(9, 5, 3)), tile, on_progress=fractions.append)
    assert fractions == [1]


def test_values_that_are_no_numbers_are_told():
    with pytest.raises(ValueError, match="NaN or infinite values below row 0"):
        restore_picture(Stub(lambda x: x / 0), Picture(draw(9, 9, 3)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_is_upscaled_bicubically(dtype):
    enlarge = Stub(lambda x: x.repeat_interleave(4, 2).repeat_interleave(4, 3), scale=4)
    picture = Picture(draw(9, 11, 3, dtype=dtype), draw(9, 11, dtype=dtype))
    restored = restore_picture(enlarge, picture)
    assert np.array_equal(restored.pixels, picture.pixels.repeat(4, 0).repeat(4, 1))
    expected = cv2.resize(picture.alpha.astype(np.float32), (44, 36), interpolation=cv2.INTER_CUBIC)
    expected = expected.clip(0, np.iinfo(dtype).max)
    # Rounded once, and of float32 on either side.
    tolerance = 0.5 + 1e-6 * np.iinfo(dtype).max
    assert np.abs(restored.alpha - expected).max() <= tolerance


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_gray_picture_is_a_mosaic_to_a_demosaicker(dtype):
    mosaic = draw(13, 20, 1, dtype=dtype)
    picture = Picture(mosaic, icc_profile=b"of gray", exif=b"")
    restored = restore_picture(Stub(task="demosaic"), picture)
    most = np.iinfo(dtype).max
    expected = interpolate_malvar(torch.from_numpy(mosaic[..., 0].astype(np.float64)))
    expected = expected.permute(1, 2, 0).numpy().clip(0, most)
    assert np.array_equal(restored.pixels, np.floor(expected + 0.5))
    assert restored.icc_profile == b""
    colors = Picture(draw(13, 20, 3, dtype=dtype), icc_profile=b"of color")
    restored = restore_picture(Stub(task="demosaic"), colors)
    assert np.array_equal(restored.pixels, colors.pixels)
    assert restored.icc_profile == b"of color"


def test_files_images_and_pictures_are_taken(tmp_path):
    image = PIL.Image.fromarray(draw(9, 12, 3))
    image.save(tmp_path / "in.png")
    net = Stub(lambda x: 1 - x)
    for source in (image, Picture.from_pil(image), tmp_path / "in.png", str(tmp_path / "in.png")):
        restored = restore_picture(net, source)
        assert np.array_equal(restored.pixels, 255 - np.array(image))
        restored.save(tmp_path / "out.png")
        with PIL.Image.open(tmp_path / "out.png") as written:
            assert np.array_equal(np.array(written), restored.pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("tile", ["auto", 40, None])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_files_hold_what_memory_holds(suffix, tile, dtype, tmp_path):
    net = Stub(lambda x: x.repeat_interleave(3, 2).repeat_interleave(3, 3) * 1.5 - 0.2, scale=3)
    picture = Picture(draw(70, 41, 3, dtype=dtype), draw(70, 41, dtype=dtype))
    done = []
    restore_file(net, picture, tmp_path / f"a{suffix}", tile, overlap=8, on_progress=done.append)
    expected = restore_picture(net, picture, tile, overlap=8)
    written = Picture.read(tmp_path / f"a{suffix}")
    assert written.pixels.dtype == dtype
    assert np.array_equal(written.samples, expected.samples)
    assert done == sorted(done)
    assert done[-1] == 1


def test_a_network_that_fails_leaves_the_older_file(tmp_path):
    count = iter(range(5))

    def fail_late(x):
        if next(count) == 4:
            raise RuntimeError("late")
        return x.clone()

    (tmp_path / "a.png").write_text("older")
    with pytest.raises(RuntimeError, match="late"):
        restore_file(Stub(fail_late), Picture(draw(90, 90, 3)), tmp_path / "a.png", 40, overlap=8)
    with pytest.raises(ValueError, match="NaN or infinite values below row 0"):
        restore_file(Stub(lambda x: x / 0), Picture(draw(9, 9, 3)), tmp_path / "a.png")
    assert [*tmp_path.iterdir()] == [tmp_path / "a.png"]
    assert (tmp_path / "a.png").read_text() == "older"


@pytest.mark.parametrize(
    ("picture", "path", "error", "message"),
    [
        (Picture(draw(9, 9, 3), draw(9, 9)), "a.jpg", ValueError, "JPEG has no transparency"),
        (Picture(draw(9, 9, 3), exif=bytes(70_000)), "a.jpg", ValueError, "70,000 bytes of Exif"),
        (Picture(draw(9, 9, 3)), "a.bmp", ValueError, "written are .png"),
        (Picture(draw(1, 17_000, 3)), "a.webp", ValueError, "17,000 pixels"),
        (Picture(draw(9, 9, 3)), "absent/a.png", OSError, "a.png cannot be written"),
    ],
)
def test_what_cannot_be_written_is_refused_before_it_is_restored(
    picture, path, error, message, tmp_path
):
    net = Stub(lambda x: pytest.fail("it was restored"))
    with pytest.raises(error, match=message):
        restore_file(net, picture, tmp_path / path)
    assert not [*tmp_path.iterdir()]
