"""Export a network with its trained weights, for runtimes other than torch.

The file takes images [1, channels, height, width] of values in [0, 1] and gives restored ones. It
is compared with the network before it appears in its place.

Exit codes: 0 when the file is written, 2 on wrong use, 3 on failure.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from kgt.cli import Exit, add_json, parse_model, say, size
from kgt.files import refuse_existing


def add(commands: Any) -> None:
    """Add the command."""
    export = commands.add_parser(
        "export",
        help="write a network as an ONNX file or a torch program",
        description=__doc__,
        examples=(
            "kgt export kgt-tiny-x4 -o x4.onnx",
            "kgt export swinir-tiny-jpeg-color -o jpeg.onnx --input 256x256",
            "kgt export kgt-tiny-denoise-color:k=32 -o denoise.pt2",
        ),
    )
    export.add_argument("model", metavar="NAME[:field=value]", help="a name that `kgt list` prints")
    export.add_argument("-o", "--out", required=True, type=Path, help="a file, .onnx or .pt2")
    export.add_argument("--weights", metavar="FILE", help="own weights in place of those that ship")
    export.add_argument(
        "--input",
        type=size,
        metavar="HEIGHTxWIDTH",
        help="take images of this size alone; default: of any size above one window",
    )
    export.add_argument("--force", action="store_true", help="overwrite a file that exists")
    add_json(export)
    export.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> Exit:
    from baselines.catalog import create_any_model
    from kgt.export import export_network

    refuse_existing([options.out], options.force)
    name, fields = parse_model(options.model)
    network = create_any_model(name, options.weights or True, **fields)
    difference = export_network(network, options.out, options.input)
    checked = "not compared: onnxruntime is not installed"
    if difference is not None:
        checked = f"compared with the network: differs by at most {difference:.1g}"
    source = f"{options.model} with {options.weights}" if options.weights else options.model
    say("export", f"{source} -> {options.out}, {checked}")
    if options.json:
        model = {"model": options.model, "weights": options.weights}
        print(json.dumps({**model, "out": str(options.out), "difference": difference}))
    return Exit.FINE
