import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from baselines import DemosaicNet, create_model
from baselines.demosaicking import sample_mosaic

MODELS = ["malvar", "menon", "demosaicnet"]
# PSNR in dB by the network code in the wheel itself, given the images mirrored so far that the
# pattern begins with green.
GOLDEN = {"1": 31.5558, "10": 40.9076}


def to_batch(image):
    """A uint8 image [h, w, 3] as [1, 3, h, w] in [0, 1]."""
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 255


def keep_samples(image):
    """The sensor's samples of [h, w, 3] under RGGB, with noise where it has none."""
    mosaic = np.random.default_rng(0).random(image.shape)
    mosaic[0::2, 0::2, 0] = image[0::2, 0::2, 0]
    mosaic[0::2, 1::2, 1] = image[0::2, 1::2, 1]
    mosaic[1::2, 0::2, 1] = image[1::2, 0::2, 1]
    mosaic[1::2, 1::2, 2] = image[1::2, 1::2, 2]
    return mosaic


@pytest.mark.parametrize("name", GOLDEN)
@torch.no_grad()
def test_published_scores_of_demosaicnet(published, read_photo, psnr, name):
    image = to_batch(read_photo("McMaster", name))
    restored = published("demosaicnet")(sample_mosaic(image))
    assert psnr(restored, image) == pytest.approx(GOLDEN[name], abs=1e-3)


def test_malvar_scores_what_is_printed_for_matlab(read_photo, psnr):
    model = create_model("malvar")
    images = [to_batch(read_photo("McMaster", i)) for i in range(1, 19)]
    scores = [(model(image), image) for image in images]
    whole = np.mean([psnr(*pair) for pair in scores])
    inner = np.mean([psnr(*(side[..., 10:-10, 10:-10] for side in pair)) for pair in scores])
    assert whole == pytest.approx(34.460, abs=5e-3)
    assert inner == pytest.approx(34.435, abs=5e-3)


@pytest.mark.parametrize("size", [(2, 2), (9, 12), (40, 33)])
@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_only_the_samples_of_the_sensor_are_looked_at(name, size):
    image = np.random.default_rng(1).random((*size, 3))
    x = torch.from_numpy(np.stack([image, keep_samples(image)])).permute(0, 3, 1, 2)
    model = create_model(name).eval().double()
    y = model(x)
    assert y.shape == x.shape
    torch.testing.assert_close(y[0], y[1])


@pytest.mark.parametrize("name", ["malvar", "menon"])
def test_samples_are_kept_and_gray_areas_stay_gray(name):
    model = create_model(name)
    image = to_batch(astronaut()[:64, 100:165])
    torch.testing.assert_close(sample_mosaic(model(image)), sample_mosaic(image))
    gray = torch.full((1, 3, 9, 8), 0.4)
    torch.testing.assert_close(model(gray), gray)


def test_menon_is_better_than_malvar_on_a_photograph(psnr):
    image = to_batch(astronaut()[:256, :256])
    malvar, menon = (psnr(create_model(name)(image), image) for name in ("malvar", "menon"))
    assert menon > malvar + 1


@pytest.fixture
def passing_through():
    """A demosaicnet that hands on its mosaic."""
    model = DemosaicNet().double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        convolution, _, output = model.fullres_processor
        convolution.weight[range(3), range(3), 1, 1] = 1
        output.weight[range(3), range(3), 0, 0] = 1
    return model


@pytest.mark.parametrize("size", [(64, 64), (35, 40), (40, 35), (33, 33), (3, 2)])
@torch.no_grad()
def test_the_mirror_of_demosaicnet_is_cut_off_again(passing_through, size):
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    torch.testing.assert_close(passing_through(x), sample_mosaic(x))


@pytest.mark.parametrize("size", [(32, 34), (35, 33), (5, 6)])
def test_demosaicnet_sees_a_pattern_that_begins_with_green(size):
    model = DemosaicNet()
    seen = []
    model.main_processor.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(torch.full((1, 3, *size), 0.5))
    (mosaic,) = seen
    assert mosaic.shape[-2] % 2 == mosaic.shape[-1] % 2 == 0
    channel_of = mosaic[0].argmax(0)
    assert torch.equal(mosaic[0].sum(0), torch.full_like(mosaic[0, 0], 0.5))
    expected = torch.tensor([[1, 0], [2, 1]])  # G R / B G
    repeats = (mosaic.shape[-2] // 2, mosaic.shape[-1] // 2)
    assert torch.equal(channel_of, expected.repeat(repeats))


@pytest.mark.parametrize("name", MODELS)
def test_images_too_small_or_of_other_channels_are_refused(name):
    model = create_model(name)
    with pytest.raises(ValueError, match=r"1x5.*2x2"):
        model(torch.rand(1, 3, 1, 5))
    with pytest.raises(ValueError, match="1 channels"):
        model(torch.rand(1, 1, 8, 8))


def test_the_library_does_not_change_how_numpy_prints_numbers():
    program = """
        import numpy as np
        from baselines import create_model
        import torch
        before = np.get_printoptions()
        create_model("malvar")(torch.rand(1, 3, 8, 8))
        assert np.get_printoptions() == before
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)
