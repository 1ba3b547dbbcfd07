"""`python -m kgt restore`: pictures in, restored pictures out."""

import sys
from typing import TYPE_CHECKING, Any

import kgt
from kgt.command import Networks, main

if TYPE_CHECKING:
    from kgt.contract import Restorer


def _list_models(pretrained: bool) -> list[str]:
    return kgt.list_models(pretrained)


def _create_model(name: str, pretrained: bool = False, **overrides: Any) -> "Restorer":
    return kgt.create_model(name, pretrained, **overrides)


NETWORKS = Networks("kgt", "kgt-tiny", _list_models, _create_model)

if __name__ == "__main__":
    sys.exit(main(NETWORKS))
