"""The workflow that publishes the site."""

import re
import shlex

import yaml

from benchmarks.report.__main__ import _build_parser
from tests.benchmarks.report.site.conftest import ROOT

WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "pages.yml").read_text())
BUILD, PUBLISH = (WORKFLOW["jobs"][name] for name in ("build", "publish"))


def test_the_command_parses_and_its_folder_is_the_one_that_is_published():
    runs = "\n".join(step.get("run", "") for step in BUILD["steps"])
    (command,) = re.findall(r"python -m benchmarks\.report (.+)", runs)
    options = _build_parser().parse_args(shlex.split(command))
    (published,) = [
        s["with"]["path"] for s in BUILD["steps"] if "pages-artifact" in s.get("uses", "")
    ]
    assert str(options.out) == published
    assert "pip install -e '.[site]'" in runs


def test_only_main_is_published_and_rights_are_few():
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "permissions" not in BUILD
    assert PUBLISH["if"] == "github.event_name == 'push'"
    assert PUBLISH["permissions"] == {"pages": "write", "id-token": "write"}
    # YAML 1.1 reads the key "on" as true.
    assert WORKFLOW[True]["push"] == {"branches": ["main"]}


def test_actions_are_pinned_to_a_major_version():
    used = [s["uses"] for job in (BUILD, PUBLISH) for s in job["steps"] if "uses" in s]
    assert len(used) == 4
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", name) for name in used)
