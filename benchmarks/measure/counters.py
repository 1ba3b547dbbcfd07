"""FLOPs of one forward pass as two programs count them: torch's counter and fvcore's.

Both see what runs: torch's the operators it dispatches, fvcore's the graph that torch.jit traces.
They count the multiply-adds of matrix products and convolutions and nothing else. Either is silent
about an operator it has no formula for; here that is an error. What neither can see is a product
written as elementwise multiplication and sum.

fvcore is imported where it is used: it brings packages along that nothing else needs.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from math import prod
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from kgt import build_key_graph, key_graph_attention
from kgt.attention.operators import count_forward_flops
from kgt.errors import Failure
from kgt.network.layers import KGTStage

Part = Literal["attention", "graph", "linear", "position_bias", "convolution", "other"]
PARTS: tuple[Part, ...] = get_args(Part)

_PRODUCT = re.compile(
    r"(add|badd|addb|s|ss|int|scaled)?b?(mm|mv)|matmul|v?dot|ger|einsum|linear|conv\w*|"
    r"attention|lstm|gru|rnn|cdist|fft|trilinear"
)
# Of integers, and NAFNet's normalization.
_FREE = {"kgt::plan_attention", "prim::PythonOp.LayerNormFunction"}
_LINEAR = {"linear", "addmm", "mm", "_linear_pointwise"}
_BATCHED = {"bmm", "baddbmm", "matmul", "einsum"}
# Names that KGT, GRL and DAT give their networks on relative coordinates.
_BIAS_MODULES = {"position_bias", "cpb_mlp", "pos"}


class UncountedOperatorError(Failure):
    """An operator ran that multiplies matrices, and a counter has no formula for it."""


def count_with_torch(network: nn.Module, x: Tensor) -> Counter[Part]:
    """FLOPs by part with torch's FlopCounterMode.

    Its formulas miss the fused attention of CPUs, which is added here.

    Args:
        network: in evaluation mode. A copy of it runs; of a KGT that has run before, the copy knows
            the position bias, and its FLOPs are missing.
        x: the input, on a CPU.

    Raises:
        UncountedOperatorError: naming the operators.
    """
    network = deepcopy(network)
    _register_formulas()
    counter = flop_counter()
    with torch.no_grad(), _Uncounted(counter) as uncounted, counter:
        network(x)
    _check_counted("torch", uncounted.names)
    root = type(network).__name__
    counts = {
        path.removeprefix(root).removeprefix("."): {
            operator.__name__: flops for operator, flops in operators.items()
        }
        for path, operators in counter.get_flop_counts().items()
        if path != "Global"
    }
    return _by_part(network, counts)


def count_with_fvcore(network: nn.Module, x: Tensor) -> Counter[Part]:
    """FLOPs by part with fvcore's FlopCountAnalysis: twice what it calls flops.

    Its formulas for normalization, pooling and resampling are left out. Ours take the place of
    those that it lacks, that are wrong where the first factor is broadcast (matmul), or that keep
    only the first digits (einsum).

    Args:
        network: as `count_with_torch`.
        x: the input, on a CPU.

    Raises:
        UncountedOperatorError: naming the operators.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # its import uses torch.jit.script
        from fvcore.nn import FlopCountAnalysis, jit_handles

    # A fused linear layer cannot be traced. Where gradients may be wanted, layers are not fused.
    network = deepcopy(network).requires_grad_(False)
    analysis = FlopCountAnalysis(network, x)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    analysis.tracer_warnings("none")
    analysis.clear_op_handles().set_op_handle(
        **_HANDLES,
        **{
            "aten::_convolution": jit_handles.conv_flop_jit,
            "aten::linear": jit_handles.linear_flop_jit,
            "aten::addmm": jit_handles.addmm_flop_jit,
            "aten::mm": jit_handles.matmul_flop_jit,
            "aten::bmm": jit_handles.bmm_flop_jit,
        },
    )
    with torch.enable_grad():
        macs = analysis.by_module_and_operator()
    _check_counted("fvcore", analysis.unsupported_ops())
    counts = {
        path: {operator: 2 * int(count) for operator, count in operators.items()}
        for path, operators in macs.items()
    }
    return _by_part(network, counts)


def _register_formulas() -> None:
    """Use the key-graph's operators: that registers their formulas, which a new counter copies."""
    token = torch.zeros(1, 1, 1)
    graph = build_key_graph(token, 1)
    key_graph_attention(token[None], token[None], token[None], graph)


class _Uncounted(TorchDispatchMode):
    """Collects the operators that run but have no formula."""

    def __init__(self, counter: FlopCounterMode) -> None:
        super().__init__()
        self.names: set[str] = set()
        self._known = counter.flop_registry

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket not in self._known:
            self.names.add(func.name().partition(".")[0])
        return func(*args, **(kwargs or {}))


def _check_counted(program: str, names: Iterable[str]) -> None:
    missed = sorted(name for name in names if _may_multiply(name))
    if missed:
        raise UncountedOperatorError(
            f"{program} has no formula for {', '.join(missed)}, and would print too few FLOPs; "
            "give it one in benchmarks/measure/counters.py"
        )


def _may_multiply(name: str) -> bool:
    """Whether an operator, as "namespace::name", is a product by its name or of unknown origin."""
    namespace, _, operator = name.partition("::")
    if namespace not in ("aten", "prims"):
        return name not in _FREE
    return any(_PRODUCT.fullmatch(word) for word in operator.split("_"))


def _by_part(network: nn.Module, counts: Mapping[str, Mapping[str, int]]) -> Counter[Part]:
    """Sum FLOPs by part.

    Args:
        network: whose modules the paths name.
        counts: FLOPs by path and operator; what a module counts includes its submodules.
    """
    own = {path: Counter(operators) for path, operators in counts.items()}
    for path, operators in counts.items():
        if path:
            own[_enclosing(path, counts)].subtract(operators)
    parts: Counter[Part] = Counter(dict.fromkeys(PARTS, 0))
    for path, remaining in own.items():
        module = network.get_submodule(path)
        for operator, flops in remaining.items():
            parts[_part_of(path, module, operator)] += flops
    return parts


def _enclosing(path: str, paths: Mapping[str, Any]) -> str:
    while path:
        path = path.rpartition(".")[0]
        if path in paths:
            return path
    return ""


def _part_of(path: str, module: nn.Module, operator: str) -> Part:
    """What an operator is for, that runs in a module itself and in no submodule of it."""
    if "conv" in operator:
        return "convolution"
    if operator in _LINEAR:
        return "position_bias" if _BIAS_MODULES.intersection(path.split(".")) else "linear"
    if operator == "select_keys":
        return "graph"
    if operator in _BATCHED:
        return "graph" if isinstance(module, KGTStage) else "attention"
    return "attention" if "attention" in operator else "other"


def _count_fused_attention(q: Any, k: Any, v: Any, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(q, k, v)


_CPU_FORMULAS = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _count_fused_attention}


def flop_counter() -> FlopCounterMode:
    """Torch's counter with a formula for fused attention on CPUs, which it knows on GPUs only."""
    return FlopCounterMode(display=False, custom_mapping=_CPU_FORMULAS)


def _shape(value: Any) -> list[int]:
    return value.type().sizes()


def _count_matmul(inputs: list[Any], outputs: list[Any]) -> int:
    return prod(_shape(outputs[0])) * _shape(inputs[0])[-1]


def _count_einsum(inputs: list[Any], outputs: list[Any]) -> int:
    """Multiply-adds of two factors: one for every combination of their axes."""
    factors = inputs[0].toIValue().replace(" ", "").partition("->")[0].split(",")
    shapes = [_shape(value) for value in inputs[1].node().inputs()]
    if len(factors) != 2 or "..." in "".join(factors):
        raise UncountedOperatorError(f"fvcore cannot count einsum of {' and '.join(factors)}")
    sizes = {
        axis: size
        for factor, shape in zip(factors, shapes, strict=True)
        for axis, size in zip(factor, shape, strict=True)
    }
    return prod(sizes.values())


def _count_attention(inputs: list[Any], outputs: list[Any]) -> int:
    q, k, v = (_shape(value) for value in inputs[:3])
    return prod(q[:-1]) * k[-2] * (q[-1] + v[-1])


def _count_graph_attention(inputs: list[Any], outputs: list[Any]) -> int:
    return count_forward_flops(*(_shape(value) for value in inputs[:4])) // 2


def _count_similarities(inputs: list[Any], outputs: list[Any]) -> int:
    windows, nodes, channels = _shape(inputs[0])
    return windows * nodes * nodes * channels


_HANDLES: dict[str, Callable[[list[Any], list[Any]], int]] = {
    "aten::matmul": _count_matmul,
    "aten::einsum": _count_einsum,
    "aten::scaled_dot_product_attention": _count_attention,
    "kgt::attention_forward": _count_graph_attention,
    "kgt::select_keys": _count_similarities,
}
