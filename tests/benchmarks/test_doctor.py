import json
from types import SimpleNamespace

import pytest
from PIL import Image

from benchmarks import doctor
from benchmarks.data.manifest import GENERATED, MANIFEST
from benchmarks.measure import checks, software
from benchmarks.measure.machine import Finding
from kgt.attention.native import NativeUnavailableError

FINDINGS = {
    "quiet": Finding("timer", "quiet", "step 41 ns"),
    "usable": Finding("A/A floor", "usable", "1.0%", "measure [longer]"),
    "unfit": Finding("threads", "unfit", "8 threads on 2 cores", "set OMP_NUM_THREADS=2"),
    "none": Finding("GPU", None, "none"),
}


@pytest.fixture
def enter(monkeypatch):
    """A function that replaces the checks by these findings."""

    def replace(*names):
        found = {name: lambda name=name: FINDINGS[name] for name in names}
        monkeypatch.setattr(checks, "list_checks", lambda: found)

    return replace


@pytest.mark.parametrize(
    ("names", "grade", "code"),
    [
        (("quiet", "none"), "quiet", 0),
        (("quiet", "usable", "none"), "usable", 0),
        (("unfit", "usable", "quiet"), "unfit", 1),
    ],
)
@pytest.mark.parametrize("arguments", [[], ["machine"]])
def test_exit_code_follows_the_worst_grade(enter, names, grade, code, arguments, capsys):
    enter(*names)
    assert doctor.main(arguments) == code
    out = capsys.readouterr().out
    assert f"{grade} for measuring" in out
    for name in names:
        assert FINDINGS[name].value in out
        assert FINDINGS[name].advice in out


@pytest.mark.parametrize("arguments", [["--json"], ["machine", "--json"], ["--json", "machine"]])
def test_json_is_one_object(enter, arguments, capsys):
    enter("quiet", "none")
    assert doctor.main(arguments) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {"grade", "seconds", "findings"}
    assert printed["grade"] == "quiet"
    assert printed["findings"][1] == {"check": "GPU", "grade": None, "value": "none", "advice": ""}


def test_check_that_breaks_is_a_failure(monkeypatch, capsys):
    monkeypatch.setattr(checks, "list_checks", lambda: {"timer": lambda: 1 / 0})
    assert doctor.main([]) == 3
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_wrong_use_exits_with_2(capsys):
    with pytest.raises(SystemExit) as stop:
        doctor.main(["engine"])
    assert stop.value.code == 2
    assert "engine" in capsys.readouterr().err


def test_help_names_the_default(capsys):
    with pytest.raises(SystemExit):
        doctor.main(["--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "Without a command the machine is graded" in out


@pytest.mark.parametrize(("reason", "backend"), [("", "native"), ("no compiler", "sdpa")])
def test_floor_is_that_of_the_backend_auto_would_take(reason, backend, monkeypatch):
    asked = []
    monkeypatch.setattr(checks, "unavailable_reason", lambda: reason)
    monkeypatch.setattr(checks.machine, "measure_floor", lambda *job: asked.append(job))
    monkeypatch.setattr(checks.machine, "judge_floor", lambda result: [FINDINGS["usable"]])
    assert checks.check_floor() == [FINDINGS["usable"]]
    assert asked == [(backend, checks.FLOOR_BUDGET_S)]


def test_compiler_that_is_missing_costs_a_grade_and_is_named(monkeypatch):
    monkeypatch.setattr(software, "unavailable_reason", lambda: "no C++ compiler")
    finding = software.check_compiler()
    assert (finding.grade, finding.value) == ("usable", "no C++ compiler")


def test_operators_that_load_are_quiet(monkeypatch, tmp_path):
    monkeypatch.setattr(software, "unavailable_reason", lambda: "")
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\necho g++ 99.1\necho more\n")
    compiler.chmod(0o755)
    monkeypatch.setattr(software, "find_compiler", lambda: [str(compiler)])
    finding = software.check_compiler()
    assert finding.grade == "quiet"
    assert finding.value.startswith("g++ 99.1; ready after ")

    def fail():
        raise NativeUnavailableError("none is on the PATH")

    monkeypatch.setattr(software, "find_compiler", fail)
    assert "none is on the PATH" in software.check_compiler().value


@pytest.mark.parametrize(
    ("line", "grade"),
    [
        ("NVIDIA H100, 570.1, Enabled, 1980, 1980, 0", "quiet"),
        ("NVIDIA H100, 570.1, Disabled, 345, 1980, 0", "usable"),
        ("NVIDIA H100, 570.1, Enabled, 1980, 1980, 80", "unfit"),
        ("NVIDIA H100, 570.1, Enabled, 345, 1980, [N/A]", "quiet"),
    ],
)
def test_gpu_is_graded_by_use_and_persistence(line, grade):
    finding = software.judge_gpu(line)
    assert finding.grade == grade
    assert "NVIDIA H100, driver 570.1" in finding.value


def test_no_gpu_and_no_driver_are_fine(monkeypatch):
    cuda = software.torch.cuda
    monkeypatch.setattr(cuda, "is_available", lambda: False)
    assert software.check_gpu() == [Finding("GPU", None, "none")]
    monkeypatch.setattr(cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda, "device_count", lambda: 1)
    monkeypatch.setattr(cuda, "get_device_name", lambda index: f"GPU {index}")
    monkeypatch.setenv("PATH", "")
    assert software.check_gpu() == [Finding("GPU", None, "GPU 0; clocks not readable")]


def test_matrix_unit_is_read_from_the_flags(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    assert software.check_instructions(cpuinfo).value.endswith(", no AMX")
    cpuinfo.write_text("flags : fpu amx_tile avx\n")
    assert software.check_instructions(cpuinfo).value.endswith(", AMX")


def test_data_is_counted_without_decoding(tmp_path, monkeypatch):
    monkeypatch.setenv("KGT_DATA", str(tmp_path))
    splits = sum(len(MANIFEST[name]) for name in MANIFEST.keys() - GENERATED)
    assert software.check_data().value.startswith(f"2 of {splits} splits here, 2 with")
    (tmp_path / "Set5").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "Set5" / "a.png")
    (tmp_path / "Set5" / "b.png").write_bytes(b"no image")
    assert software.check_data().value.startswith(f"3 of {splits} splits here, 2 with")
    monkeypatch.setenv("KGT_DATA", str(tmp_path / "absent"))
    finding = software.check_data()
    assert finding.grade == "usable"
    assert "is no folder" in finding.value
    monkeypatch.delenv("KGT_DATA")
    assert software.check_data().advice.startswith("set KGT_DATA")


def test_missing_backbone_says_where_it_belongs(tmp_path, monkeypatch):
    monkeypatch.setenv("KGT_LPIPS_BACKBONE", str(tmp_path / "alexnet.pth"))
    assert "alexnet.pth" in software.check_lpips().advice
    (tmp_path / "alexnet.pth").touch()
    assert software.check_lpips().advice == ""


def test_disk_is_that_of_the_nearest_folder_that_exists(tmp_path, monkeypatch):
    asked, sizes = [], iter((2 * 2**30, 2**29, 2**20))

    def usage(folder):
        asked.append(folder)
        return SimpleNamespace(free=next(sizes))

    monkeypatch.setattr(software.shutil, "disk_usage", usage)
    findings = [software.check_disk(tmp_path / "a" / "b") for _ in range(3)]
    assert [finding.grade for finding in findings] == ["quiet", "usable", "unfit"]
    assert set(asked) == {tmp_path}
