"""Results of cells: a type per kind, built by the measurements and read by the reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat, computed_field

from benchmarks.records.cell import (
    AttentionCell,
    BaseCell,
    BenchmarkCell,
    NetworkCell,
    PrintedCell,
    QualityCell,
    RestorationCell,
    TrainingCell,
)
from benchmarks.records.statistics import Ratio, VerdictLabel, judge

Fault = Literal["oom", "unsupported", "timeout", "failed"]


class Quantity(BaseModel):
    """One measured quantity; NaN and infinity, which JSON cannot hold, are refused.

    Attributes:
        value, unit: e.g. 2.5 "ms"; a ratio has the unit "".
        statistic: how the value came from the samples, e.g. "median".
        lo, hi: 99 % interval, where there is one.
        samples: raw samples in the order taken, where there are any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    value: float
    unit: str = ""
    statistic: str = "exact"
    lo: float | None = None
    hi: float | None = None
    samples: tuple[float, ...] = ()

    @property
    def interval(self) -> tuple[float, float]:
        """(lo, hi), or the value twice where there is no interval."""
        return (
            self.value if self.lo is None else self.lo,
            self.value if self.hi is None else self.hi,
        )


class Result(BaseModel):
    """What all results have: `wall`, the seconds that the cell took, the harness included.

    A quantity or a text that could not be taken is None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    wall: Quantity | None = None

    def quantities(self) -> dict[str, Quantity]:
        """The quantities that could be taken, by name."""
        return {name: value for name, value in self if isinstance(value, Quantity)}

    def quantity(self, name: str) -> Quantity | None:
        """A quantity by its name, None where it could not be taken."""
        return self.quantities().get(name)


class Missing(Result):
    """Why a cell has no values, and the bytes that it would have taken, if a formula says so."""

    status: Fault
    reason: str = ""
    closed_form: Quantity | None = None


class LatencyResult(Result):
    """Median times in ms of a call and of its baseline's, in interleaved rounds.

    `ratio` is the median of paired ratios to the baseline, of the baseline itself its twin's;
    `floor` is the reach of the interval of the baseline's A/A twin; `called` counts the seconds
    within the calls; `output` is a digest. `judged` is the verdict; older records hold one by the
    rules of their day, `verdict` with `why`, which is not read.
    """

    latency: Quantity
    ratio: Quantity
    floor: Quantity
    first_call: Quantity
    called: Quantity | None = None
    baseline_latency: Quantity | None = None
    output: str
    baseline: str
    rounds: int
    stopped_by: str
    verdict: VerdictLabel | None = None
    why: str | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def judged(self) -> VerdictLabel:
        """What the ratio shows beyond the floor."""
        lo, hi = self.ratio.interval
        return judge(Ratio(self.ratio.value, lo, hi, self.rounds), self.floor.value).label


class AttentionRun(Result):
    """What ran of an attention cell: the backend that `auto` chose, k clamped to N; digests."""

    backend: str
    k: int
    clamped: bool
    inputs: str
    output: str


class AttentionLatency(AttentionRun, LatencyResult):
    """Time of attention, with its largest error against the float64 reference.

    One call attends for `stage_calls` layers.
    """

    max_error: float
    stage_calls: int | None = None


# How a time grows with the input is told from its ratio to that of this input, in the same rounds:
# times of different sizes are taken minutes apart, in which a machine drifts.
UNIT_INPUT = "128x128"


class NetworkLatency(LatencyResult):
    """Time of a network, with the relative difference of its output from the baseline's.

    `growth` is the median of paired ratios to the time of the same network on `UNIT_INPUT`, of
    larger inputs.
    """

    difference: float | None = None
    growth: Quantity | None = None


class MemoryResult(Result):
    """Peak memory of a call in bytes.

    `live_tensors` is the largest sum of tensor storages, `peak` the growth of the resident set or
    of the device's allocator; `called` counts the seconds within the calls.
    """

    live_tensors: Quantity
    called: Quantity | None = None
    peak: Quantity | None = None
    peak_missing: str | None = None


class AttentionMemory(AttentionRun, MemoryResult):
    """Peak memory of attention, beside bytes and FLOP by the shapes alone."""

    closed_form: Quantity | None = None
    flops: Quantity | None = None
    peak_over_closed_form: Quantity | None = None


class NetworkMemory(MemoryResult):
    """Peak memory of a network."""


class CostResult(Result):
    """Parameters and FLOPs of a forward pass, and the parts of the FLOPs, 0 to 1.

    Sizes are height x width in pixels, as given and as the network pads it; `counts` has the FLOP
    by what counted them; they agree where all counts of every part are the same.
    """

    parameters: Quantity
    flops: Quantity
    attention_share: Quantity
    graph_share: Quantity
    linear_share: Quantity
    position_bias_share: Quantity
    convolution_share: Quantity
    other_share: Quantity
    input: str
    padded: str
    counts: dict[str, int]
    agrees: bool

    @property
    def graph_flops(self) -> int:
        """FLOP of similarities; below 2^51 the share, a float64, gives the count exactly."""
        return round(self.graph_share.value * self.flops.value)


class RestorationResult(Result):
    """A photograph restored in tiles within a budget of bytes and, where that is possible, whole.

    Peaks are growths of the resident set in bytes; `psnr_change` is PSNR in tiles minus whole in
    dB, `steps` the largest difference of the two in 8-bit steps.
    """

    budget: Quantity
    time: Quantity
    peak: Quantity
    whole_time: Quantity | None = None
    whole_peak: Quantity | None = None
    psnr_change: Quantity | None = None
    steps: Quantity | None = None
    plan: str
    whole_plan: str | None = None
    whole_missing: str | None = None


class QualityResult(Result):
    """How well a model restores a set.

    Attributes:
        scores: means over images by column of the protocol, such as "psnr".
        gain: mean paired difference of PSNR over the task's reference, of what was trained here.
        trained: recipe of weights that were trained here.
        weights: digest of weights that were trained for this cell.
        images: number of images with a score.
        tiling, degradation, data: how images were restored and made; digest of the set.
        failed: reasons by image.
        partial: "25 of 100" where images of the set are missing.
        per_image: scores by image and column.
    """

    scores: dict[str, Quantity]
    gain: Quantity | None = None
    trained: str | None = None
    weights: str | None = None
    images: int
    tiling: str | None = None
    degradation: str
    data: str
    failed: dict[str, str] = {}
    partial: str | None = None
    per_image: Mapping[str, Mapping[str, FiniteFloat | str | None]] = {}

    def quantities(self) -> dict[str, Quantity]:
        """The scores by column, and what else could be taken."""
        return {**self.scores, **super().quantities()}


class TrainingResult(Result):
    """What a training took, in steps and seconds; `recipe`, `weights` and `data` are digests.

    `loss` is the mean of the last steps; its samples are the curve, one of every `loss_every`
    steps. `trained` is the name of the recipe, `held_out` the PSNR at the end, where images were
    held out to validate. `overlap` is of key-graph networks: the share of a stage's graph that its
    layers would still choose, on images held out; its samples are by depth.
    """

    parameters: Quantity
    loss: Quantity
    training_time: Quantity
    held_out: Quantity | None = None
    overlap: Quantity | None = None
    trained: str | None = None
    steps: int
    loss_every: int
    recipe: str
    weights: str
    data: str


class BenchmarkResult(Result):
    """Median time of a call in ms by pytest-benchmark, and the name of the test."""

    latency: Quantity
    benchmark: str


class PrintedResult(Result):
    """Printed numbers of one method; `stated` is what a text says of one over another."""

    psnr: Quantity | None = None
    ssim: Quantity | None = None
    parameters: Quantity | None = None
    stated: Quantity | None = None


# The type of a result by the type and the kind of its cell.
RESULTS: dict[tuple[type[BaseCell], str], type[Result]] = {
    (AttentionCell, "latency"): AttentionLatency,
    (AttentionCell, "memory"): AttentionMemory,
    (NetworkCell, "latency"): NetworkLatency,
    (NetworkCell, "memory"): NetworkMemory,
    (NetworkCell, "cost"): CostResult,
    (RestorationCell, "restoration"): RestorationResult,
    (QualityCell, "quality"): QualityResult,
    (TrainingCell, "training"): TrainingResult,
    (BenchmarkCell, "latency"): BenchmarkResult,
    (PrintedCell, "quality"): PrintedResult,
    (PrintedCell, "training"): PrintedResult,
}
