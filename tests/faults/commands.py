"""Commands that write files, on inputs that take a second, and what is kept of their results."""

import re
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import yaml
from safetensors.torch import load_file

from benchmarks.records.record import RecordStore
from benchmarks.training.checkpoints import read_checkpoint

ROOT = Path(__file__).parents[2]
MODEL = "swinir-tiny-x2"
RECIPE = {
    "name": "mini",
    "version": 1,
    "tasks": ["sr-x2"],
    "datasets": ["embedded"],
    "images": ["coins", "moon"],
    "held_out": 1,
    "steps": 6,
    "batch": 1,
    "patch": 16,
    "lr": 1e-3,
    "ema": 0.9,
    "checkpoint_every_s": 0,
}


def _draw(path, seed, size=(72, 64)):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    PIL.Image.fromarray(samples).save(path)


def _is_left_over(path):
    """Of a process that was killed while it wrote a file."""
    return path.name.startswith(".") and path.suffix == ".part"


class Command:
    """A command with its inputs in a folder, FOLDER/in, and its results in FOLDER/out."""

    # What is there when it has done something, so that a fault has something to destroy.
    first = "*"
    # What is typed behind the words of a run that is to end.
    last = ()

    def __init__(self):
        self.environment = {}

    def prepare(self, folder):
        (folder / "in").mkdir(parents=True)

    def files(self, folder):
        """Its results, those left over aside."""
        found = (path for path in (folder / "out").rglob("*") if path.is_file())
        return {p.relative_to(folder / "out"): p for p in found if not _is_left_over(p)}

    def check(self, folder, whole):
        """Every file that is there is that of a run that was left alone."""
        for name, path in self.files(folder).items():
            assert path.read_bytes() == (whole / "out" / name).read_bytes(), name

    def check_all(self, folder, whole):
        """As `check`, and none is missing."""
        assert self.files(folder).keys() == self.files(whole).keys()
        self.check(folder, whole)


class Restore(Command):
    def prepare(self, folder):
        for number in range(4):
            _draw(folder / f"in/{number}.png", number)

    def words(self, folder):
        return ["kgt", "restore", folder / "in", "-o", folder / "out", *self.options]

    options = ("--task", "denoise-color", "--force")

    def cut(self, folder):
        path = folder / "in/1.png"
        path.write_bytes(path.read_bytes()[:2000])
        return 3, "1.png"


class Evaluate(Command):
    def prepare(self, folder):
        for number, name in enumerate(("baby", "bird", "butterfly")):
            _draw(folder / f"in/Set5/HR/{name}.png", number)
        self.environment = {"KGT_DATA": str(folder / "in")}

    def words(self, folder):
        out = folder / "out"
        return [
            *("evaluate", "--task", "sr-x4", "--dataset", "Set5", "--model", "bicubic"),
            *("--csv", out / "a.csv", "--save-images", out / "images"),
        ]

    def cut(self, folder):
        path = folder / "in/Set5/HR/bird.png"
        path.write_bytes(path.read_bytes()[:2000])
        return 0, "bird failed"


class Regress(Command):
    def prepare(self, folder):
        (folder / "in").mkdir(parents=True)
        shutil.copy(ROOT / "results/calibration.jsonl", folder / "in")

    def words(self, folder):
        folders = ("--results", folder / "in", "--reports", folder / "out")
        return ["regress", "calibrate", "--from-records", *folders]

    def cut(self, folder):
        path = folder / "in/calibration.jsonl"
        path.write_bytes(path.read_bytes()[:-2000])
        return 2, "calibration.jsonl:"


class Train(Command):
    first = "*/checkpoint.pt"

    def prepare(self, folder):
        (folder / "in").mkdir(parents=True)
        (folder / "in/mini.yaml").write_text(yaml.safe_dump(RECIPE))

    def words(self, folder):
        options = ("--recipe", folder / "in/mini.yaml", "--out", folder / "out", "--workers", "0")
        return ["train", "--model", MODEL, *options]

    def check(self, folder, whole):
        """A checkpoint is whole, and all values are those of a training that was left alone."""
        for name, path in self.files(folder).items():
            if name.suffix == ".pt":
                left, right = read_checkpoint(path), read_checkpoint(whole / "out" / name)
                assert 1 <= left.step <= RECIPE["steps"]
                for kind in ("losses", "validations"):
                    reached, points = getattr(left, kind), getattr(right, kind)
                    assert reached == points[: len(reached)]
                    assert left.step < RECIPE["steps"] or len(reached) == len(points) > 0
            if name.suffix == ".safetensors":
                left, right = load_file(path), load_file(whole / "out" / name)
                assert left.keys() == right.keys()
                assert all(left[key].equal(right[key]) for key in left)

    def cut(self, folder):
        (path,) = (folder / "out").glob(self.first)
        path.write_bytes(path.read_bytes()[:5000])
        return 2, "--fresh"


class Reproduce(Command):
    """It takes half a minute, so it is never waited for: a fault has to stop it."""

    first = "records/*.jsonl"
    last = ("--dry-run",)
    enough = 2000  # bytes of records

    def words(self, folder):
        folders = ("--results", folder / "out", "--reports", folder / "out/reports")
        return ["reproduce", "--table", "3", "--profile", "smoke", *folders]

    def check(self, folder, whole):
        """Every record is whole, but for one that was being written; what is said is recorded."""
        for path in (folder / "out").glob(self.first):
            store = RecordStore(path)
            assert len(store.problems) <= (0 if path.read_bytes().endswith(b"\n") else 1)
            assert len({record.cell for record in store.records}) == len(store.records)
            said = re.findall(r"^\[\d+/\d+\] \w+ (.+)$", (folder / "log").read_text(), re.MULTILINE)
            assert {*said} <= {record.cell.id for record in store.records}

    def check_all(self, folder, whole):
        """As `check`, and the same command would measure the rest alone."""
        self.check(folder, whole)
        recorded = sum(len(RecordStore(path).records) for path in (folder / "out").glob(self.first))
        assert f" {recorded} recorded, " in (folder / "log").read_text()

    def cut(self, folder):
        (path,) = (folder / "out").glob(self.first)
        path.write_bytes(path.read_bytes()[:-300])
        return None, "unreadable record skipped"


COMMANDS = {
    command.__name__.lower(): command for command in (Restore, Evaluate, Regress, Train, Reproduce)
}
