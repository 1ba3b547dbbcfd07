import re
from itertools import pairwise, product

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import kgt
from kgt.inference import choose_tile, place_tiles
from kgt.memory import LiveTensorBytes
from kgt.windows import pad_to_multiple


class OnGrid(nn.Module):
    """A function of the padded input as a network."""

    def __init__(self, function, scale=1, size_multiple=1):
        super().__init__()
        self.function, self.scale, self.size_multiple = function, scale, size_multiple

    def forward(self, x):
        height, width = x.shape[-2:]
        y = self.function(pad_to_multiple(x, self.size_multiple))
        return y[..., : self.scale * height, : self.scale * width]


def convolutions(scale, size_multiple):
    """A receptive field of radius 2, with weights that leave whole numbers whole."""
    layers = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, scale**2, 3, padding=1),
        nn.PixelShuffle(scale),
    )
    for parameter in layers.parameters():
        nn.init.uniform_(parameter, -3, 3)
        parameter.data.round_()
    return OnGrid(layers, scale, size_multiple)


def whole_numbers(*shape):
    return torch.randint(0, 256, shape).float()


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("size_multiple", [1, 4])
@pytest.mark.parametrize("size", [(53, 71), (13, 90), (88, 17), (24, 24)])
def test_tiles_equal_the_whole_where_the_network_sees_a_quarter_of_the_overlap(
    scale, size_multiple, size
):
    net = convolutions(scale, size_multiple)
    image = whole_numbers(2, 1, *size)
    with torch.no_grad():
        whole = net(image)
    assert kgt.restore(net, image, 20, overlap=8).equal(whole)


def test_a_network_that_sees_further_differs():
    net, image = convolutions(1, 1), whole_numbers(1, 1, 36, 36)
    assert not kgt.restore(net, image, 20, overlap=4).equal(kgt.restore(net, image))


def windowed(name):
    torch.manual_seed(0)
    fields = {"embed_dim": 12, "heads": 3, "window": 4, "k": 6, "depths": (2,), "bias_hidden": 8}
    return kgt.create_model(name, **fields).eval()


def test_windows_of_tiles_are_windows_of_the_image():
    net = windowed("kgt-tiny-x2")
    image = torch.rand(1, 3, 62, 101)
    # Four convolutions and a window reach 4 + 4 pixels.
    tiled = kgt.restore(net, image, 48, overlap=32)
    torch.testing.assert_close(tiled, kgt.restore(net, image), rtol=0, atol=1e-6)
    shifted = OnGrid(lambda x: net(x.roll((1, 1), (2, 3))), 2)
    assert (kgt.restore(shifted, image, 49, overlap=32) - shifted(image)).abs().max() > 1e-3


@pytest.mark.parametrize("tile", [None, 64, "auto"])
def test_an_image_that_fits_goes_whole(tile):
    net = kgt.create_model("kgt-tiny-deblur", k=16).eval()
    image = torch.rand(1, 3, 50, 61)
    assert kgt.restore(net, image, tile).equal(net(image))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("tile", "overlap"), [(16, 15), (16, 1), (24, 7)])
def test_what_tiles_agree_on_is_kept_to_the_last_bit(dtype, tile, overlap):
    net = OnGrid(lambda x: x.repeat_interleave(3, 2).repeat_interleave(3, 3), 3)
    image = torch.rand(2, 3, 59, 77).to(dtype)
    restored = kgt.restore(net, image, tile, overlap=overlap)
    assert restored.dtype == dtype
    assert restored.equal(net(image))


def test_seams_are_feathered():
    count = iter(range(100))
    net = OnGrid(lambda x: torch.full_like(x, next(count)))
    restored = kgt.restore(net, torch.zeros(1, 1, 32, 80), 32, overlap=16)[0, 0]
    assert next(count) == 4
    # Between two plateaus lie the 8 pixels of half the overlap, on half a period of a cosine.
    assert restored.equal(restored[:1].expand_as(restored))
    steps = restored[0].diff()
    assert steps.count_nonzero() == 3 * 8 + 3
    assert (steps >= 0).all()
    assert steps.max() < 1.6 / 8
    assert restored[0, :20].eq(0).all()
    assert restored[0, -20:].eq(3).all()


def test_nothing_is_taken_from_the_outer_quarter_of_an_overlap():
    image = torch.arange(64.0 * 90).view(1, 1, 64, 90)

    def spoil_inner_edges(x):
        y = x.clone()
        top, left = divmod(int(x[0, 0, 0, 0]), 90)
        bottom, right = divmod(int(x[0, 0, -1, -1]), 90)
        y[..., : 3 if top else 0, :] = torch.nan
        y[..., : 3 if left else 0] = torch.nan
        y[..., y.shape[2] - (3 if bottom < 63 else 0) :, :] = torch.nan
        y[..., y.shape[3] - (3 if right < 89 else 0) :] = torch.nan
        return y

    assert kgt.restore(OnGrid(spoil_inner_edges), image, 32, overlap=12).equal(image)


@pytest.mark.parametrize(("multiple", "overlap"), [(1, 1), (1, 5), (4, 5), (8, 8)])
def test_the_fewest_tiles_cover_every_length_on_the_grid(multiple, overlap):
    net = OnGrid(nn.Identity(), 1, multiple)
    shared = -(-overlap // multiple) * multiple
    for length, extra in product(range(1, 130), range(1, 5)):
        tile = shared + extra * multiple
        starts = place_tiles(net, length, tile, overlap)
        assert starts[0] == 0
        assert all(start % multiple == 0 for start in starts)
        assert all(0 < step <= tile - shared for step in (b - a for a, b in pairwise(starts)))
        padded = -(-length // multiple) * multiple
        assert starts[-1] == max(padded - tile, 0)
        assert len(starts) == 1 or tile + (len(starts) - 2) * (tile - shared) < padded


@pytest.mark.parametrize(
    ("tile", "overlap", "message"),
    [
        (30, 8, "tile = 30.*multiples of 4 .*32 works"),
        (8, 8, "tile = 8.*overlap of 8; 12 works"),
        (16, 0, "overlap = 0.*at least 1"),
    ],
)
def test_wrong_tiles_name_what_works(tile, overlap, message):
    net = OnGrid(nn.Identity(), 1, 4)
    with pytest.raises(ValueError, match=message):
        kgt.restore(net, torch.rand(1, 1, 40, 40), tile, overlap=overlap)


def test_results_carry_no_gradients():
    net = convolutions(2, 1)
    assert not kgt.restore(net, whole_numbers(1, 1, 40, 40), 20, overlap=8).requires_grad


def test_tiles_hold_the_result_a_row_a_seam_and_a_tile():
    net = OnGrid(torch.clone)
    image = torch.rand(1, 1, 580, 1000)
    with LiveTensorBytes() as memory:
        kgt.restore(net, image, 100, overlap=20)
    held = 580 * 1000 + 100 * 1000 + 10 * 1000 + 100 * 100
    assert memory.peak == pytest.approx(4 * held, rel=0.01)


@pytest.mark.parametrize(
    ("name", "size"), [("kgt-tiny-denoise-color", (320, 480)), ("kgt-tiny-x2", (256, 320))]
)
def test_automatic_tiles_keep_to_the_budget(name, size):
    net = kgt.create_model(name).eval()
    image = torch.rand(1, 3, *size)
    with LiveTensorBytes() as memory:
        kgt.restore(net, image)
    whole = memory.peak
    # A byte of tensors is taken for two resident ones.
    assert choose_tile(net, image, byte_budget=int(2.1 * whole)) is None
    budget = whole // 2
    tile = choose_tile(net, image, byte_budget=2 * budget)
    with LiveTensorBytes() as memory:
        kgt.restore(net, image, tile)
    assert 0.5 * budget < memory.peak <= 1.02 * budget


def test_the_smallest_budget_is_named_and_works():
    net = convolutions(2, 4)
    image = torch.rand(3, 1, 300, 200)
    with pytest.raises(ValueError, match=r"byte_budget = 1,000") as error:
        kgt.restore(net, image, "auto", overlap=8, byte_budget=1000)
    least = int(re.search(r"at least ([\d,]+) bytes", str(error.value))[1].replace(",", ""))
    assert choose_tile(net, image, overlap=8, byte_budget=least) == 12
    with pytest.raises(ValueError, match="12 pixels"):
        choose_tile(net, image, overlap=8, byte_budget=least - 1)


def test_automatic_tiles_are_the_smallest_for_their_number():
    net = convolutions(1, 4)
    image = torch.rand(1, 1, 400, 1000)
    with pytest.raises(ValueError, match="at least") as error:
        choose_tile(net, image, byte_budget=1)
    least = int(re.search(r"at least ([\d,]+) bytes", str(error.value))[1].replace(",", ""))
    for budget in range(least, 8 * least, least // 3):
        tile = choose_tile(net, image, byte_budget=budget)
        if tile is None or tile == 36:
            continue
        counts = [
            len(place_tiles(net, length, side))
            for side, length in product((tile, tile - 4), image.shape[-2:])
        ]
        assert counts[:2] != counts[2:]


def restore_by_hand(net, image, tile, overlap):
    """Tiles laid over each other along one dimension after the other, on results held whole."""

    def lay(pieces, starts, dim):
        joined = pieces[0]
        for piece, start in zip(pieces[1:], starts[1:], strict=True):
            shared = joined.shape[dim] - net.scale * start
            middle = -(-shared // 2)
            outer = (shared - middle) // 2
            kept = piece.narrow(dim, outer, piece.shape[dim] - outer)
            old = joined.narrow(dim, net.scale * start + outer, middle)
            phase = (torch.arange(middle) + 0.5) / middle * torch.pi
            weight = (0.5 - 0.5 * phase.cos()).view([-1 if d == dim else 1 for d in (0, 1, 2, 3)])
            seam = torch.lerp(old, kept.narrow(dim, 0, middle), weight)
            joined = torch.cat(
                [
                    joined.narrow(dim, 0, net.scale * start + outer),
                    seam,
                    kept.narrow(dim, middle, kept.shape[dim] - middle),
                ],
                dim,
            )
        return joined

    tops, lefts = (place_tiles(net, length, tile, overlap) for length in image.shape[-2:])
    rows = [
        lay([net(image[..., y : y + tile, x : x + tile]) for x in lefts], lefts, 3) for y in tops
    ]
    return lay(rows, tops, 2)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_bands_are_the_rows_of_the_result_to_the_last_bit(data):
    scale, multiple = data.draw(st.integers(1, 3)), data.draw(st.sampled_from([1, 4]))
    overlap = data.draw(st.integers(1, 9))
    least = -(-overlap // multiple) * multiple + multiple
    tile = least + multiple * data.draw(st.integers(2, 7))
    height, width = data.draw(st.integers(2, 40)), data.draw(st.integers(2, 20))
    net = OnGrid(
        lambda x: nn.functional.interpolate(x, scale_factor=scale) + x.mean((2, 3), keepdim=True),
        scale,
        multiple,
    )
    image = torch.rand(data.draw(st.integers(1, 3)), 2, height, width)
    bands = list(kgt.restore_bands(net, image, tile, overlap=overlap))
    assert all(band.shape[-2] > 0 for band in bands)
    assert torch.cat(bands, dim=2).equal(restore_by_hand(net, image, tile, overlap))
    assert torch.cat(bands, dim=2).equal(kgt.restore(net, image, tile, overlap=overlap))


@pytest.mark.parametrize("size", [(97, 41), (48, 49), (20, 90)])
@pytest.mark.parametrize("batch", [1, 2])
def test_bands_of_a_windowed_network(size, batch):
    net = windowed("kgt-tiny-x2")
    image = torch.rand(batch, 3, *size)
    bands = torch.cat(list(kgt.restore_bands(net, image, 32, overlap=8)), dim=2)
    assert bands.equal(restore_by_hand(net, image, 32, 8))
    assert bands.equal(kgt.restore(net, image, 32, overlap=8))
    assert not bands.requires_grad


def test_a_band_is_yielded_before_the_next_row_is_restored():
    calls = []
    net = OnGrid(lambda x: calls.append(0) or x.clone())
    bands = kgt.restore_bands(net, torch.rand(1, 1, 60, 60), 20, overlap=4)
    seen = [len(calls) for _ in bands]
    assert seen == [4, 8, 12, 16]


def test_bands_belong_to_the_caller():
    net, image = convolutions(2, 1), whole_numbers(1, 1, 50, 30)
    bands = []
    for band in kgt.restore_bands(net, image, 20, overlap=8):
        bands.append(band.clone())
        band.fill_(torch.nan)
    assert torch.cat(bands, dim=2).equal(kgt.restore(net, image, 20, overlap=8))


def test_wrong_tiles_are_told_before_the_first_band():
    with pytest.raises(ValueError, match="32 works"):
        kgt.restore_bands(OnGrid(nn.Identity(), 1, 4), torch.rand(1, 1, 40, 40), 30, overlap=8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bytes_are_converted_as_the_network_takes_them(dtype, tmp_path):
    net = windowed("kgt-tiny-x2").to(dtype)
    torch.randint(0, 256, (1, 3, 50, 40), dtype=torch.uint8).numpy().tofile(tmp_path / "image")
    mapped = torch.from_file(str(tmp_path / "image"), size=6000, dtype=torch.uint8)
    image = mapped.view(1, 3, 50, 40)
    restored = kgt.restore(net, image, 32, overlap=8)
    assert restored.dtype == dtype
    assert restored.equal(kgt.restore(net, image.to(dtype) / 255, 32, overlap=8))


def peak_of_bands(net, image, tile, overlap):
    with LiveTensorBytes() as memory:
        for band in kgt.restore_bands(net, image, tile, overlap=overlap):
            del band
    return memory.peak


def test_bands_take_no_more_for_a_taller_image():
    net = OnGrid(torch.clone)
    # Rows share 20 pixels, of which the middle 10 are the seam.
    peaks = {
        height: peak_of_bands(net, torch.rand(1, 1, height, 900), 100, 20)
        for height in (500, 980, 1940)
    }
    assert len(set(peaks.values())) == 1
    assert peaks[500] == pytest.approx(4 * (100 * 900 + 10 * 900 + 100 * 100), rel=0.02)


def test_bytes_are_converted_tile_by_tile():
    image = torch.randint(0, 256, (1, 1, 500, 900), dtype=torch.uint8)
    peak = peak_of_bands(OnGrid(torch.clone), image, 100, 20)
    assert peak == pytest.approx(4 * (100 * 900 + 10 * 900 + 2 * 100 * 100), rel=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
@pytest.mark.parametrize("budget", [30, 60])
def test_plans_for_bands_keep_to_the_budget(budget, dtype):
    net = windowed("kgt-tiny-x2")
    image = (255 * torch.rand(1, 3, 400, 300)).to(dtype)
    budget *= 2**20
    plan = kgt.plan_tiles(net, image, byte_budget=2 * budget, streamed=True)
    bands = kgt.restore_bands(net, image, "auto", byte_budget=2 * budget)
    with LiveTensorBytes() as memory:
        count = 0
        for band in bands:  # noqa: B007  (a band is held while the next one is made)
            count += 1
    assert count == plan.rows
    assert 0.5 * budget < memory.peak <= 1.02 * budget
    assert plan.needed_bytes <= 2 * budget


def test_plans_for_bands_do_not_depend_on_the_height():
    net = convolutions(2, 4)
    tall, taller = (
        kgt.plan_tiles(
            net,
            torch.empty(1, 1, 1, 1).expand(1, 1, height, 1000),
            byte_budget=20 * 2**20,
            streamed=True,
        )
        for height in (20_000, 200_000)
    )
    assert taller.needed_bytes == pytest.approx(tall.needed_bytes, rel=0.05)
    with pytest.raises(ValueError, match="at least"):
        kgt.plan_tiles(net, torch.empty(1, 1, 1, 1).expand(1, 1, 200_000, 1000))


def test_plans_say_what_they_need():
    net = windowed("kgt-tiny-x2")
    image = torch.rand(1, 3, 400, 300)
    plan = kgt.plan_tiles(net, image, byte_budget=100 * 2**20)
    assert re.fullmatch(
        rf"{plan.rows * plan.columns} tiles of {plan.tile}x{plan.tile}, \d+ MiB of 100 MiB",
        str(plan),
    )
    assert plan.rows == len(place_tiles(net, 400, plan.tile))
    assert plan.columns == len(place_tiles(net, 300, plan.tile))
    assert re.fullmatch(r"whole, \d+ MiB of 2,048 MiB", str(kgt.plan_tiles(net, image)))


@pytest.mark.parametrize("tile", [None, 32])
def test_files_hold_the_restored_pixels(tile, tmp_path):
    net = OnGrid(lambda x: nn.functional.interpolate(x, scale_factor=2) * 1.5 - 0.2, 2)
    image = torch.rand(1, 3, 70, 41)
    done = []
    kgt.restore_to_png(net, image, tmp_path / "a.png", tile, overlap=8, on_band=done.append)
    restored = kgt.restore(net, image, tile, overlap=8)[0].permute(1, 2, 0).double().numpy()
    with PIL.Image.open(tmp_path / "a.png") as file:
        pixels = np.asarray(file)
    assert pixels.shape == (140, 82, 3)
    assert np.array_equal(pixels, np.floor(255 * restored.clip(0, 1) + 0.5))
    assert done == sorted(done)
    assert done[-1] == 1
    assert len(done) == len(list(kgt.restore_bands(net, image, tile, overlap=8)))


def test_a_network_that_fails_leaves_no_file(tmp_path):
    count = iter(range(5))

    def fail_late(x):
        if next(count) == 4:
            raise RuntimeError("late")
        return x.clone()

    with pytest.raises(RuntimeError, match="late"):
        kgt.restore_to_png(OnGrid(fail_late), torch.rand(1, 3, 60, 60), tmp_path / "a.png", 40)
    assert not [*tmp_path.iterdir()]


def test_files_take_one_image(tmp_path):
    with pytest.raises(ValueError, match="2 images"):
        kgt.restore_to_png(OnGrid(torch.clone), torch.rand(2, 3, 8, 8), tmp_path / "a.png")


def test_files_hold_no_values_that_are_not_finite(tmp_path):
    net = OnGrid(lambda x: x / x.new_zeros(()))
    with pytest.raises(ValueError, match="NaN or infinite"):
        kgt.restore_to_png(net, torch.rand(1, 3, 8, 8), tmp_path / "a.png")
    assert not [*tmp_path.iterdir()]
