import dataclasses
import itertools

import pytest

from benchmarks import doctor
from benchmarks.quality import golden
from benchmarks.quality.golden import Golden, check_golden, list_golden

QUICK = {
    ("sr-x4", "Set5"),
    ("sr-x4", "Set14"),
    ("jpeg-gray-q10", "Classic5"),
    ("jpeg-color-q10", "LIVE1"),
    ("denoise-gray-s15", "Set12"),
    ("demosaic", "McMaster"),
}
BICUBIC = Golden("sr-x4", "embedded", 4, "psnr", 28.27, 0.01, "test", "sr-y601-crop-scale")


@pytest.mark.slow
def test_published_values_are_met(data_root):
    values = [golden for golden in list_golden() if (golden.task, golden.dataset) in QUICK]
    absent = sorted(
        {golden.dataset for golden in values if not (data_root / golden.dataset).is_dir()}
    )
    if absent:
        pytest.skip(f"KGT_DATA has no {', '.join(absent)}")
    findings = check_golden(values)
    assert len(findings) > 15
    assert [finding for finding in findings if finding.verdict != "HOLDS"] == []


def test_every_printed_row_is_a_value():
    printed = [golden for golden in list_golden() if golden.source.startswith("Table")]
    assert len(printed) == 24 + 16 + 2
    assert {golden.value for golden in printed if golden.dataset == "Kodak24"} == {35.78}


def test_values_of_one_evaluation_follow_each_other():
    keys = [(g.dataset, g.task, g.protocol) for g in list_golden()]
    changes = sum(left != right for left, right in itertools.pairwise(keys))
    assert changes == len(set(keys)) - 1


@pytest.mark.parametrize(("offset", "verdict"), [(0.0, "HOLDS"), (0.02, "DIFFERS")])
def test_a_value_off_by_more_than_the_tolerance_differs(offset, verdict):
    golden = dataclasses.replace(BICUBIC, value=BICUBIC.value + offset)
    (finding,) = check_golden([golden])
    assert finding.verdict == verdict
    assert finding.measured == pytest.approx(28.273, abs=1e-3)


def test_a_value_of_another_number_of_images_is_not_compared():
    (finding,) = check_golden([dataclasses.replace(BICUBIC, images=100)])
    assert (finding.verdict, finding.measured) == ("ABSENT", None)
    assert finding.reason == "4 of 4 images here, the value is of 100"


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ([BICUBIC], 0),
        ([BICUBIC, dataclasses.replace(BICUBIC, value=30.0)], 1),
        ([dataclasses.replace(BICUBIC, images=5)], 2),
    ],
)
def test_exit_codes_and_table(values, code, monkeypatch, capsys):
    monkeypatch.setattr(golden, "list_golden", lambda: values)
    assert doctor.main(["golden"]) == code
    out = capsys.readouterr().out
    for text in ("sr-x4", "embedded", "measured", "published", "difference", "verdict"):
        assert text in out


def test_failures_exit_with_3(monkeypatch, capsys):
    def fail():
        raise RuntimeError("out of order")

    monkeypatch.setattr(golden, "list_golden", fail)
    assert doctor.main(["golden"]) == 3
    assert "out of order" in capsys.readouterr().err
