"""Networks as files for other runtimes: ONNX, and the exported programs of torch.

Key-graph attention is exported in plain operators: the largest similarities, a mask, a softmax.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from textwrap import shorten
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from kgt.contract import Restorer, WholeImageRestorer, as_module, has_parameters
from kgt.errors import Failure, unknown
from kgt.files import make_folder, replace_when_complete

_Run = Callable[[Tensor], Tensor]
# Of the root mean square, of values in [0, 1]. Single values may differ by more: of two keys whose
# similarities are equal but for rounding, another runtime may take the other one.
_MOST_DIFFERENCE = 1e-4


@torch.no_grad()
def export_network(
    network: Restorer, path: Path | str, size: tuple[int, int] | None = None
) -> float | None:
    """Write a network as a file that takes images [1, in_channels, h, w], named "image" in ONNX.

    The file checks nothing: images that are not finite, or smaller than the network takes them,
    give a result without a meaning. It appears in its place when its results have been compared
    with the network's.

    Args:
        network: a network of KGT, SwinIR, or any other that torch can export.
        path: a file that ends with .onnx, or with .pt2 for `torch.export.load`.
        size: height and width of the images; None for all sides above `network.size_multiple`.

    Returns:
        The largest difference of the file's results from the network's, in onnxruntime for .onnx;
        None where that is not installed.

    Raises:
        ValueError: for another suffix, a size that the network does not take, or what is no
            network of torch alone.
        ModuleNotFoundError: for .onnx without the packages onnx and onnxscript.
        Failure: torch cannot export the network, or the results differ.
        OSError: where the file cannot be written.
    """
    path = Path(path)
    if path.suffix not in _FORMATS:
        raise unknown("suffix", path.suffix, _FORMATS)
    if isinstance(network, WholeImageRestorer) or not has_parameters(network):
        raise ValueError(
            f"{type(network).__name__} cannot be exported: classical methods and networks with a "
            "blind deconvolution in front compute outside of torch"
        )
    packages, write, load = _FORMATS[path.suffix]
    for package in packages:
        importlib.import_module(package)
    module = copy.deepcopy(as_module(network)).cpu().eval()
    least = network.size_multiple
    sizes = [size] if size else [(least + 2, 2 * least), (3 * least, least + 1)]
    images = [_photograph(network.in_channels, *one) for one in sizes]
    expected = [module(image) for image in images]
    most = None
    # What takes no file is found before the work.
    make_folder(path.parent)
    with replace_when_complete(path) as file:
        content = write(_trace(module, images[0], None if size else least + 1))
        if run := load(content):
            differences = [run(x) - y for x, y in zip(images, expected, strict=True)]
            most = max(float(difference.abs().max()) for difference in differences)
            if not all(d.square().mean().sqrt() <= _MOST_DIFFERENCE for d in differences):
                raise Failure(f"{path} is not written: its results differ by up to {most:.2g}")
        file.write(content)
    return most


def _photograph(channels: int, height: int, width: int) -> Tensor:
    """An image [1, C, h, w] as smooth as a photograph, whose tokens are not alike."""
    generator = torch.Generator().manual_seed(0)
    coarse, fine = (
        torch.rand(1, channels, *sides, generator=generator, dtype=torch.float32)
        for sides in ((height // 8 + 2, width // 8 + 2), (height, width))
    )
    return 0.9 * F.interpolate(coarse, (height, width), mode="bilinear") + 0.1 * fine


def _trace(module: nn.Module, image: Tensor, least: int | None) -> ExportedProgram:
    """The program for images of this size, or of all sides of at least `least` pixels."""
    sides = None if least is None else {2: Dim("height", min=least), 3: Dim("width", min=least)}
    try:
        return torch.export.export(
            module,
            (image,),
            dynamic_shapes=None if sides is None else (sides,),
            # torch cannot prove some of what holds for every size, such as 16 h > h.
            prefer_deferred_runtime_asserts_over_guards=True,
        )
    except ValueError:  # of the network itself
        raise
    # Whatever the network does that torch cannot follow.
    except Exception as error:
        reason = shorten(str(error), 200, placeholder=" ...")
        raise Failure(f"torch cannot export this network: {reason}") from error


def _write_onnx(program: ExportedProgram) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about itself
        exported = torch.onnx.export(
            program, input_names=["image"], output_names=["restored"], dynamo=True, verbose=False
        )
    assert exported is not None
    return exported.model_proto.SerializeToString()


def _load_onnx(content: bytes) -> _Run | None:
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda image: torch.from_numpy(session.run(None, {"image": image.numpy()})[0])


def _write_program(program: ExportedProgram) -> bytes:
    file = io.BytesIO()
    torch.export.save(program, file)
    return file.getvalue()


def _load_program(content: bytes) -> _Run:
    return torch.export.load(io.BytesIO(content)).module()


class _Format(NamedTuple):
    """The packages that a file needs, what makes its bytes, and what runs them if it can."""

    packages: tuple[str, ...]
    write: Callable[[ExportedProgram], bytes]
    load: Callable[[bytes], _Run | None]


_FORMATS: dict[str, _Format] = {
    ".onnx": _Format(("onnx", "onnxscript"), _write_onnx, _load_onnx),
    ".pt2": _Format((), _write_program, _load_program),
}
