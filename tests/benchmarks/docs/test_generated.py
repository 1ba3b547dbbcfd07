import re
from pathlib import Path

import matplotlib as mpl
import pytest

from benchmarks.docs.__main__ import main
from benchmarks.docs.method import draw_method
from benchmarks.docs.zoo import render_models

DOCS = Path(__file__).parents[3] / "docs"


def test_committed_picture_of_the_method_is_what_the_code_draws():
    committed = (DOCS / "method.svg").read_text()
    drawn_by = re.search(r"Matplotlib v([\w.]+)", committed)[1]
    if drawn_by != mpl.__version__:
        pytest.skip(f"the picture was drawn by matplotlib {drawn_by}, here is {mpl.__version__}")
    assert draw_method() == committed


def test_committed_page_of_models_is_what_records_and_weights_say():
    assert render_models() == (DOCS / "models.md").read_text()


def test_the_command_writes_both(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "docs")]) == 0
    written = sorted(path.name for path in (tmp_path / "docs").iterdir())
    assert written == ["method.svg", "models.md"]
    out = capsys.readouterr().out
    assert all(name in out for name in written)
