import io
import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from baselines.checkpoints import read_weights

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
    content = read_weights(path)
    assert content["step"] == 3
    torch.testing.assert_close(content["params"], WEIGHTS)


def test_safetensors_are_read(tmp_path):
    save_file(WEIGHTS, tmp_path / "net.safetensors")
    torch.testing.assert_close(read_weights(tmp_path / "net.safetensors"), WEIGHTS)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_refused_and_not_run(tmp_path, zipped):
    path, trace = tmp_path / "net.pth", tmp_path / "ran"
    content = {**WEIGHTS, "extra": Intruder(trace)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"net\.pth asks for .*mkdir.*no code"):
        read_weights(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), "the file must be one that would have run code"


def test_arrays_of_other_libraries_are_refused_with_a_way_out(tmp_path):
    torch.save({"weight": np.zeros(3)}, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"net\.pth asks for numpy.*state_dict"):
        read_weights(tmp_path / "net.pth")


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
            read_weights(path)


@pytest.mark.parametrize(
    "content", [torch.zeros(3), [torch.zeros(3)], {}, 3, {0: torch.zeros(3)}], ids=repr
)
def test_what_has_no_names_is_no_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"net\.pth holds a .* mapping of names to tensors"):
        read_weights(tmp_path / "net.pth")


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
            read_weights(tmp_path / "net.pth")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        read_weights(tmp_path / "absent.pth")
    with pytest.raises(ValueError, match=tmp_path.name):
        read_weights(tmp_path)
