"""`doctor fetch lpips`, from a web server on this machine."""

import hashlib
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pytest

from baselines.pretrained import LinkedWeights
from benchmarks import doctor
from benchmarks.tasks import perceptual

CONTENT = bytes(range(256)) * 9000


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def published(tmp_path, monkeypatch):
    """The file on the server, which stands for the backbone; the cache is empty."""
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "net.pth").write_bytes(CONTENT)
    server = HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}/net.pth"
    digest = hashlib.sha256(CONTENT).hexdigest()
    file = LinkedWeights("MIT", digest, address, size=len(CONTENT))
    monkeypatch.setattr(perceptual, "backbone", lambda: file)
    monkeypatch.setenv("KGT_CACHE", str(tmp_path / "cache"))
    for name in ("KGT_WEIGHTS", "KGT_LPIPS_BACKBONE"):
        monkeypatch.delenv(name, raising=False)
    yield folder / "net.pth"
    server.shutdown()
    thread.join()
    server.server_close()


def kept(tmp_path):
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_one_command_fetches_it_and_says_its_size_first(published, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("kgt.cli._LINE_EVERY_S", 0)
    assert doctor.main(["fetch", "lpips"]) == 0
    target = tmp_path / "cache" / "weights" / "net.pth"
    assert target.read_bytes() == CONTENT
    assert kept(tmp_path) == [target]
    first, *between, last = capsys.readouterr().err.splitlines()
    assert "fetching net.pth from http://127.0.0.1" in first
    assert "(2 MB) (license MIT)" in first
    assert any("net.pth, 100% of all done" in line for line in between)
    assert last.endswith("is complete, and its SHA-256 the published one")
    published.unlink()
    assert doctor.main(["fetch", "lpips"]) == 0
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert perceptual.find_backbone() == target


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"x", CONTENT[:-1], b"", CONTENT + b"x"])
@pytest.mark.parametrize("way", ["address", "file"])
def test_another_file_is_refused_and_nothing_is_kept(published, tmp_path, content, way, capsys):
    published.write_bytes(content)
    arguments = ["--file", str(published)] * (way == "file")
    assert doctor.main(["fetch", "lpips", *arguments]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "is not the file that was published: its SHA-256 is" in last
    assert hashlib.sha256(content).hexdigest() in last
    assert kept(tmp_path) == []


def test_without_a_network_a_copy_is_taken(published, tmp_path, capsys):
    published.rename(tmp_path / "copy.pth")
    assert doctor.main(["fetch", "lpips"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "cannot fetch the weights net.pth from http://" in last
    assert "404" in last
    assert doctor.main(["fetch", "lpips", "--file", str(tmp_path / "absent.pth")]) == 2
    assert "there is no file" in capsys.readouterr().err
    assert doctor.main(["fetch", "lpips", "--file", str(tmp_path / "copy.pth")]) == 0
    assert perceptual.find_backbone().read_bytes() == CONTENT
