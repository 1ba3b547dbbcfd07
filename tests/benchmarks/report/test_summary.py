"""What studies found, in a sentence each, and the page that sums them up."""

import os
import re
from pathlib import Path

import pytest

from benchmarks import reproduce
from benchmarks.plan.specs import get_spec
from benchmarks.records.environment import capture_environment
from benchmarks.records.record import RecordStore
from benchmarks.report.claims import answer_study
from benchmarks.report.judgment import ANSWERS
from benchmarks.report.summary import PAGE, STUDIES, write_summary
from tests.benchmarks.report.test_training_claims import LARGE, NETWORK, REBUILT, train

ROOT = Path(__file__).parents[3]


def answer(study, *pairs):
    return answer_study(get_spec(study, kind="study"), dict(pairs))


def test_every_study_of_the_page_has_an_answer_and_says_so_without_records():
    assert set(ANSWERS) == set(STUDIES)
    assert {answer(study) for study in STUDIES} == {"Not measured yet."}
    assert answer_study(get_spec("8"), {}) == ""
    assert answer_study(get_spec("small", kind="study"), {}) == ""


def test_answers_count_verdicts_and_span_the_differences():
    cosine = f"{LARGE}:similarity=cosine"
    pairs = [
        *(train(LARGE, 30.0) + train(cosine, 30.2)),
        *(train(LARGE, 30.0, dataset="McMaster") + train(cosine, 29.9, dataset="McMaster")),
        *(train(LARGE, 30.0, dataset="Urban100") + train(cosine, 30.0, dataset="Urban100")),
    ]
    assert answer("keys", *pairs) == (
        "Of 3 differences, 1 holds, 1 fails, 1 undecided, -0.10 dB to +0.20 dB. By claim: keys "
        "by cosine restore better than as many by dot (1 holds, 1 fails, 1 undecided, -0.10 dB "
        "to +0.20 dB)."
    )
    # A study answers by its own claims alone.
    assert answer("sharing", *pairs) == "Not measured yet."
    shared = answer("sharing", *train(NETWORK, 30.0), *train(REBUILT, 30.0))
    assert "sharing the graph over a stage of 2 layers loses no quality" in shared
    assert shared.count("1 holds, 0 fail") == 2


def test_the_answer_on_k_counts_every_k_together():
    pairs = [
        *train(NETWORK, 29.5, "study-denoise-k-random", k=16),
        *train(NETWORK, 30.0, "study-denoise-k-random", k=64),
        *train(NETWORK, 30.0, "study-denoise-k-random", k=256),
        *train(NETWORK, 28.0, "study-denoise-k-fixed", k=16),
        *train(NETWORK, 28.5, "study-denoise-k-fixed", k=64),
        *train(NETWORK, 30.3, "study-denoise-k-fixed", k=256),
    ]
    text = answer("k", *pairs)
    assert "random k in training restores better than a fixed one (2 hold, 1 fails" in text
    assert "other k in use costs less than 0.1 dB (1 holds, 1 fails" in text
    assert "fewer keys in use cost more than 0.1 dB (2 hold, 0 fail" in text
    assert "k = " not in text


@pytest.fixture
def results(tmp_path):
    (tmp_path / "results" / "records").mkdir(parents=True)
    return tmp_path / "results"


def test_the_page_sums_up_what_is_recorded_and_says_what_is_not(results, tmp_path):
    text = write_summary(results, tmp_path).read_text()
    assert text.count("Not measured yet.") == len(STUDIES)
    assert text.count("| not yet | - |") == len(STUDIES)
    assert "](" not in text.partition("## Limits")[0]
    environment = capture_environment()
    store = RecordStore(results / "records" / "study-keys-cpu.jsonl")
    recipe = "study-keys-denoise"
    pairs = train(LARGE, 30.0, recipe) + train(f"{LARGE}:similarity=cosine", 30.2, recipe)
    for cell, record in pairs:
        own = cell.model_copy(update={"protocol": "denoise-color-swinir@1"})
        store.append(record.model_copy(update={"cell": own, "environment": environment}))
    text = write_summary(results, tmp_path).read_text()
    assert (
        "[`keys`](study-keys-cpu.md) | Which keys a token should keep, small-scale | 6 of " in text
    )
    assert "1 HOLDS" in text
    assert "Of 1 differences, 1 hold" in text
    assert text.count("Not measured yet.") == len(STUDIES) - 1
    assert write_summary(results, tmp_path).read_text() == text


def test_the_command_writes_it_and_the_index_names_it(results, tmp_path):
    folders = ["--results", str(results), "--reports", str(tmp_path / "reports")]
    assert reproduce.main(["--summary", *folders]) == 0
    text = (tmp_path / "reports" / PAGE).read_text()
    (command,) = re.findall(r"benchmarks.reproduce (.+)`", text)
    assert command == "--summary"
    index = (tmp_path / "reports" / "README.md").read_text()
    assert f"[What the key-graph buys]({PAGE})" in index
    assert reproduce.main(["--summary", "--results", str(tmp_path / "none")]) == 2


def test_the_committed_page_is_what_the_records_render_to(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert "--summary" in (ROOT / "reports" / PAGE).read_text()
    assert reproduce.main(["--summary", "--reports", os.fspath(tmp_path)]) == 0
    assert (tmp_path / PAGE).read_bytes() == (ROOT / "reports" / PAGE).read_bytes()
