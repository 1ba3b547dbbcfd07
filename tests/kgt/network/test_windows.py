import pytest
import torch

from kgt.network.windows import (
    check_image,
    cyclic_regions,
    merge_windows,
    pad_to_multiple,
    partition_windows,
)


def test_partition_cuts_in_raster_order_and_merge_undoes_it():
    x = torch.arange(2 * 6 * 9).view(2, 6, 9, 1)
    windows = partition_windows(x, 3)
    assert windows.shape == (12, 9, 1)
    assert windows[1].flatten().tolist() == x[0, :3, 3:6].flatten().tolist()
    assert windows[6].flatten().tolist() == x[1, :3, :3].flatten().tolist()
    assert merge_windows(windows, 3, 6, 9).equal(x)
    with pytest.raises(ValueError, match="6x8"):
        partition_windows(x[:, :, :8], 3)


def test_padding_mirrors_without_the_edge_pixel_and_only_the_deficit():
    x = torch.arange(5.0).view(1, 1, 1, 5).expand(1, 1, 8, 5)
    padded = pad_to_multiple(x, 4)
    assert padded.shape == (1, 1, 8, 8)
    assert padded[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 3, 2, 1]
    assert pad_to_multiple(padded, 4) is padded


def test_padding_longer_than_the_image_reflects_again():
    x = torch.arange(3.0).view(1, 1, 1, 3).expand(1, 1, 3, 3)
    assert pad_to_multiple(x, 8)[0, 0, 0].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]


@pytest.mark.parametrize("offsets", [(2, 2), (0, 2), (3, 1)])
def test_regions_join_exactly_the_tokens_that_were_neighbors(offsets):
    height, width, window = 8, 12, 4
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    position = torch.stack([rows, columns], -1)[None]
    rolled = position.roll([-o for o in offsets], dims=(1, 2))
    tokens = partition_windows(rolled, window)
    regions = cyclic_regions(height, width, window, *offsets, torch.device("cpu"))
    near = (tokens[:, :, None] - tokens[:, None]).abs().amax(-1) < window
    assert (regions[:, :, None] == regions[:, None]).equal(near)


def test_regions_cached_under_inference_mode_serve_training():
    with torch.inference_mode():
        regions = cyclic_regions(16, 16, 4, 1, 1, torch.device("cpu"))
    assert not regions.is_inference()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.rand(3, 8, 8), r"\[3, 8, 8\]"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "uint8"),
        (torch.rand(1, 3, 0, 8), "empty"),
        (torch.rand(1, 4, 8, 8), "4 channels"),
        (torch.rand(1, 3, 7, 9), "7x9.*8x8"),
        (torch.full((1, 3, 8, 8), float("nan")), "NaN"),
    ],
)
def test_bad_images_are_named(x, message):
    with pytest.raises(ValueError, match=message):
        check_image(x, 3, 8)


@pytest.mark.parametrize("size", [(1, 4), (4, 1), (1, 1)])
def test_one_pixel_cannot_be_reflected(size):
    with pytest.raises(ValueError, match=f"{size[0]}x{size[1]} pixels cannot be padded"):
        pad_to_multiple(torch.zeros(1, 3, *size), 4)
    assert pad_to_multiple(torch.zeros(1, 3, *size), 1).shape[-2:] == size
