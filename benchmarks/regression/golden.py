"""Golden values: small computations that show the behaviour of components with a version.

With the outputs and graphs of `benchmarks.regression.values` they see to it that no behaviour
changes under an old version of its component.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

import kgt
from benchmarks.data.datasets import load_dataset
from benchmarks.data.images import Image, combine_digests, digest_pixels
from benchmarks.data.twins import SPLITS, draw, list_drawings
from benchmarks.measure.cost import count_cost
from benchmarks.measure.problems import digest_tensors, photo_tokens
from benchmarks.models import components_of, create_described, family_of
from benchmarks.records.components import VERSIONS
from benchmarks.records.statistics import compare_paired
from benchmarks.regression.values import Value, integer_tokens, prepare_exactly, summarize
from benchmarks.tasks import PROTOCOLS, TASKS, get_task
from benchmarks.training.data import PatchSampler
from benchmarks.training.loop import train
from benchmarks.training.losses import LOSSES
from benchmarks.training.recipes import load_recipe
from kgt.attention.triton.tiling import invert, tile_keys, tile_queries
from kgt.tiles.bands import restore
from kgt.tiles.memory import LiveTensorBytes
from kgt.tiles.plan import place_tiles

_METHODS = (
    *("bicubic", "malvar", "menon", "wavelet", "tv", "nl-means", "wiener"),
    *("blind-deconvolution", "ffdnet-color", "demosaicnet", "smfanet-x4", "hit-srf-x4"),
)
_SWINIR, _KGT = "swinir-tiny-x4", "kgt-tiny-x4:k=16:backend=torch-gather"
# One per way to make the input of a patch, of those that the embedded photographs serve.
_PATCHES = ("sr-x2", "denoise-color-s25", "jpeg-color-q10", "demosaic", "weather-rain")


def measure_golden() -> Iterator[Value]:
    """The versions, and values of the components that no other value shows."""
    rules = (rule for task in TASKS.values() for rule in task.degradations.values())
    versions = VERSIONS | {rule.name: rule.version for rule in rules}
    versions |= {protocol.name: protocol.version for protocol in PROTOCOLS.values()}
    for name, version in versions.items():
        yield Value("version", name, version)
    digests = (digest_pixels(item.image) for item in load_dataset("embedded"))
    yield Value("digest", "embedded images", combine_digests(digests), shows=("data",))
    yield Value("digest", "twin patches", _digest_drawings(), shows=("data",))
    yield from _build()
    yield from _degrade()
    yield from _score()
    yield from _tile()
    yield from _train()
    yield from _measure()


def _build() -> Iterator[Value]:
    graph = kgt.build_key_graph(integer_tokens(4, 64), 8, backend="torch")
    unions = digest_tensors(*tile_keys(graph), *tile_queries(graph), *invert(graph))
    yield Value("digest", "unions of tiles", unions, shows=("attention-triton", "graph"))
    for name in _METHODS:
        method, image = prepare_exactly(name, 32)
        with torch.no_grad():
            yield Value("restored", name, summarize(method(image)), shows=("baselines",))
    for name in (_KGT, _SWINIR):
        torch.manual_seed(0)
        weights = torch.cat([p.detach().flatten() for p in create_described(name).parameters()])
        yield Value("initial", name, summarize(weights), shows=(family_of(name),))


def _digest_drawings() -> str:
    """Of the first image of each set that is drawn."""
    first = (next(iter(list_drawings(name).values())) for name in SPLITS)
    return combine_digests(digest_pixels(draw(drawing)) for drawing in first)


def _draw_pattern() -> Image:
    """An image [64, 64, 3] of slopes, edges and texture, in whole numbers."""
    y, x = np.mgrid[:64, :64]
    planes = [2 * x + y, (x // 9 + y // 7) % 2 * 120 + y, x * y % 251]
    return np.stack(planes, axis=-1).astype(np.uint8)


def _degrade() -> Iterator[Value]:
    for task in TASKS.values():
        target = _draw_pattern() if task.channels == 3 else _draw_pattern()[..., 2]
        for rule in task.degradations.values():
            made = rule.apply(target, "pattern")
            content = summarize(torch.from_numpy(made / (255 if made.dtype == np.uint8 else 1)))
            yield Value("degradation", f"{task.name} {rule.name}", content, shows=(rule.name,))


def _score() -> Iterator[Value]:
    target = _draw_pattern()
    prediction = (target + np.arange(target.size).reshape(target.shape) % 29 - 14.0) / 255
    for protocol in PROTOCOLS.values():
        planes = 0 if protocol.color == "gray" else slice(None)
        scores = protocol.score(prediction[..., planes], target[..., planes], scale=4)
        scores.pop("lpips", None)  # its network is not on every machine
        yield Value("score", protocol.name, {**scores}, shows=(protocol.name,))


def _tile() -> Iterator[Value]:
    network, image = prepare_exactly(_SWINIR, 56)
    restored = restore(network, image, 24, overlap=8)
    yield Value("restored", f"{_SWINIR} in tiles", summarize(restored), shows=("tiles", "swinir"))
    places = {f"of {tile}": sum(place_tiles(network, 500, tile)) for tile in (48, 64, 96, 256)}
    yield Value("method", "places of tiles", {**places}, shows=("tiles", "swinir"))


def _train() -> Iterator[Value]:
    recipe = load_recipe("sr-smoke").replace(steps=20, batch=2)
    with tempfile.TemporaryDirectory() as folder:
        curve = train(_SWINIR, recipe, out_dir=Path(folder)).losses
    content = {f"loss {point.step}": point.loss for point in curve}
    content |= {f"1000 x rate {point.step}": 1000 * point.lr for point in curve}
    shows: tuple[str, ...] = ("training", "swinir", "imresize", "data")
    yield Value("training", _SWINIR, {**content}, shows=shows)
    output, target, _ = torch.from_numpy(_draw_pattern() / 255).unbind(-1)
    losses = {name: loss(output, target).item() for name, loss in LOSSES.items()}
    yield Value("training", "losses", {**losses}, shows=("training",))
    for task in _PATCHES:
        made = (rule.name for rule in get_task(task).degradations.values())
        shows = ("training", "data", *made)
        inputs, targets = PatchSampler(recipe.replace(tasks=(task,)))[0]
        yield Value("training", f"inputs of {task}", summarize(inputs), shows=shows)
        yield Value("training", f"targets of {task}", summarize(targets), shows=shows)


def _measure() -> Iterator[Value]:
    tokens = summarize(photo_tokens(2, 64))
    yield Value("method", "photo tokens", tokens, shows=("timing", "data"))
    rounds = np.arange(24)
    ratio = compare_paired(10 + rounds % 5, 10 + rounds % 7)
    interval = {"ratio": ratio.value, "lo": ratio.lo, "hi": ratio.hi}
    yield Value("method", "paired times", {**interval}, shows=("timing",))
    with LiveTensorBytes() as counter:
        torch.zeros(1000).add(1).mul_(2)
    yield Value("method", "peak of live tensors", counter.peak, shows=("memory",))
    for name in (_KGT, _SWINIR):
        parts = {str(part): flops for part, flops in count_cost(name, (32, 32)).flops.items()}
        yield Value("flops", f"{name} by part", {**parts}, shows=("cost", *components_of(name)))
