"""`python -m baselines restore`: as `python -m kgt restore`, with the networks of this package."""

import sys
from typing import TYPE_CHECKING, Any

import baselines
from kgt.command import Networks, main

if TYPE_CHECKING:
    from kgt.contract import Restorer


def _list_models(pretrained: bool) -> list[str]:
    return baselines.list_models(pretrained)


def _create_model(name: str, pretrained: bool = False, **overrides: Any) -> "Restorer":
    return baselines.create_model(name, pretrained, **overrides)


_OTHERS = {"deblur": "deconvolved-swinir-tiny-deblur"}
NETWORKS = Networks("baselines", "swinir-tiny", _list_models, _create_model, _OTHERS)

if __name__ == "__main__":
    sys.exit(main(networks=NETWORKS))
