import json
import struct
from dataclasses import replace

import pytest

from benchmarks.measure import __main__ as cli
from benchmarks.measure import commands, kernels
from benchmarks.measure.kernels import (
    TARGETS,
    Blessed,
    Usage,
    bless,
    compare_usage,
    compile_launch,
    count_code_bytes,
    judge_usage,
    list_launches,
    load_blessed,
    measure_usage,
    parse_amdgcn,
    parse_cuobjdump,
)

GOOD = Usage(registers=64, spills=0, shared_bytes=512, code_bytes=4096)
CUOBJDUMP = """
Resource usage:
 Common:
  GLOBAL:0
 Function tile_forward:
  REG:72 STACK:16 SHARED:0 LOCAL:8 CONSTANT[0]:560 TEXTURE:0 SURFACE:0 SAMPLER:0
"""
AMDGCN = """
  s_endpgm
amdhsa.kernels:
  - .agpr_count:     16
    .sgpr_count:     40
    .sgpr_spill_count: 2
    .symbol:         tile_forward.kd
    .vgpr_count:     155
    .vgpr_spill_count: 3
"""


def test_figures_are_read_from_cuobjdump():
    assert parse_cuobjdump(CUOBJDUMP) == Usage(72, 24, 0, 0)
    with pytest.raises(RuntimeError, match="no REG, STACK and LOCAL"):
        parse_cuobjdump("REG:72 SHARED:0")


def test_figures_are_read_from_amd_assembly():
    assert parse_amdgcn(AMDGCN) == Usage(155, 5, 0, 0)
    with pytest.raises(RuntimeError, match=r"no \.vgpr_count"):
        parse_amdgcn(AMDGCN.replace(".vgpr_spill_count", ".other"))


def test_code_is_the_text_sections_alone():
    names = b"\0.text.kernel\0.debug_line\0.shstrtab\0"
    sections = [(0, 0, 0), (1, 64, 300), (14, 64, 7000), (26, 64, len(names))]
    header = bytearray(64 + len(names))
    header[64:] = names
    struct.pack_into("<Q", header, 40, len(header))
    struct.pack_into("<HHH", header, 58, 64, len(sections), 3)
    table = b"".join(
        struct.pack("<II4Q", name, 1, 0, 0, at, size) + bytes(24) for name, at, size in sections
    )
    assert count_code_bytes(bytes(header) + table) == 300


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (GOOD, "SAME"),
        (replace(GOOD, registers=72), "registers 64 -> 72"),
        (replace(GOOD, shared_bytes=0, code_bytes=4095), "shared_bytes 512 -> 0, code_bytes 4096"),
        (replace(GOOD, spills=8), "SPILLS 8"),
    ],
)
def test_every_difference_is_named(found, verdict):
    assert compare_usage(found, GOOD, same_triton=True).startswith(verdict)


def test_what_is_not_blessed_or_compiled_by_another_triton():
    assert compare_usage(GOOD, None, same_triton=True) == "NOT BLESSED"
    assert compare_usage(replace(GOOD, registers=1), GOOD, same_triton=False) == "OTHER TRITON"
    assert compare_usage(replace(GOOD, spills=8), GOOD, same_triton=False) == "SPILLS 8"


@pytest.fixture
def blessed_file(tmp_path, monkeypatch):
    path = tmp_path / "blessed" / "kernels.json"
    monkeypatch.setattr(kernels, "BLESSED", path)
    return path


def test_blessed_values_return_with_their_reason(blessed_file):
    with pytest.raises(ValueError, match="make it with --bless"):
        load_blessed()
    bless({"sm_80": {"gather-forward-float32": GOOD}}, "because")
    assert load_blessed().usage == {"sm_80": {"gather-forward-float32": GOOD}}
    assert load_blessed().reason == "because"


@pytest.mark.parametrize(("change", "code"), [({}, 0), ({"registers": 65}, 1), ({"spills": 1}, 1)])
def test_a_planted_worse_figure_fails_the_command(blessed_file, monkeypatch, capsys, change, code):
    usage = {"sm_80": {"gather-forward-float32": GOOD}}
    bless(usage, "because")
    changed = {"sm_80": {"gather-forward-float32": replace(GOOD, **change)}}
    monkeypatch.setattr(commands, "measure_usage", lambda targets: changed)
    assert cli.main(["kernels", "--json"]) == code
    printed = json.loads(capsys.readouterr().out)
    assert printed["kernels"][0]["failed"] == bool(code)
    assert printed["note"].endswith(": because")


def test_spilling_kernels_cannot_be_blessed(blessed_file, monkeypatch):
    spilling = {"sm_80": {"gather-forward-float32": replace(GOOD, spills=4)}}
    monkeypatch.setattr(commands, "measure_usage", lambda targets: spilling)
    assert cli.main(["kernels", "--bless", "please", "--json"]) == 1


def test_blessing_needs_a_reason(blessed_file, capsys):
    assert cli.main(["kernels", "--bless", " "]) == 2
    assert "needs a reason" in capsys.readouterr().err
    assert not blessed_file.exists()


def test_without_blessed_values_it_is_wrong_use(blessed_file, monkeypatch, capsys):
    monkeypatch.setattr(commands, "measure_usage", lambda targets: {})
    assert cli.main(["kernels"]) == 2
    assert "--bless" in capsys.readouterr().err


def test_every_shipped_launch_is_blessed_on_every_target_without_spills():
    blessed = load_blessed()
    assert set(blessed.usage) == set(TARGETS)
    for target, usage in blessed.usage.items():
        assert set(usage) == set(list_launches(TARGETS[target][0]))
        assert len(usage) == 6 * 2 * 2
        assert not any(figures.spills for figures in usage.values())


@pytest.mark.parametrize("target", TARGETS)
def test_the_gate_holds(target):
    pytest.importorskip("triton")
    rows = judge_usage(measure_usage([target]), load_blessed())
    assert len(rows) == 6 * 2 * 2
    assert [row for row in rows if row["failed"]] == []


def test_a_launch_that_spills_is_seen():
    pytest.importorskip("triton")
    launch = list_launches("cuda")["tile-backward-keys-float32-bias"]
    greedy = replace(launch, constants={**launch.constants, "BLOCK": 64})
    assert compile_launch(greedy, "sm_80").spills > 0


def test_other_figures_are_not_judged_under_another_triton():
    other = Blessed("0.0", "", {"sm_80": {"gather-forward-float32": replace(GOOD, registers=1)}})
    row = judge_usage({"sm_80": {"gather-forward-float32": GOOD}}, other)[0]
    assert (row["verdict"], row["failed"]) == ("OTHER TRITON", False)
