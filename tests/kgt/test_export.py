import json
import sys

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import kgt
from kgt import export
from kgt.command import main
from kgt.errors import Failure
from tests.small_networks import NETWORKS, build


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run_onnx(path, image):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["restored"], {"image": image.numpy()})[0])


@torch.no_grad()
def check(network, run, *sizes):
    for size in sizes:
        image = torch.rand(1, 3, *size)
        torch.testing.assert_close(run(image), network(image), rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_one_file_restores_images_of_any_size(name):
    network = build(name)
    assert export.export_network(network, "any.onnx") < 1e-5
    one = network.size_multiple
    sizes = (one, one), (one + 3, 3 * one), (4 * one - 1, 2 * one), (64, 64)
    check(network, lambda image: run_onnx("any.onnx", image), *sizes)
    model = onnx.load("any.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert [imported.domain for imported in model.opset_import] == [""]


@pytest.mark.parametrize("backend", ["auto", pytest.param("torch-gather", marks=pytest.mark.slow)])
def test_a_file_for_one_size(backend):
    network = build("kgt-tiny-x4")
    network.set_backend(backend)
    assert export.export_network(network, "one.onnx", (10, 7)) < 1e-5
    check(network, lambda image: run_onnx("one.onnx", image), (10, 7))
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        run_onnx("one.onnx", torch.rand(1, 3, 11, 7))


@pytest.mark.slow
def test_a_program_of_torch_for_any_size():
    network = build("swinir-tiny-jpeg-color")
    assert export.export_network(network, "any.pt2") < 1e-5
    check(network, torch.export.load("any.pt2").module(), (9, 23), (40, 16))


def test_a_backend_of_its_own_operators_is_not_exported():
    network = build("kgt-tiny-x4")
    network.set_backend("native")
    with pytest.raises(ValueError, match="operators that no runtime but torch has"):
        export.export_network(network, "x.pt2", (16, 16))


@pytest.mark.slow
def test_exporting_leaves_the_network_as_it_is():
    network = build("swinir-tiny-x4").train()
    image = torch.rand(1, 3, 8, 8)
    before = network(image)
    export.export_network(network, "x.pt2", (8, 8))
    assert network.training
    assert network(image).equal(before)


def test_results_that_differ_are_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_MOST_DIFFERENCE", -1.0)
    with pytest.raises(Failure, match=r"x\.pt2 is not written: its results differ by up to"):
        export.export_network(build("swinir-tiny-x4"), "x.pt2", (8, 8))
    assert list(tmp_path.iterdir()) == []


def test_the_command_exports_trained_weights(capsys):
    command = ["export", "kgt-tiny-x4:k=32", "-o", "new/x4.pt2", "--input", "16x24", "--json"]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["model"], found["out"]) == ("kgt-tiny-x4:k=32", "new/x4.pt2")
    assert found["weights"] is None
    assert found["difference"] < 1e-5
    network = kgt.create_model("kgt-tiny-x4", pretrained=True, k=32).eval()
    check(network, torch.export.load("new/x4.pt2").module(), (16, 24))
    assert main(command) == 2
    assert "x4.pt2 exists; --force overwrites it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kgt-tiny-x5", "-o", "x.onnx"], "valid: kgt-tiny-x4, "),
        (["kgt-tiny-x4", "-o", "x.onx"], "unknown suffix '.onx'; valid: .onnx, .pt2"),
        (["kgt-s-x4", "-o", "x.onnx"], "no trained weights ship for 'kgt-s-x4'"),
        (["kgt-tiny-x4", "-o", "x.onnx", "--input", "8x64"], "smaller than one window of 16x16"),
    ],
)
def test_wrong_use_is_one_line(arguments, message, capsys, tmp_path):
    assert main(["export", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_names_the_extra(package, capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["export", "kgt-tiny-x4", "-o", "x.onnx", "--input", "16x16"]) == 2
    assert "pip install 'kgt[export]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_without_onnxruntime_nothing_is_compared(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert export.export_network(build("swinir-tiny-x4"), "x.onnx", (8, 8)) is None


@pytest.mark.parametrize("name", ["bicubic", "blind-deconvolution"])
def test_what_computes_outside_of_torch_is_refused_first(name, tmp_path, capsys):
    file = tmp_path / "folder" / "x.pt2"
    assert main(["export", name, "-o", str(file), "--input", "16x16"]) == 2
    assert "cannot be exported: classical methods" in capsys.readouterr().err
    assert not file.parent.exists()


def test_what_torch_cannot_export_is_one_line(tmp_path):
    class Growing(nn.Module):
        scale, in_channels, size_multiple = 1, 1, 8

        def __init__(self):
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return x + float(x.numpy().mean()) + self.bias

    with pytest.raises(Failure, match=r"^torch cannot export this network: [^\n]*$"):
        export.export_network(Growing().requires_grad_(False), tmp_path / "x.pt2", (16, 16))
    assert not (tmp_path / "x.pt2").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["export", "kgt-tiny-x4", "-o", str(tmp_path / "file" / "x.pt2")]) == 3
    assert f"cannot make the folder {tmp_path / 'file'}" in capsys.readouterr().err
