"""Results band by band."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import kgt
from kgt.tiles.memory import LiveTensorBytes
from kgt.tiles.plan import place_tiles
from tests.kgt.network.gridded import OnGrid, convolutions, whole_numbers, windowed


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


@pytest.mark.parametrize(("tile", "count"), [(None, 1), (100, 1), (32, 12)])
def test_every_tile_is_reported(tile, count):
    done = []
    bands = kgt.restore_bands(
        OnGrid(torch.clone), torch.rand(1, 1, 80, 90), tile, overlap=8, on_progress=done.append
    )
    next(bands)
    assert len(done) < count or count == 1
    list(bands)
    assert done == [number / count for number in range(1, count + 1)]
