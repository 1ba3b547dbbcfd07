import numpy as np
import PIL.Image
import pytest
from safetensors.torch import save_model

import baselines
import kgt
from baselines.__main__ import NETWORKS
from kgt.command import main


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a picture, and random weights where trained ones ship."""
    weights = tmp_path / "weights"
    weights.mkdir()
    monkeypatch.setattr("baselines.registry.WEIGHTS", weights)
    for name in ("swinir-tiny-x4", "swinir-tiny-demosaic"):
        network = baselines.create_model(name)
        save_model(network, str(weights / f"{name}.safetensors"), {"model": name})
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, shape in (("color", (9, 14, 3)), ("gray", (10, 8))):
        PIL.Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(f"{name}.png")
    return tmp_path


def restore(*arguments):
    return main(["restore", *arguments], NETWORKS)


@pytest.mark.parametrize(
    ("task", "picture", "size"), [("sr-x4", "color", (56, 36)), ("demosaic", "gray", (8, 10))]
)
def test_a_file_becomes_what_python_makes_of_it(task, picture, size, here):
    assert restore(f"{picture}.png", "-o", "out.png", "--task", task) == 0
    network = baselines.create_model(NETWORKS.default(task), pretrained=True).eval()
    expected = kgt.restore_picture(network, f"{picture}.png")
    made = kgt.Picture.read("out.png")
    assert made.size == size
    assert made.pixels.shape[-1] == 3
    assert np.array_equal(made.pixels, expected.pixels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task=sr-x4", "--k=8"], "swinir-tiny-x4 has no number of keys"),
        (
            ["--task=deblur"],
            "no trained weights ship for 'deconvolved-swinir-tiny-deblur'",
        ),
        (["--task=sr-x4", "--model=kgt-tiny-x4"], "python -m kgt restore"),
        (["--task=deblur", "--model=swinir-tiny-x4"], "such as deconvolved-swinir-tiny-deblur"),
    ],
)
def test_wrong_use_is_told(arguments, message, here, capsys):
    assert restore("color.png", "-o", "out.png", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (here / "out.png").exists()
