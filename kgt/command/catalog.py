"""`kgt list` and `kgt info`: which models there are, and what is known of one."""

from __future__ import annotations

import argparse
import json
from typing import Any

from kgt.cli import Exit, add_json, parse_model


def add(commands: Any) -> None:
    """Add the commands."""
    listed = commands.add_parser(
        "list",
        help="name the models",
        description="Name the models of KGT, and then those that it is compared with.",
        examples=("kgt list", "kgt list --pretrained"),
    )
    listed.add_argument("--pretrained", action="store_true", help="those with trained weights only")
    add_json(listed, "a JSON list")
    listed.set_defaults(run=_list)

    info = commands.add_parser(
        "info",
        help="describe a model: task, parameters, fields, training",
        description="Describe a model: its task, parameters and fields, and how it was trained.",
        examples=("kgt info kgt-tiny-x4", "kgt info swinir-m-x4:window_size=16 --json"),
    )
    info.add_argument("model", metavar="NAME[:field=value]", help="a name that `kgt list` prints")
    add_json(info)
    info.set_defaults(run=_describe)


def _list(options: argparse.Namespace) -> Exit:
    from baselines.catalog import list_any_models

    names = list_any_models(options.pretrained)
    print(json.dumps(names) if options.json else "\n".join(names))
    return Exit.FINE


def _describe(options: argparse.Namespace) -> Exit:
    from baselines.catalog import create_any_model, find_shipped, list_any_models, list_fields
    from kgt.checkpoints import read_checkpoint

    name, given = parse_model(options.model)
    model = create_any_model(name, **given)
    shipped = find_shipped(name)
    described = {
        "model": name,
        "task": model.task,
        "scale": model.scale,
        "channels": model.in_channels,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "pretrained": name in list_any_models(pretrained=True),
        "training": read_checkpoint(shipped.path).metadata if shipped else {},
        "fields": list_fields(name) | given,
    }
    if options.json:
        print(json.dumps(described, default=str))
        return Exit.FINE
    for key, value in described.items():
        rows = value.items() if isinstance(value, dict) else [("", value)]
        for part, one in rows:
            print(f"{key} {part}".strip() + f": {one}")
    return Exit.FINE
