"""The workflow that publishes the site, and how it and the one of regressions link one another."""

import os
import re
import shlex
import shutil
import subprocess

import pytest
import yaml

from benchmarks.report.__main__ import _build_parser
from tests.benchmarks.report.site.conftest import ROOT

FOLDER = ROOT / ".github" / "workflows"
WORKFLOW = yaml.safe_load((FOLDER / "pages.yml").read_text())
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


@pytest.mark.skipif(not shutil.which("jq"), reason="jq encodes the name of the branch")
@pytest.mark.parametrize(
    ("workflow", "step", "other"),
    [("pages", "Where it is", "regression"), ("regression", "Summary", "pages")],
)
def test_summaries_of_a_pull_request_link_the_runs_of_its_branch(workflow, step, other, tmp_path):
    (job, *_) = yaml.safe_load((FOLDER / f"{workflow}.yml").read_text())["jobs"].values()
    (run,) = [found["run"] for found in job["steps"] if found.get("name") == step]
    written = tmp_path / "summary.md"
    environment = {
        "GITHUB_STEP_SUMMARY": str(written),
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "owner/name",
        "GITHUB_RUN_ID": "17",
        "GITHUB_HEAD_REF": "topic/a&b",
    }
    subprocess.run(
        ["bash", "-e", "-c", run], check=True, cwd=tmp_path, env={**os.environ, **environment}
    )
    actions = "https://github.com/owner/name/actions"
    links = re.findall(r"\]\((.+?)\)", written.read_text())
    assert f"{actions}/workflows/{other}.yml?query=branch%3Atopic%2Fa%26b" in links
    assert (f"{actions}/runs/17" in links) == (workflow == "pages")
