import io
import os
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from kgt.checkpoints import bare_name, load_weights, read_checkpoint

WEIGHTS = {"weight": torch.arange(12.0).view(3, 4), "bias": torch.ones(3)}


class Intruder:
    """Leaves a folder behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_and_plain_values_are_read(tmp_path, zipped):
    path = tmp_path / "net.pth"
    torch.save({"params": WEIGHTS, "step": 3}, path, _use_new_zipfile_serialization=zipped)
    torch.testing.assert_close(read_checkpoint(path).tensors, WEIGHTS)


def test_safetensors_are_read(tmp_path):
    save_file(WEIGHTS, tmp_path / "net.safetensors", {"model": "kgt-tiny-x4:k=3"})
    checkpoint = read_checkpoint(tmp_path / "net.safetensors")
    torch.testing.assert_close(checkpoint.tensors, WEIGHTS)
    assert checkpoint.parse_model() == ("kgt-tiny-x4", {"k": 3})


@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_refused_and_not_run(tmp_path, zipped):
    path, trace = tmp_path / "net.pth", tmp_path / "ran"
    content = {**WEIGHTS, "extra": Intruder(trace)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"net\.pth asks for .*mkdir.*no code"):
        read_checkpoint(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), "the file must be one that would have run code"


def test_arrays_of_other_libraries_are_refused_with_a_way_out(tmp_path):
    torch.save({"weight": np.zeros(3)}, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"net\.pth asks for numpy.*state_dict"):
        read_checkpoint(tmp_path / "net.pth")


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_a_file_cut_anywhere_is_named(tmp_path, kind):
    path = tmp_path / f"net.{'safetensors' if kind == 'safetensors' else 'pth'}"
    if kind == "safetensors":
        save_file(WEIGHTS, path)
    else:
        torch.save(WEIGHTS, path, _use_new_zipfile_serialization=kind == "zip")
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=path.name):
            read_checkpoint(path)


@pytest.mark.parametrize(
    "content", [torch.zeros(3), [torch.zeros(3)], {}, 3, {0: torch.zeros(3)}], ids=repr
)
def test_what_has_no_names_is_no_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"net\.pth holds a .* mapping of names to tensors"):
        read_checkpoint(tmp_path / "net.pth")


@pytest.mark.filterwarnings("ignore:.*(torch.jit|TorchScript)")
def test_other_files_are_no_checkpoints(tmp_path):
    compiled = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), compiled)
    for content in (
        b"no weights at all" * 9,
        b"\x89PNG\r\n\x1a\n" + bytes(99),
        compiled.getvalue(),
    ):
        (tmp_path / "net.pth").write_bytes(content)
        with pytest.raises(ValueError, match=r"net\.pth"):
            read_checkpoint(tmp_path / "net.pth")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"there is no checkpoint .*absent"):
        read_checkpoint(tmp_path / "absent.pth")
    with pytest.raises(ValueError, match=tmp_path.name):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("conv.weight", "conv.weight"),
        ("module.conv.weight", "conv.weight"),
        ("_orig_mod.conv.weight", "conv.weight"),
        ("module._orig_mod.conv.weight", "conv.weight"),
        ("_orig_mod.module.conv.weight", "conv.weight"),
        ("module.module.conv.weight", "conv.weight"),
        ("netG.module.conv.weight", "conv.weight"),
        ("layers._orig_mod.0.module.weight", "layers.0.module.weight"),
        ("modules.weight", "modules.weight"),
        ("_orig_mods.weight", "_orig_mods.weight"),
    ],
)
def test_names_lose_those_of_wrappers(name, bare):
    assert bare_name(name) == bare


def test_what_wrappers_of_torch_save_is_read(tmp_path):
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    wrapped = nn.DataParallel(torch.compile(net))
    average = AveragedModel(net)
    for state in (wrapped.state_dict(), average.state_dict(), {"ema": average.state_dict()}):
        torch.save(state if "ema" in state else {"state_dict": state}, tmp_path / "net.pth")
        torch.testing.assert_close(
            dict(read_checkpoint(tmp_path / "net.pth").tensors), dict(net.state_dict())
        )


@pytest.mark.parametrize("wrapper", ["params", "state_dict", "model", "net", "generator"])
def test_parameters_are_found_beside_other_things(tmp_path, wrapper):
    content = {"epoch": 3, "ema": None, wrapper: WEIGHTS, "optimizer": {"state": {}, "lr": 1.0}}
    torch.save(content, tmp_path / "net.pth")
    torch.testing.assert_close(read_checkpoint(tmp_path / "net.pth").tensors, WEIGHTS)


def test_averages_are_preferred(tmp_path):
    others = {name: value + 1 for name, value in WEIGHTS.items()}
    for average, plain in (("params_ema", "params"), ("ema", "model")):
        torch.save({plain: others, average: WEIGHTS}, tmp_path / "net.pth")
        torch.testing.assert_close(read_checkpoint(tmp_path / "net.pth").tensors, WEIGHTS)


def test_a_parameter_that_is_there_twice_is_refused(tmp_path):
    torch.save({"weight": torch.zeros(1), "module.weight": torch.ones(1)}, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"net\.pth holds parameters twice"):
        read_checkpoint(tmp_path / "net.pth")


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(1).expand(10**12),
        torch.zeros(3).to_sparse(),
        torch.zeros(3, device="meta"),
        "three",
        3,
    ],
    ids=["expanded", "sparse", "meta", "text", "number"],
)
def test_what_is_no_plain_tensor_is_named(tmp_path, value):
    torch.save({"bias": torch.zeros(3), "weight": value}, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"net\.pth is no checkpoint .*: weight holds no tensor"):
        read_checkpoint(tmp_path / "net.pth")


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused(tmp_path):
    torch.save({"weight": torch.zeros(10**6)}, tmp_path / "plain.pth")
    packed = zipfile.ZipFile(tmp_path / "net.pth", "w", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(tmp_path / "plain.pth") as plain, packed:
        for member in plain.namelist():
            packed.writestr(member, plain.read(member))
    with pytest.raises(ValueError, match=r"net\.pth.* unpack to 4,0"):
        read_checkpoint(tmp_path / "net.pth")


class Layer(nn.Linear):
    """A layer with a value that no state dict holds."""

    def __init__(self):
        super().__init__(4, 3)
        self.register_buffer("index", torch.arange(5), persistent=False)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"bias": None}, r"missing: bias \[3\]"),
        ({"scale": torch.ones(2)}, r"left over: scale \[2\]"),
        ({"weight": torch.ones(4, 3)}, r"other shapes: weight \[4, 3\] instead of \[3, 4\]"),
        ({"bias": torch.ones(3, dtype=torch.int64)}, r"other types: bias torch.int64 instead of"),
        ({"bias": torch.ones(3, dtype=torch.complex64)}, r"other types: bias torch.complex64"),
        ({"index": torch.zeros(5)}, "other values: index"),
        ({"index": torch.arange(4)}, "other values: index"),
        (
            {f"extra{index}": torch.ones(index) for index in range(9)},
            r"left over: extra0 \[0\], extra1 \[1\], extra2 \[2\] and 6 more",
        ),
    ],
)
def test_what_differs_is_named_in_one_line_and_nothing_is_loaded(tmp_path, changes, fault):
    network = Layer()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    content = {name: value for name, value in {**WEIGHTS, **changes}.items() if value is not None}
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=rf"net\.pth does not fit this Layer: .*{fault}") as error:
        load_weights(network, tmp_path / "net.pth")
    assert "\n" not in str(error.value)
    torch.testing.assert_close(dict(network.state_dict()), before)


def test_derived_values_that_are_equal_may_be_there(tmp_path):
    network = Layer()
    torch.save({**WEIGHTS, "index": torch.arange(5)}, tmp_path / "net.pth")
    load_weights(network, tmp_path / "net.pth")
    torch.testing.assert_close(dict(network.state_dict()), WEIGHTS)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_weights_of_another_precision_are_converted(tmp_path, dtype):
    network = Layer()
    torch.save({name: value.to(dtype) for name, value in WEIGHTS.items()}, tmp_path / "net.pth")
    load_weights(network, tmp_path / "net.pth")
    torch.testing.assert_close(dict(network.state_dict()), WEIGHTS)
