import json

import pytest
import yaml
from safetensors import safe_open

from benchmarks.train import main
from tests.benchmarks.training.mini import FIELDS

MODEL = "swinir-tiny-x2"


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs the command line on the miniature recipe: code, standard output, standard error."""
    monkeypatch.setattr("benchmarks.training.recipes._RECIPES", tmp_path)
    (tmp_path / "mini.yaml").write_text(yaml.safe_dump({**FIELDS, "steps": 3}))

    def run(arguments="", model=MODEL, recipe="mini"):
        fixed = ["--model", model, "--recipe", recipe, "--out", str(tmp_path / "out")]
        code = main([*fixed, *arguments.split()])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_command_trains_and_prints_json(command, tmp_path):
    code, out, err = command("--json --steps 2")
    result = json.loads(out)
    assert code == 0
    assert "step 2 of 2" in err
    assert result["recipe"] == "mini@1"
    assert result["steps"] == 2
    assert [point["step"] for point in result["losses"]] == [2]
    with safe_open(result["weights"], "pt") as file:
        metadata = file.metadata()
    assert metadata["recipe_digest"] == result["recipe_digest"]
    assert command("--json --steps 2")[1] == out


@pytest.mark.parametrize(
    ("arguments", "names", "message"),
    [
        ("", {"model": "swinir"}, "valid: swinir-"),
        ("", {"recipe": "mega"}, "valid: the path of a YAML file, mini"),
        ("", {"model": "swinir-tiny-x3"}, "of scale 3"),
        ("--steps 0", {}, "steps"),
    ],
)
def test_wrong_use_exits_with_2(command, arguments, names, message):
    code, out, err = command(arguments, **names)
    assert code == 2
    assert message in err
    assert not out


def test_divergence_exits_with_3(command, tmp_path):
    fields = {**FIELDS, "lr": 1e30, "warmup": 0, "clip_grad_norm": None}
    (tmp_path / "mini.yaml").write_text(yaml.safe_dump(fields))
    code, out, err = command()
    assert code == 3
    assert "diverged at step 1" in err
    assert not out
