"""What the Triton kernels need on each GPU, compiled ahead of time, compared with blessed values.

Registers, spills, shared memory and code size of a compiled kernel are exact and the same on every
machine, with a GPU or without. A launch is compiled as triton would specialize it when called with
queries, keys and values as the network hands them over.
"""

from __future__ import annotations

import json
import re
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.records.reading import read_json
from kgt.attention.operators import empty_merged
from kgt.attention.triton.launch import Launch, Launches
from kgt.attention.triton.tiling import TILE, Inverse, Keys, Tiles
from kgt.files import write_atomically

BLESSED = Path("results/blessed/triton-kernels.json")
WINDOWS, HEADS, NODES, DIM, K, SLOTS = 4, 6, 1024, 30, 128, 384
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
TARGETS = {
    "sm_80": ("cuda", 80, 32),
    "sm_90": ("cuda", 90, 32),
    "sm_100": ("cuda", 100, 32),
    "gfx942": ("hip", "gfx942", 64),
}
_POINTERS = {
    torch.float32: "*fp32",
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.int32: "*i32",
}
# Triton assumes of tensors of less than 2 GiB on AMD that offsets into them have 32 bits.
_TENSOR = {
    "cuda": [["tt.divisibility", 16]],
    "hip": [["tt.divisibility", 16], ["tt.pointer_range", 32]],
}


@dataclass(frozen=True)
class Usage:
    """What one compiled kernel needs.

    Attributes:
        registers: of a thread; on AMD the vector registers.
        spills: on NVIDIA bytes of local memory of a thread, on AMD spilled registers.
        shared_bytes: shared memory of a program.
        code_bytes: machine code.
    """

    registers: int
    spills: int
    shared_bytes: int
    code_bytes: int


Usages = dict[str, Usage]


@dataclass(frozen=True)
class Blessed:
    """Blessed usage by target and launch, the version of triton that gave it, and why."""

    triton: str
    reason: str
    usage: dict[str, Usages]


def list_launches(vendor: str) -> dict[str, Launch]:
    """Every launch that is shipped, by "kernel-dtype" or "kernel-dtype-bias", on meta tensors."""
    return {
        "-".join(filter(None, [launch.kernel.replace("_", "-"), name, suffix])): launch
        for name, dtype in DTYPES.items()
        for suffix in ("", "bias")
        for launch in _launches(dtype, bool(suffix), vendor)
    }


def _launches(dtype: torch.dtype, has_bias: bool, vendor: str) -> Iterator[Launch]:
    projected = torch.empty(WINDOWS, NODES, 3, HEADS, DIM, dtype=dtype, device="meta")
    q, k, v = projected.permute(2, 0, 3, 1, 4).unbind()
    grad = empty_merged(q)
    side = 2 * round(NODES**0.5) - 1
    bias = torch.empty(HEADS, side, side, device="meta") if has_bias else None
    keys = Keys(_integers(WINDOWS, NODES, K))
    inverse = Inverse(_integers(WINDOWS, NODES + 1), _integers(WINDOWS, NODES * K))
    union = _integers(WINDOWS, NODES // TILE, SLOTS)
    tiles = Tiles(_integers(NODES), union, torch.empty_like(union), union[..., 0].contiguous())

    launches = Launches(q, k, v, bias, 0.1, vendor)
    graphs: tuple[tuple[Keys, Inverse], tuple[Tiles, Tiles]] = (keys, inverse), (tiles, tiles)
    for of_queries, of_keys in graphs:
        launch, out, logsumexp = launches.forward(of_queries)
        yield launch
        launch, delta, *_ = launches.backward_queries(of_queries, grad, out, logsumexp)
        yield launch
        yield launches.backward_keys(of_keys, grad, logsumexp, delta)[0]


def _integers(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.int32, device="meta")


def compile_launch(launch: Launch, target: str) -> Usage:
    """Compile a launch for a GPU of TARGETS, as it is specialized there."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kind = TARGETS[target][0]
    kernel = launch.function()
    signature: dict[str, str] = {}
    constants: dict[str, Any] = dict(launch.constants)
    attributes: dict[tuple[int], Any] = {}
    names = kernel.arg_names
    for position, (name, value) in enumerate(zip(names, launch.arguments, strict=False)):
        if isinstance(value, Tensor):
            signature[name] = _POINTERS[value.dtype]
            attributes[(position,)] = _TENSOR[kind]
        elif isinstance(value, float):
            signature[name] = "fp32"
        elif value == 1:
            signature[name], constants[name] = "constexpr", 1
        else:
            signature[name] = "i32" if value < 2**31 else "i64"
            if value % 16 == 0:
                attributes[(position,)] = [["tt.divisibility", 16]]
    signature |= dict.fromkeys(launch.constants, "constexpr")
    source = ASTSource(kernel, {n: signature[n] for n in names}, constants, attributes)
    options = {"num_warps": launch.warps, "num_stages": launch.stages}
    compiled = triton.compile(source, target=GPUTarget(*TARGETS[target]), options=options)
    if kind == "hip":
        usage = parse_amdgcn(compiled.asm["amdgcn"])
        binary = compiled.asm["hsaco"]
    else:
        usage = parse_cuobjdump(_dump_usage(compiled.asm["cubin"]))
        binary = compiled.asm["cubin"]
    return replace(
        usage, shared_bytes=compiled.metadata.shared, code_bytes=count_code_bytes(binary)
    )


def _dump_usage(cubin: bytes) -> str:
    from triton import knobs

    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def parse_cuobjdump(text: str) -> Usage:
    """Registers and spills from `cuobjdump --dump-resource-usage` of one kernel."""
    found = dict(re.findall(r"\b(REG|STACK|LOCAL):(\d+)", text))
    if set(found) != {"REG", "STACK", "LOCAL"}:
        raise RuntimeError(f"cuobjdump printed no REG, STACK and LOCAL: {text!r}")
    return Usage(int(found["REG"]), int(found["STACK"]) + int(found["LOCAL"]), 0, 0)


def parse_amdgcn(text: str) -> Usage:
    """Vector registers and spills from the metadata at the end of the assembly of one kernel."""
    found = dict(re.findall(r"^\s*\.(vgpr_count|[vs]gpr_spill_count):\s*(\d+)", text, re.MULTILINE))
    if len(found) != 3:
        raise RuntimeError("the assembly has no .vgpr_count and spill counts")
    spills = int(found["vgpr_spill_count"]) + int(found["sgpr_spill_count"])
    return Usage(int(found["vgpr_count"]), spills, 0, 0)


def count_code_bytes(elf: bytes) -> int:
    """Size of the .text sections of a 64-bit ELF; names and paths in it do not count."""
    table = struct.unpack_from("<Q", elf, 40)[0]
    entry_size, count, names_at = struct.unpack_from("<HHH", elf, 58)
    sections = [struct.unpack_from("<II4Q", elf, table + entry_size * n) for n in range(count)]
    names = sections[names_at][4]
    return sum(size for name, *_, size in sections if elf[names + name :].startswith(b".text"))


def measure_usage(targets: Iterable[str]) -> dict[str, Usages]:
    """Usage of every shipped launch, by target and name."""
    return {
        target: {
            name: compile_launch(launch, target)
            for name, launch in list_launches(TARGETS[target][0]).items()
        }
        for target in targets
    }


def load_blessed() -> Blessed:
    """The blessed values.

    Raises:
        ValueError: when there are none yet, or the file holds something else.
    """
    if not BLESSED.exists():
        raise ValueError(f"{BLESSED} does not exist; make it with --bless REASON")
    return read_json(BLESSED, Blessed)


def bless(usage: Mapping[str, Usages], reason: str) -> None:
    """Make these values the blessed ones, and keep why; those of a kernel that spills fail on."""
    lines = asdict(Blessed(version("triton"), reason, dict(usage)))
    write_atomically(BLESSED, json.dumps(lines, indent=1) + "\n")


def judge_usage(usage: Mapping[str, Usages], blessed: Blessed) -> list[dict[str, Any]]:
    """A row for every launch, with its figures, its verdict, and whether that is a failure."""
    same_triton = blessed.triton == version("triton")
    rows = []
    for target, kernels in usage.items():
        for name, found in kernels.items():
            before = blessed.usage.get(target, {}).get(name)
            verdict = compare_usage(found, before, same_triton)
            failed = verdict not in ("SAME", "OTHER TRITON")
            named = {"target": target, "kernel": name}
            rows.append({**named, **asdict(found), "verdict": verdict, "failed": failed})
    return rows


def compare_usage(found: Usage, blessed: Usage | None, same_triton: bool) -> str:
    """SAME, or in which figures a kernel differs from the blessed one; OTHER TRITON if unknowable.

    Spills are a failure wherever they appear; the other figures are a compiler's own, so they are
    compared only between equal versions of triton.
    """
    if found.spills:
        return f"SPILLS {found.spills}"
    if not same_triton:
        return "OTHER TRITON"
    if blessed is None:
        return "NOT BLESSED"
    changes = [
        f"{name} {before} -> {after}"
        for (name, before), after in zip(
            asdict(blessed).items(), asdict(found).values(), strict=True
        )
        if before != after
    ]
    return ", ".join(changes) or "SAME"
