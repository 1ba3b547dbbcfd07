import numpy as np
import pytest
import torch
from colour_demosaicing import demosaicing_CFA_Bayer_Malvar2004

from kgt.pictures.mosaic import interpolate_malvar


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (2, 2), (3, 2), (5, 9), (40, 33)])
def test_it_is_that_of_colour_demosaicing_with_mirrored_borders(size, bits):
    mosaic = np.random.default_rng(0).integers(0, 2**bits, size)
    image = interpolate_malvar(torch.from_numpy(mosaic).float())
    # The library repeats the border pixels, which puts samples at positions of other colors.
    mirrored = np.pad(mosaic.astype(np.float64), 2, mode="reflect")
    expected = demosaicing_CFA_Bayer_Malvar2004(mirrored, "RGGB")[2:-2, 2:-2]
    assert np.array_equal(image.permute(1, 2, 0).numpy(), expected)


def test_samples_of_the_sensor_stay():
    mosaic = torch.rand(7, 10)
    red, green, blue = interpolate_malvar(mosaic)
    assert red[::2, ::2].equal(mosaic[::2, ::2])
    assert green[::2, 1::2].equal(mosaic[::2, 1::2])
    assert green[1::2, ::2].equal(mosaic[1::2, ::2])
    assert blue[1::2, 1::2].equal(mosaic[1::2, 1::2])


def test_a_flat_color_is_found():
    mosaic = torch.empty(8, 8)
    mosaic[::2, ::2], mosaic[1::2, 1::2] = 10, 30
    mosaic[::2, 1::2] = mosaic[1::2, ::2] = 20
    # Green stands twice; each filter sums to 1 over samples of its color, and to 0 over others.
    image = interpolate_malvar(mosaic)
    assert image.equal(torch.tensor([10.0, 20.0, 30.0]).view(3, 1, 1).expand(3, 8, 8))
