"""`python -m kgt restore`: pictures in, restored pictures out.

This is where the packages meet: what restores photographs of a shaken camera sees a blind
deconvolution, which is a baseline.
"""

import sys
from typing import TYPE_CHECKING, Any

import baselines
import kgt
from kgt.command import Networks, main

if TYPE_CHECKING:
    from kgt.contract import Restorer


_DEBLUR = "deconvolved-kgt-tiny-deblur"


def _list_models(pretrained: bool) -> list[str]:
    others = [_DEBLUR] if _DEBLUR in baselines.list_models(pretrained) else []
    return [*others, *kgt.list_models(pretrained)]


def _create_model(name: str, pretrained: bool = False, **overrides: Any) -> "Restorer":
    package = baselines if name == _DEBLUR else kgt
    return package.create_model(name, pretrained, **overrides)


NETWORKS = Networks("kgt", "kgt-tiny", _list_models, _create_model, {"deblur": _DEBLUR})

if __name__ == "__main__":
    sys.exit(main(networks=NETWORKS))
