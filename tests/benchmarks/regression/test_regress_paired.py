import json
from functools import partial
from pathlib import Path

import pytest

from benchmarks import regress
from benchmarks.records.environment import capture_environment
from benchmarks.records.statistics import Ratio, Verdict
from benchmarks.regression import paired, worktree
from benchmarks.regression.comparison import BaseCommitError, PairedResult
from benchmarks.regression.paired import PairedReport
from benchmarks.regression.workloads import list_benchmarks

STEADY = Verdict("SAME", "within the band")
RATIO = Ratio(1.0, 0.99, 1.01, 50)
Result = partial(
    PairedResult,
    status="ok",
    reason="",
    verdict=STEADY,
    ratio=RATIO,
    floor=0.004,
    base_ms=2.0,
    head_ms=2.1,
)


SAME = Result("graph")
SLOWER = Result("attention", verdict=Verdict("SLOWER", "above the band"), confirmed=True)
ONCE = Result("network", verdict=Verdict("SLOWER", "above the band"))
WRONG = PairedResult("output", "wrong-output", "differs | by 3")
FAILED = PairedResult("broken", "failed", "ImportError")
TIMEOUT = PairedResult("endless", "timeout", "after 9 s")


@pytest.fixture
def compare(monkeypatch, capsys):
    """Run the command line on given results, or on an error that is raised."""

    def run(outcome, *arguments):
        def run_paired(base, *, names, budget_s, threshold, timeout_s, on_event, changed_outputs):
            if isinstance(outcome, Exception):
                raise outcome
            on_event(f"{names} {budget_s} {threshold} {timeout_s} {changed_outputs}")
            return PairedReport(base, "f" * 40, True, capture_environment(), outcome)

        monkeypatch.setattr(paired, "run_paired", run_paired)
        code = regress.main(["paired", "--base", "b" * 40, *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.mark.parametrize(
    ("results", "code", "named"),
    [
        ((SAME,), 0, "no regression in 1"),
        ((SAME, ONCE), 0, "no regression in 2"),
        ((SAME, SLOWER), 1, "regression in attention"),
        ((WRONG, SAME), 1, "regression in output"),
        ((FAILED, SLOWER), 3, "could not measure broken; regression in attention"),
        ((SAME, FAILED), 3, "could not measure broken"),
        ((TIMEOUT, SAME), 3, "could not measure endless"),
        ((), 2, "nothing was measured"),
    ],
)
def test_each_outcome_has_its_code(compare, results, code, named):
    found, out, _ = compare(results)
    assert found == code
    assert named in out


def test_a_base_that_does_not_import_is_no_wrong_use(compare):
    code, _, err = compare(BaseCommitError("base commit abc does not import: no module"))
    assert code == 3
    assert "base commit abc does not import" in err
    code, _, err = compare(ValueError("unknown benchmark 'x'"))
    assert code == 2
    assert "unknown benchmark" in err


def test_options_reach_the_measurement(compare):
    options = "--benchmarks graph,attention --budget 3 --threshold 0.05 --timeout 9"
    options += " --changed-outputs graph"
    _, _, err = compare((SAME,), *options.split())
    assert "['graph', 'attention'] 3.0 0.05 9.0 ['graph']" in err
    code, out, _ = compare((), "--list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [*list_benchmarks()]


def test_json_and_summary_hold_every_benchmark(compare, tmp_path):
    summary = tmp_path / "summary.md"
    code, out, _ = compare((SLOWER, ONCE, WRONG), "--json", "--markdown", str(summary))
    assert code == 1
    printed = json.loads(out)
    assert [result["name"] for result in printed["results"]] == ["attention", "network", "output"]
    assert printed["results"][0]["ratio"]["value"] == 1.0
    text = summary.read_text()
    assert text.startswith("### Paired tier: regression in attention, output")
    assert f"Head {'f' * 12} with uncommitted changes against base {'b' * 12}." in text
    assert "| attention | SLOWER, confirmed | 1.000 | [0.990, 1.010] | 0.004 | 2 | 2.1 |" in text
    assert "| network | SLOWER, not confirmed |" in text
    assert "- output: differs \\| by 3" in text
    assert f"python -m benchmarks.regress paired --base {'b' * 12}" in text


def test_the_base_is_where_head_left_main(monkeypatch):
    known = {"origin/main": (1, ""), "main": (0, "abc\n")}

    def answer(command, **_):
        code, out = known[command[-1]]
        return type("Done", (), {"returncode": code, "stdout": out})

    monkeypatch.setattr(worktree.subprocess, "run", answer)
    assert worktree.find_base(Path()) == "abc"
    known["main"] = (128, "")
    with pytest.raises(ValueError, match="--base COMMIT"):
        worktree.find_base(Path())


def test_committed_calibrations_are_what_their_records_render_to(tmp_path, monkeypatch):
    root = Path(regress.__file__).parents[1]
    monkeypatch.chdir(root)
    assert regress.main(["calibrate", "--from-records", "--reports", str(tmp_path)]) == 0
    committed = root / "reports" / "regression.md"
    assert (tmp_path / committed.name).read_bytes() == committed.read_bytes()


@pytest.mark.parametrize(
    ("option", "value", "limit"),
    [
        ("--planted", "5", "'5' is not a share from 0 to 1"),
        ("--planted", "-0.1", "'-0.1' is not a share from 0 to 1"),
        ("--threshold", "nan", "'nan' is not a share from 0 to 1"),
        ("--budget", "inf", "'inf' is not a number of seconds above 0"),
        ("--budget", "x", "'x' is not a number of seconds above 0"),
    ],
)
def test_a_calibration_beyond_the_limits_is_refused(option, value, limit, capsys):
    with pytest.raises(SystemExit) as end:
        regress.main(["calibrate", f"{option}={value}"])
    assert end.value.code == 2
    assert limit in capsys.readouterr().err


def test_calibration_without_records_says_how_to_make_them(tmp_path, capsys):
    arguments = ["calibrate", "--from-records", "--results", str(tmp_path)]
    assert regress.main([*arguments, "--reports", str(tmp_path)]) == 2
    assert "run without --from-records" in capsys.readouterr().err
