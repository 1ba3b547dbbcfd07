"""When a record is invalid: version, limits, recipe, weights or, of times, a kernel changed."""

from __future__ import annotations

from benchmarks.measure.problems import AUTO
from benchmarks.models import components_of, digest_shipped
from benchmarks.records.cell import AttentionCell, Cell, NetworkCell, QualityCell, TrainingCell
from benchmarks.records.components import digest_kernels, digest_versions, versions_of
from benchmarks.records.description import Description
from benchmarks.records.record import Record
from benchmarks.tasks import get_task
from benchmarks.training.loop import components_of_training
from benchmarks.training.recipes import Recipe, list_recipes, load_recipe
from kgt import list_backends

# Until versions took their place, digests of source files stood in records. These stand for version
# 1 of all that a record depends on, by the code that it would be given now.
BYTE_DIGESTS = {
    "5bd8d716dff2": "075f56956896",
    "5cb3bedc5375": "44c8d2452161",
    "3762625f826c": "314e5cc8f38e",
    "c512fe84ec45": "fb1f330965b7",
    "5d0177386182": "989e32dbf4bb",
    "82e2fc4b3533": "8307128b5703",
    "6840791ffced": "43322596b37b",
    "6102718fd2ae": "d5e3c8400e59",
    "715cc1caa371": "4db0a12ab07d",
    "33c7eeb10147": "4a8c04c45279",
    "858305667649": "6dc0b5c438ce",
    "de2bad491703": "99412133c76c",
    "bc550faf547c": "e90c0bdd5e69",
    "d5a4700fb991": "f3c69416914b",
    "0136112cd005": "f3c69416914b",
    "4f419058f8bc": "f3c69416914b",
    "a84e6d709744": "f3c69416914b",
}

_METHODS = {
    "latency": ("timing",),
    "memory": ("memory",),
    "cost": ("cost",),
    "restoration": ("tiles", "data", "timing", "memory"),
    "quality": ("tiles", "data"),
}
_TRAINED = (NetworkCell, QualityCell, TrainingCell)


def is_valid(record: Record, limits: tuple[float, ...]) -> bool:
    """Whether a cell need not be measured again.

    A quality cell is unsupported for want of its dataset, which may be there by now.
    """
    if record.status == "failed" or (record.cell.kind, record.status) == ("quality", "unsupported"):
        return False
    code = code_digest(record.cell, limits)
    return record.code in (code, BYTE_DIGESTS.get(code))


def code_digest(cell: Cell, limits: tuple[float, ...]) -> str:
    """Digest of what a cell's record depends on besides the cell, at whose change it dies.

    That is versions of components, the profile's limits, the recipe, the weights that ship with its
    network and, where a time is taken, the kernels.
    """
    versions = find_components(cell)
    own = [cell.kind, repr(limits)]
    if recipe := _recipe_of(cell):
        own.append(recipe.digest)
    elif isinstance(cell, QualityCell | TrainingCell):
        own += digest_shipped(cell.model)
    if cell.kind in ("latency", "restoration"):
        timed = (name for name in ("native", "triton") if f"attention-{name}" in versions)
        own += map(digest_kernels, timed)
    return digest_versions(versions, *own)


def find_components(cell: Cell) -> dict[str, int]:
    """What a cell's record depends on, with versions."""
    versions = _find_models(cell) | versions_of(*_METHODS.get(cell.kind, ()))
    tasks = []
    if isinstance(cell, QualityCell):
        tasks.append(cell.task)
        versions |= components_of(get_task(cell.task).reference)
    if isinstance(cell, _TRAINED) and (recipe := _recipe_of(cell)):
        tasks += recipe.tasks
        versions |= components_of_training(cell.model)
    made = (rule for task in tasks for rule in get_task(task).degradations.values())
    return versions | {rule.name: rule.version for rule in made}


def _find_models(cell: Cell) -> dict[str, int]:
    """Of the networks, or of the attention, that is measured or compared with."""
    if isinstance(cell, AttentionCell):
        auto = {"torch", "triton" if cell.device else "native"}
        own = {"native": {"native"}, "triton": {"triton"}, AUTO: auto}
        used = [own.get(name, {"torch"}) for name in (cell.backend, cell.baseline) if name]
        return versions_of("graph", *(f"attention-{part}" for part in set().union(*used)))
    if not isinstance(cell, NetworkCell):
        return components_of(str(cell.model))
    versions = components_of(cell.network, cell.device)
    if cell.baseline is not None and cell.baseline not in list_backends():
        versions |= components_of(cell.baseline, cell.device)
    return versions


def _recipe_of(cell: Cell) -> Recipe | None:
    """The recipe of a network that is trained here."""
    name = cell.recipe if isinstance(cell, _TRAINED) else None
    known = name and Description.parse(name).name in list_recipes()
    return load_recipe(name) if name and known else None
