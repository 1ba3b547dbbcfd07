"""The values of the exact tier: each is a count, a digest, or a number known to many digits.

What they depend on is made of small integers and powers of two, so that no sum is rounded where a
rounded sum would select another key.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import baselines
import kgt
from baselines.catalog import create_any_model
from benchmarks import tasks
from benchmarks.data.datasets import load_dataset
from benchmarks.measure.problems import digest_tensors
from benchmarks.models import components_of, create_described, family_of
from benchmarks.quality.evaluation import evaluate
from benchmarks.records import components
from benchmarks.regression.counting import CallCounts, count_call
from kgt.attention.native import unavailable_reason
from kgt.contract import Restorer
from kgt.network.windows import cyclic_regions

Number = int | float
Content = Number | str | dict[str, Number]


@dataclass(frozen=True)
class ValueKind:
    """What values of one kind have in common.

    Attributes:
        about: what they are, with the unit.
        tolerance: largest difference that is none; 0 for what is exact.
        portable: False for what torch's version, or the native kernels being there, may change.
        home: module that holds the versions of the components shown.
    """

    about: str
    tolerance: float = 0.0
    portable: bool = True
    home: str = components.__name__


@dataclass(frozen=True)
class Value:
    """One value, or why there is none on this machine.

    Attributes:
        kind: a key of KINDS.
        name: what it is of.
        content: a count or a digest, or several numbers by name; None where there is none.
        reason: why there is none.
        shows: the component whose version must go up if the content changes, then those that the
            content depends on besides; empty for mere counts.
    """

    kind: str
    name: str
    content: Content | None
    reason: str = ""
    shows: tuple[str, ...] = ()


KINDS = {
    "parameters": ValueKind("parameters of a network"),
    "flops": ValueKind("FLOPs of a forward pass"),
    "operators": ValueKind("calls of each operator in a forward pass", portable=False),
    "allocated": ValueKind("bytes allocated by a forward pass", portable=False),
    "peak": ValueKind("bytes alive at the same time in a forward pass", portable=False),
    "graph": ValueKind("digest of a key-graph"),
    "output": ValueKind("mean, root mean square and projection of an output", tolerance=1e-9),
    "output-float32": ValueKind("the same of attention in float32", tolerance=1e-6),
    "quality": ValueKind("mean scores on the embedded images", tolerance=1e-5),
    "version": ValueKind("version of a component"),
    "restored": ValueKind("the same of a restored image", tolerance=1e-6),
    "initial": ValueKind("the same of initial weights", tolerance=1e-6),
    "digest": ValueKind("digest of pixels"),
    "degradation": ValueKind("the same of an input", tolerance=1e-4, home=tasks.__name__),
    "score": ValueKind("scores of one image by a protocol", tolerance=1e-6, home=tasks.__name__),
    "training": ValueKind("losses, rates and patches of a short training", tolerance=1e-4),
    "method": ValueKind("what methods of measuring give on known input", tolerance=1e-5),
}

# Networks at height = width = the number behind @: one window, or four where that is cheap.
FORWARDS = (
    "kgt-tiny-x4:k=16:backend=torch-mask@32",
    "kgt-tiny-x4:k=16:backend=torch-gather@32",
    "kgt-tiny-x4:k=16:backend=sdpa@32",
    "kgt-tiny-x4:k=16:backend=native@32",
    "kgt-tiny-denoise-color:k=16:backend=torch-gather@64",
    "kgt-s-x4:k=16:backend=torch-gather@32",
    "kgt-u:k=16:backend=torch-gather@64",
    "kgt-tiny-x4-dense@32",
    "swinir-tiny-x4@32",
    "swinir-s-x4@32",
    "swinir-m-x4@32",
)
OUTPUTS = (
    *(
        f"kgt-tiny-x4:k=16:backend={backend}@32"
        for backend in ("reference", "torch-mask", "torch-gather", "sdpa")
    ),
    "kgt-tiny-denoise-color:k=16:backend=reference@32",
    "swinir-tiny-x4@32",
)
SCORES = {"sr-x4": "bicubic", "denoise-color-s25": "identity", "demosaic": "malvar"}
_ATTENTION_BACKENDS = ("torch-mask", "torch-gather", "sdpa", "native")
_OURS = (
    *("kgt-", "deconvolved-", "swinir-", "dncnn-", "ffdnet-", "demosaicnet"),
    *("smfanet-", "hit-srf-"),
)
_THEIRS = "swinir-upstream-"


def measure_portable(on_group: Callable[[str], None] = lambda about: None) -> Iterator[Value]:
    """Measure what does not use the native kernels, which are compiled meanwhile.

    Args:
        on_group: called with the name of each group before it is measured.
    """
    yield from _measure(
        {"parameters": _count_parameters, "quality": _score_embedded, "outputs": _compute_outputs},
        on_group,
    )


def measure_dependent(on_group: Callable[[str], None] = lambda about: None) -> Iterator[Value]:
    """Measure graphs, attention and networks, which use the native kernels if these can be had.

    Args:
        on_group: called with the name of each group before it is measured.
    """
    yield from _measure(
        {"graphs": _digest_graphs, "attention": _measure_attention, "networks": _count_forwards},
        on_group,
    )


def _measure(
    groups: dict[str, Callable[[], Iterator[Value]]], on_group: Callable[[str], None]
) -> Iterator[Value]:
    for about, measure in groups.items():
        on_group(about)
        yield from measure()


def _count_parameters() -> Iterator[Value]:
    own = [name for name in baselines.list_models() if name.startswith(_OURS)]
    names = [*kgt.list_models(), *(name for name in own if not name.startswith(_THEIRS))]
    for name in names:
        with torch.device("meta"):
            network = create_any_model(name)
        count = sum(p.numel() for p in network.parameters())
        yield Value("parameters", name, count, shows=(family_of(name),))


def _score_embedded() -> Iterator[Value]:
    dataset = load_dataset("embedded")
    for task, model in SCORES.items():
        metrics = evaluate(
            baselines.create_model(model), tasks.get_task(task), dataset, strict=True
        ).metrics
        content = {name: value for name, value in metrics.items() if value is not None}
        yield Value("quality", f"{task} {model}", content)


def _compute_outputs() -> Iterator[Value]:
    for case in OUTPUTS:
        description, side = _split(case)
        network, image = prepare_exactly(description, side)
        family = family_of(description)
        shows = (family, *(components_of(description).keys() - {family}))
        with torch.no_grad():
            yield Value("output", case, summarize(network(image)), shows=shows)


def prepare_exactly(description: str, side: int) -> tuple[Restorer, Tensor]:
    """A network in float64 and an image of side x side, the same on every machine."""
    network = create_described(description).to(torch.float64).eval()
    generator = torch.Generator().manual_seed(0)
    fill_exactly(network, generator)
    image = torch.randint(256, (1, 3, side, side), generator=generator).to(torch.float64) / 256
    return network, image


@torch.no_grad()
def fill_exactly(network: nn.Module, generator: torch.Generator) -> None:
    """Give a network weights that are the same on every machine, to the last bit.

    Weights are small integers over a power of two, about 1 / sqrt(fan-in) in size; offsets are 0.
    """
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            integers = torch.randint(-8, 9, parameter.shape, generator=generator)
            parameter.copy_(integers / 2 ** round(math.log2(5 * parameter[0].numel() ** 0.5)))
        elif name.endswith("bias"):
            parameter.zero_()
    for buffer in network.buffers():
        if buffer.is_floating_point():
            # Logarithms of coordinates: their last bit is not the same on all processors.
            buffer.copy_((buffer * 4096).round() / 4096)


def summarize(out: Tensor) -> dict[str, Number]:
    """Three numbers by which outputs differ; the projection is onto fixed random signs."""
    values = out.to(torch.float64).flatten()
    generator = torch.Generator().manual_seed(1)
    signs = torch.randint(2, values.shape, generator=generator) * 2 - 1
    return {
        "mean": values.mean().item(),
        "rms": values.square().mean().sqrt().item(),
        "projection": ((values * signs).sum() / math.sqrt(values.numel())).item(),
    }


def integer_tokens(windows: int, nodes: int, channels: int = 16) -> Tensor:
    """Tokens [W, N, C] of norm 2, with four entries of 1 or -1: similarities of them are exact."""
    generator = torch.Generator().manual_seed(0)
    places = torch.rand(windows, nodes, channels, generator=generator).topk(4, dim=-1).indices
    signs = torch.randint(2, places.shape, generator=generator) * 2.0 - 1
    return torch.zeros(windows, nodes, channels).scatter_(-1, places, signs)


def _digest_graphs() -> Iterator[Value]:
    tokens = integer_tokens(4, 64)
    regions = cyclic_regions(16, 16, 8, 4, 4, tokens.device)
    cases: dict[str, dict[str, Any]] = {
        "dot k=8": {"k": 8},
        "cosine k=8": {"k": 8, "similarity": "cosine"},
        "others k=8": {"k": 8, "include_self": False},
        "regions k=24": {"k": 24, "regions": regions},
        "clamped k=100": {"k": 100},
    }
    for case, options in cases.items():
        for builder in ("torch", "native"):
            name = f"{case} {builder}"
            if builder == "native" and unavailable_reason():
                yield from _explain(name, "graph")
                continue
            graph = kgt.build_key_graph(tokens, backend=builder, **options)
            tensors = (graph.indices,) if graph.degrees is None else (graph.indices, graph.degrees)
            component = "graph" if builder == "torch" else "attention-native"
            yield Value("graph", name, digest_tensors(*tensors), shows=(component,))


def _measure_attention() -> Iterator[Value]:
    """Attention along a graph that is the same everywhere, so that native's plan is, too."""
    generator = torch.Generator().manual_seed(0)
    tokens = integer_tokens(4, 256)
    q, k, v = (torch.randint(-64, 65, (3, 4, 6, 256, 30), generator=generator) / 64).unbind()
    table = torch.randint(-64, 65, (6, 31, 31), generator=generator) / 64
    for backend in _ATTENTION_BACKENDS:
        name = f"attention backend={backend}"
        if backend == "native" and unavailable_reason():
            yield from _explain(name, "output-float32", "operators", "allocated", "peak")
            continue

        def attend(backend: str = backend) -> Tensor:
            graph = kgt.build_key_graph(tokens, 16, backend="torch")
            return kgt.key_graph_attention(q, k, v, graph, table, backend)

        component = "attention-native" if backend == "native" else "attention-torch"
        yield Value("output-float32", name, summarize(attend()), shows=(component, "graph"))
        yield from _list_counts(name, count_call(attend), with_bytes=True)


def _count_forwards() -> Iterator[Value]:
    for case in FORWARDS:
        description, side = _split(case)
        native = "backend=native" in description
        if native and unavailable_reason():
            yield from _explain(case, "flops", "operators")
            continue
        counts = count_forward(description, side)
        yield Value("flops", case, counts.flops)
        # Native's plan is as long as the unions of keys, which rounding may change.
        yield from _list_counts(case, counts, with_bytes=not native)


def _explain(name: str, *kinds: str) -> Iterator[Value]:
    """Values that cannot be had without the native kernels."""
    for kind in kinds:
        yield Value(kind, name, None, unavailable_reason())


def _list_counts(name: str, counts: CallCounts, with_bytes: bool) -> Iterator[Value]:
    yield Value("operators", name, dict(counts.operators))
    if with_bytes:
        yield Value("allocated", name, counts.allocated_bytes)
        yield Value("peak", name, counts.peak_bytes)


def count_forward(description: str, side: int) -> CallCounts:
    """Count the forward pass of a network on one image of side x side pixels.

    Args:
        description: NAME:field=value:field=value.
        side: height and width in pixels.
    """
    torch.manual_seed(0)
    network = create_described(description).eval()
    image = torch.rand(1, 3, side, side)
    return count_call(lambda: network(image))


def _split(case: str) -> tuple[str, int]:
    description, _, side = case.partition("@")
    return description, int(side)
