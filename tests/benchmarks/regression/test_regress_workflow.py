import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from benchmarks import regress

ROOT = Path(__file__).parents[3]
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "regression.yml").read_text())
STEPS = WORKFLOW["jobs"]["regression"]["steps"]
COMMANDS = re.findall(
    r"python -m benchmarks\.(.*?) \|\|", "\n".join(s.get("run", "") for s in STEPS)
)


def find_step(name):
    return next(step for step in STEPS if step.get("name") == name)


def test_the_commands_of_the_workflow_parse():
    parsed = [
        regress.build_parser().parse_args(shlex.split(command.removeprefix("regress ")))
        for command in COMMANDS
    ]
    assert [options.command for options in parsed] == ["exact", "paired"]
    assert [options.markdown for options in parsed] == ["exact.md", "paired.md"]


def test_history_is_fetched_and_rights_are_few():
    assert STEPS[0]["with"]["fetch-depth"] == 0
    assert WORKFLOW["permissions"] == {"contents": "read"}
    # YAML 1.1 reads the key "on" as true.
    assert list(WORKFLOW[True]) == ["pull_request"]
    assert "concurrency" in WORKFLOW


def test_actions_are_pinned_to_a_major_version():
    actions = [step["uses"] for step in STEPS if "uses" in step]
    assert len(actions) == 3
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in actions)


@pytest.mark.parametrize(
    ("exact", "paired", "code"),
    [
        ("0", "0", 0),
        ("1", "0", 1),
        ("0", "1", 1),
        ("1", "3", 1),
        ("0", "3", 3),
        ("2", "0", 3),
        ("0", "", 3),
        ("", "", 3),
    ],
)
def test_a_regression_and_a_failure_end_differently(exact, paired, code):
    script = find_step("Verdict")["run"]
    outputs = {"EXACT": exact, "PAIRED": paired}
    assert subprocess.run(["bash", "-ec", script], env=outputs, check=False).returncode == code


def test_the_summary_is_written_whatever_happened():
    summary = find_step("Summary")
    assert summary["if"] == "always()"
    assert "exact.md paired.md" in summary["run"]
    assert "GITHUB_STEP_SUMMARY" in summary["run"]
