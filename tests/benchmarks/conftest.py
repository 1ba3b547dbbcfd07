import pytest
from PIL import Image

from benchmarks.data.datasets import MANIFEST, Split
from benchmarks.tasks import TASKS
from tests.benchmarks.training.mini import DECIMATED


@pytest.fixture
def without_data(monkeypatch):
    """What is trained on is compared with `embedded` and features that ship, which is quick."""
    monkeypatch.delenv("KGT_DATA", raising=False)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Returns a function that makes a train set of images; inputs keep every second pixel."""
    folder = tmp_path / "toy"
    folder.mkdir()
    monkeypatch.setitem(TASKS, "sr-x2", DECIMATED)

    def make(**images):
        for name, pixels in images.items():
            Image.fromarray(pixels).save(folder / f"{name}.png")
        monkeypatch.setitem(MANIFEST, "toy", {"train": Split(str(folder), len(images))})
        return {"datasets": ["toy"], "images": ()}

    return make
