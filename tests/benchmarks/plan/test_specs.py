from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml

import benchmarks.plan
from baselines import list_models as list_baselines
from benchmarks.data.manifest import MANIFEST
from benchmarks.plan.paper_rows import load_paper_records, load_printed
from benchmarks.plan.specs import PROFILES, Column, Profile, TableSpec, get_spec, load_specs
from benchmarks.records.cell import AttentionCell, QualityCell
from benchmarks.records.description import Description
from benchmarks.report.claims import judge_claims
from benchmarks.report.plots import draw_plot
from benchmarks.tasks import get_protocol, get_task
from kgt import list_backends, list_models

SPECS = load_specs()
STUDIES = load_specs("study")
PROFILE_CASES = [
    pytest.param(spec, name, id=f"{spec.stem}-{name}")
    for spec in (*SPECS.values(), *STUDIES.values())
    for name in spec.profiles
]
PLAN = Path(benchmarks.plan.__file__).parent
PAPER = PLAN.parent / "records" / "paper"


def test_every_shipped_file_is_a_table_or_a_study():
    files = sorted(path.stem for path in (PLAN / "specs").iterdir())
    assert files == sorted(spec.stem for spec in (*SPECS.values(), *STUDIES.values()))
    assert {spec.kind for spec in SPECS.values()} == {"table"}
    assert {spec.kind for spec in STUDIES.values()} == {"study"}


def test_names_are_unique_and_those_of_both_numberings():
    names = [name for spec in SPECS.values() for name in (spec.name, *spec.aliases)]
    assert len(set(names)) == len(names)
    semanir = {"3": "1", "4": "2", "6": "8", "7": "9", "8": "10", "semanir-3": "3"}
    for number, spec in SPECS.items():
        assert spec.aliases == ((f"semanir:{semanir[number]}",) if number in semanir else ())
        assert all(get_spec(alias) == spec for alias in spec.aliases)
    assert list(SPECS) == [*map(str, range(1, 9)), "semanir-3"]


@pytest.mark.parametrize("spec", [*SPECS.values(), *STUDIES.values()], ids=lambda s: s.stem)
def test_there_is_a_plot_of_its_name(spec):
    assert draw_plot(spec.plot, spec.title, {}).startswith("<?xml")


@pytest.mark.parametrize(("spec", "name"), PROFILE_CASES)
def test_profile_is_complete(spec, name):
    _, profile = spec.profile(name)
    cells = profile.cells()
    assert cells
    assert len({cell.id for cell in cells}) == len(cells)
    assert len({cell.hash for cell in cells}) == len(cells)
    printed = load_printed(spec)
    for column in spec.columns:
        # A set's column may wait for a profile that measures it; a kind's column may not.
        assert column.kind in {cell.kind for cell in (*cells, *printed)}
    headers = [column.header for column in spec.columns]
    assert len(set(headers)) == len(headers)
    # One column at most shows a cell's quality, so that a row has one place for each.
    for cell in (*cells, *printed):
        shown = [column for column in spec.columns if shows_quality(column, cell)]
        stated = cell in printed and bool(printed[cell].result.stated)
        assert stated or len(shown) == (cell.kind == "quality")
    assert {judged.verdict for judged in judge_claims(profile.claims, {})} <= {"NOT MEASURED"}
    for cell in cells:
        if cell.kind == "quality":
            # The protocol is one of the task's, and its rules are at the version that is asked for.
            name, _, version = cell.protocol.partition("@")
            assert get_protocol(name) in get_task(cell.task).protocols
            assert get_protocol(name).version == int(version)
            assert cell.dataset in MANIFEST
    described = {cell.model for cell in cells if not isinstance(cell, AttentionCell)}
    models = {Description.parse(model).name for model in described}
    assert models <= {*list_models(), *list_baselines()}


def shows_quality(column, cell):
    return column.format in ("quality", "psnr") and all(
        getattr(cell, name, None) == value for name, value in column.where.items()
    )


def test_default_profile_is_the_one_without_a_name():
    for spec in SPECS.values():
        assert spec.profile(None) == (spec.default_profile, spec.profiles[spec.default_profile])


def test_table_3_on_a_cpu_covers_the_grid():
    cells = SPECS["3"].profile("cpu")[1].cells()
    grid = {(n, k) for n in (256, 512, 1024, 2048) for k in (32, 64, 128, 256, 512)}
    # The time of what attends to every token does not depend on k.
    ends = {(n, k) for n in (256, 512, 1024, 2048) for k in (32, min(n, 512))}
    for kind in ("memory", "latency"):
        for name in (
            "torch-mask",
            "torch-gather",
            "torch-gather, whole",
            "triton",
            "sdpa",
            "dense",
            "native",
        ):
            own = [c for c in cells if (c.kind, c.contender, c.bias) == (kind, name, None)]
            flat = kind == "latency" and name in ("torch-mask", "dense")
            assert sorted((cell.n, cell.k) for cell in own) == sorted(ends if flat else grid)
    assert {cell.baseline for cell in cells if cell.kind == "latency"} == {"torch-mask"}
    compared = {"torch-mask", "torch-gather", "sdpa", "flex", "native", "triton"}
    assert {cell.backend for cell in cells} == {*compared, "dense"}
    assert compared <= {*list_backends()}
    biased = {(cell.n, cell.k) for cell in cells if cell.bias}
    assert biased < grid


def test_crossover_covers_every_power_of_two_at_every_size():
    everything = STUDIES["attention-crossover"].profiles["cpu"].cells()
    cells = [cell for cell in everything if cell.baseline == "dense"]
    for backend in ("sdpa", "native", "auto"):
        own = {(c.n, c.graph): [] for c in cells}
        for cell in cells:
            if cell.backend == backend:
                own[cell.n, cell.graph].append(cell.k)
        assert own == {
            (n, graph): [2**e for e in range(4, n.bit_length())]
            for n, graph in ((64, "photo"), (256, "photo"), (1024, "photo"), (1024, "random"))
        }
    assert {(c.baseline, c.windows, c.heads, c.head_dim) for c in cells} == {("dense", 4, 6, 30)}


def test_axes_change_one_thing_at_a_time():
    spec = STUDIES["attention-axes"]
    for profile in spec.profiles.values():
        usual = profile.cells()[0]
        for cell in profile.cells():
            changed = {
                name
                for name in set(AttentionCell.model_fields) - {"backend", "baseline"}
                if getattr(cell, name) != getattr(usual, name)
            }
            assert len(changed) <= 1
            assert cell.baseline == "dense" or changed == {"bias"}
    usual = spec.profiles["cpu"].cells()[0]
    assert (usual.n, usual.k, usual.windows, usual.threads) == (1024, 128, 4, 2)
    usual = spec.profiles["gpu"].cells()[0]
    assert (usual.n, usual.k, usual.windows, usual.device) == (1024, 128, 64, "cuda")


def test_a_grid_overrides_what_is_common():
    common = {"kind": "cost", "model": "net", "input": "8x8", "k": [64, 128], "backend": "sdpa"}
    profile = Profile(about="", common=common, grids=({}, {"k": 256}, {"k": 9, "backend": None}))
    cells = [(cell.k, cell.backend) for cell in profile.cells()]
    assert cells == [(64, "sdpa"), (128, "sdpa"), (256, "sdpa"), (9, None)]


def test_unknown_table_lists_the_valid_names():
    with pytest.raises(
        ValueError, match=r"unknown table '99'; valid: 1, 2, 3, semanir:1, .*8.*, semanir:3"
    ):
        get_spec("99")


def test_studies_and_tables_are_looked_up_apart():
    for name, spec in STUDIES.items():
        assert get_spec(name, "study") == spec
        with pytest.raises(ValueError, match=f"unknown table '{name}'"):
            get_spec(name)
    valid = ", ".join(STUDIES)
    with pytest.raises(ValueError, match=f"unknown study '3'; valid: {valid}$"):
        get_spec("3", "study")


def test_unknown_profile_lists_those_of_the_table():
    missing = next(name for name in PROFILES if name not in SPECS["4"].profiles)
    with pytest.raises(ValueError, match=rf"table 4 has no profile '{missing}'; valid: smoke"):
        SPECS["4"].profile(missing)


@pytest.mark.parametrize(
    ("place", "key"), [((), "colour"), (("profiles", "smoke"), "retries"), (("columns", 0), "unit")]
)
def test_misspelled_key_of_a_specification_is_refused(place, key):
    raw = yaml.safe_load((PLAN / "specs" / "table3.yaml").read_text())
    node = raw
    for step in place:
        node = node[step]
    node[key] = 1
    with pytest.raises(ValueError, match=key):
        TableSpec.model_validate(raw)


def test_paper_rows_are_the_printed_numbers():
    records = load_printed(SPECS["8"])
    found = {
        (cell.model, cell.task, cell.dataset): record.result for cell, record in records.items()
    }
    swinir = found["SwinIR", "sr-x4", "Set5"]
    # SwinIR (ICCVW 2021), Table 2, trained on DF2K, x4.
    assert (swinir.psnr.value, swinir.ssim.value) == (32.92, 0.9044)
    assert {record.source for record in records.values()} == {"paper"}
    assert {record.environment_key for record in records.values()} == {""}
    for cell, record in records.items():
        said = {metric.statistic for metric in record.result.quantities().values()}
        assert said == {cell.source}
    assert {cell.origin for cell in records if "SMFANet" in cell.model} == {"authors' code"}
    assert {cell.origin for cell in records if "SMFANet" not in cell.model} == {"paper"}


@pytest.mark.parametrize("file", sorted(path.name for path in PAPER.iterdir()))
def test_every_printed_number_is_in_a_table(file):
    rows = pd.read_csv(PAPER / file)
    papers = [
        (spec, paper) for spec in SPECS.values() for paper in spec.papers if paper.file == file
    ]
    assert papers
    shown = Counter(
        round(abs(metric.value) / (1e6 if name == "parameters" else 1), 6)
        for _, paper in papers
        for record in load_paper_records(paper)
        for name, metric in record.result.quantities().items()
    )
    assert shown == Counter(rows["value"].round(6))
    for spec, paper in papers:
        assert {record.cell for record in load_paper_records(paper)} <= set(load_printed(spec))


def test_variants_of_a_printed_method_are_told_apart():
    kgt = {
        cell.recipe: record.result.psnr.value
        for cell, record in load_printed(SPECS["1"]).items()
        if (cell.model, cell.task, cell.dataset) == ("KGT", "jpeg-gray-q10", "Urban100")
    }
    assert kgt == {
        "as printed, one model for all levels": 30.81,
        "as printed, one model per level": 31.15,
    }


def test_lists_of_a_column_stand_for_columns():
    (first, *_, last) = Column(
        header="{dataset} {level}",
        kind="quality",
        where={"dataset": ["A", "B"], "task": ["denoise-gray-s15", "sr-x4"]},
        format="psnr",
    ).expand()
    assert (first.header, last.header) == ("A s15", "B x4")
    assert last.where == {"dataset": "B", "task": "sr-x4"}


@pytest.mark.parametrize(
    "spec", [spec for spec in SPECS.values() if spec.twins], ids=lambda s: s.name
)
def test_twins_are_measured_and_printed(spec):
    methods = {(cell.model, cell.task, cell.dataset) for cell in load_printed(spec)}
    for twin in spec.twins:
        cells = [
            cell
            for profile in spec.profiles.values()
            for cell in profile.cells()
            if isinstance(cell, QualityCell)
            and (cell.model, cell.protocol) == (twin.model, twin.protocol)
        ]
        assert any((twin.method, cell.task, cell.dataset) in methods for cell in cells)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"kind": "memory", "metric": "peek"}, "unknown metric 'peek'; valid: peak"),
        ({"kind": "cost", "metric": "flops", "where": {"inputs": "8x8"}}, "valid: input"),
    ],
)
def test_a_column_names_what_cells_and_results_of_its_kind_have(column, message):
    with pytest.raises(ValueError, match=message):
        Column(header="", format="count", **column)


def test_rows_are_fields_of_cells():
    raw = yaml.safe_load((PLAN / "specs" / "table3.yaml").read_text())
    with pytest.raises(ValueError, match="unknown field 'backends'; valid: backend"):
        TableSpec.model_validate({**raw, "rows": ["backends"]})
