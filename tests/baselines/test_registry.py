import subprocess
import sys

import pytest
import torch

import baselines
from baselines.registry import register

SCALES = (2, 3, 4)
NAMES = [
    "bicubic",
    "identity",
    *(f"swinir-{size}-x{scale}" for size in ("m", "s", "tiny") for scale in SCALES),
    *(f"swinir-upstream-{size}-x{scale}" for size in ("m", "s") for scale in SCALES),
]


def test_models_are_listed_by_name():
    names = baselines.list_models()
    assert names == sorted(names)
    assert set(NAMES) <= set(names)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_every_model_says_what_it_does(name):
    small = {"depths": (2,)} if name.startswith("swinir") else {}
    model = baselines.create_model(name, **small).eval()
    assert isinstance(model.size_multiple, int)
    assert model.task == ("restoration" if name == "identity" else "sr")
    assert name.endswith(f"-x{model.scale}") or name in ("identity", "bicubic")
    y = model(torch.rand(1, model.in_channels, 9, 10))
    assert y.shape == (1, model.in_channels, 9 * model.scale, 10 * model.scale)


def test_fields_are_overridden():
    assert baselines.create_model("bicubic", scale=3).scale == 3
    model = baselines.create_model("swinir-tiny-x2", in_channels=1, num_heads=6)
    assert (model.scale, model.in_channels, model.config.num_heads) == (2, 1, 6)


def test_the_fields_of_a_model_are_told_with_their_defaults():
    assert baselines.model_fields("bicubic") == {"scale": 4, "in_channels": 3}
    baselines.model_fields("bicubic")["scale"] = 2
    assert baselines.create_model("bicubic").scale == 4
    with pytest.raises(ValueError, match=r"'swinir-xl'.*bicubic"):
        baselines.model_fields("swinir-xl")


def test_an_unknown_name_lists_the_valid_ones():
    with pytest.raises(ValueError, match=r"'swinir-xl'.*bicubic.*swinir-m-x4"):
        baselines.create_model("swinir-xl")


@pytest.mark.parametrize(
    "name",
    [
        "malvar",
        "ffdnet-color",
        "nl-means",
        "wiener",
        "blind-deconvolution",
        "dncnn-gray",
        "demosaicnet",
    ],
)
@torch.no_grad()
def test_restoration_keeps_the_size(name):
    model = baselines.create_model(name).eval()
    assert (model.scale, isinstance(model.size_multiple, int)) == (1, True)
    assert model.task in ("denoise", "demosaic", "deblur")
    x = torch.rand(2, model.in_channels, 9, 10)
    y = model(x)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)


def test_importing_the_models_loads_no_library_that_only_some_of_them_use():
    heavy = "{'colour', 'cv2', 'scipy', 'skimage', 'spandrel'}"
    code = f"import sys, baselines; print({heavy} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


@pytest.mark.parametrize("name", ["identity", "swinir-s-x2", "swinir-upstream-m-x4"])
def test_an_unknown_field_lists_the_valid_ones(name):
    with pytest.raises(ValueError, match=r"unknown field of .* 'colour'; valid: .*in_channels"):
        baselines.create_model(name, colour=3)


def test_pretrained_says_how_to_load_weights():
    with pytest.raises(ValueError, match=r"swinir-m-x4.*pretrained=FILE \(--weights FILE\)"):
        baselines.create_model("swinir-m-x4", pretrained=True)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="'identity' is already registered"):
        register("identity")(torch.nn.Identity)
