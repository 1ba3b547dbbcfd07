"""Command lines: each is carried out, or refused in one line, with the exit code that is due."""

import io
import os
import shlex
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from unittest import mock

import PIL.Image
import yaml
from hypothesis import strategies as st

import kgt.command
from benchmarks import doctor, evaluate, regress, reproduce, train
from benchmarks.docs import __main__ as docs_command
from benchmarks.measure import __main__ as measure_command
from benchmarks.sweep import __main__ as sweep_command
from kgt.cli import Exit
from tests.benchmarks.training.mini import FIELDS
from tests.fuzzing.mutation import kept

SUFFIX, CASES = ".txt", 12
_MAINS = {
    "kgt": kgt.command.main,
    "docs": docs_command.main,
    "doctor": doctor.main,
    "evaluate": evaluate.main,
    "measure": measure_command.main,
    "regress": regress.main,
    "reproduce": reproduce.main,
    "sweep": sweep_command.main,
    "train": train.main,
}
# Where exit code 1 means that something fell short, never that the command failed.
_JUDGES = ("doctor", "regress", "reproduce", "sweep")
# Words before the bar stay, so that what takes long is never begun.
_LINES = (
    "kgt | restore picture.png -o out.png --task denoise-color --tile 32",
    "kgt | restore pictures -o out --task jpeg-color --json --force",
    "kgt | restore picture.png -o out.tif --task sr-x4 --k 8 --model kgt-tiny-x4:k=8",
    "kgt | restore picture.png -o a.webp --task jpeg-color --model swinir-tiny-jpeg-color",
    "kgt | list --pretrained",
    "kgt | info kgt-tiny-x4 --json",
    "doctor data | --json",
    "evaluate | --task denoise-color-s25 --dataset Set5 --model kgt-tiny-denoise-color --csv a.csv",
    "evaluate | --task sr-x4 --dataset Set5 --model bicubic --against bicubic --json",
    "evaluate | --task sr-x2 --dataset Set5 --model bicubic --save-images o --tile 9 --overlap 3",
    "evaluate | --task sr-x4 --dataset Set5 --checkpoint mini.yaml --protocol sr-y601-crop-scale@1",
    "measure cost | --models kgt-tiny-x4,swinir-tiny-x4:window=8 --input 32x32 --json",
    "measure graph --structure | --tokens 64,16 --k 4 --windows 2 --graph random --channels 12",
    "measure attention --budget 0.05 | --tokens 64 --k 4 --windows 1 --backends native,dense",
    "regress history | records.jsonl records.jsonl --compare",
    "regress history | old.json --side-by-side records.jsonl --json",
    "regress paired --list | --base HEAD --benchmarks graph --threshold 0.1 --markdown -",
    "regress calibrate --from-records | --results results --reports reports --json",
    "reproduce --dry-run | --table 8 --profile smoke --results results --reports reports --json",
    "reproduce --from-records | --table 8 --profile smoke --results results --reports reports",
    "reproduce --from-records | --study method --json",
    "reproduce --list |",
    "sweep --dry-run | --study small --profile cpu --workers 2 --results results --reports reports",
    "train | --model kgt-tiny-x2:k=4 --recipe mini.yaml --out runs --workers 0 --steps 1 --seed 3",
    "train | --model kgt-tiny-x2 --recipe mini.yaml --out runs --stale restart --fresh --workers 0",
)  # fmt: skip
_ODD = (
    *("", " ", "-", "--", "-1", "0", "1", "2.5", "1e9", "nan", "9" * 5000, "2147483648", "10" * 20),
    *("x", "é", "\udcff", "a\nb", "a\0b", "[/red]x", "%s", "{0}", "*", "**", "[", "x" * 300),
    *("--help", "--json", "--force", "--unknown", "--workers", "--k=0", "--model", "--out", "@x"),
    *("picture.png", "pictures", "mini.yaml", "records.jsonl", "old.json", "absent.png", "."),
    *("..", "out/", "out.png/x", "a.jpg", "a.png", "mini.yaml/x", "auto", "whole", "cuda", "all"),
    *("kgt-tiny-x4:k=[", "kgt-tiny-x4:window=x", "kgt-tiny-x4:depths=1", "kgt-tiny-x2:embed_dim=0"),
    *("denoise", "64x64x64", "0x0", "16x-1", "semanir:3", ":", "=", ",", "4,", ",4", "graph,graph"),
)  # fmt: skip


@st.composite
def _lines(draw):
    kept_words, _, rest = draw(st.sampled_from(_LINES)).partition("|")
    words = rest.split()
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(words)))
        how = draw(st.sampled_from(["replace", "insert", "drop", "append"]))
        odd = draw(st.sampled_from(_ODD))
        if how == "insert":
            words.insert(at, odd)
        elif how == "replace":
            words[at : at + 1] = [odd]
        elif how == "append" and at < len(words):
            words[at] += odd
        else:
            del words[at : at + 1]
    return shlex.join([*kept_words.split(), *words]).encode("utf-8", "surrogateescape")


INPUTS = _lines()
if kept("commands"):
    INPUTS |= st.sampled_from(kept("commands"))


@cache
def _files():
    """What lies in the folder in which the commands run."""
    root, stream = Path(__file__).parents[2] / "results", io.BytesIO()
    PIL.Image.effect_noise((24, 20), 50).convert("RGB").save(stream, "PNG")
    records = (root / "records/table8-smoke.jsonl").read_bytes()
    images = {f"data/Set5/HR/{name}.png": stream.getvalue() for name in ("baby", "bird")}
    return {
        "picture.png": stream.getvalue(),
        "pictures/a.png": stream.getvalue(),
        "pictures/deep/b.png": stream.getvalue()[:99],
        "mini.yaml": yaml.safe_dump({**FIELDS, "steps": 2, "images": ["coins"]}).encode(),
        "records.jsonl": records,
        "results/records/table8-smoke.jsonl": records,
        "results/calibration.jsonl": (root / "calibration.jsonl").read_bytes(),
        "old.json": b'{"benchmarks": [{"name": "x"}]}',
        **images,
    }


def attempt(data, folder):
    name, *words = shlex.split(data.decode("utf-8", "surrogateescape"))
    home = folder / "a/b"  # so that .. is a folder of its own
    for path, content in _files().items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_bytes(content)
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", how) for how in ("strict", "replace"))
    with (
        mock.patch.dict(os.environ, KGT_DATA=str(home / "data")),
        mock.patch("traceback.print_exc", _raise_again),
        _within(home),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            code = _MAINS[name](words)
        except SystemExit as end:
            code = end.code
    err.flush()
    said = err.buffer.getvalue().decode()
    assert code in (None, *Exit), f"exit {code}"
    assert code != Exit.FELL_SHORT or name in _JUDGES, f"exit 1 of {name}"
    assert "Traceback" not in said, said[-2000:]
    assert code in (None, 0, 1) or said.strip(), f"exit {code}, without a word"
    assert max(map(len, said.splitlines()), default=0) < 8000, "a line without end"


def _raise_again():
    """What would end in a traceback is what the harness must see."""
    raise sys.exc_info()[1]


@contextmanager
def _within(folder):
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
