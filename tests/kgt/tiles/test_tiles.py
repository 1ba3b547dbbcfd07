import re
from itertools import pairwise, product

import pytest
import torch
from torch import nn

import kgt
from kgt.tiles.memory import LiveTensorBytes
from kgt.tiles.plan import choose_tile, place_tiles
from tests.kgt.network.gridded import OnGrid, convolutions, whole_numbers, windowed


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
    net = kgt.create_model("kgt-tiny-weather", k=16).eval()
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


@pytest.mark.slow
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
