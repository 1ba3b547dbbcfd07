"""The models KGT is compared with.

Importing the package registers them: `list_models()` names them, `create_model(name)` builds one.
"""

from baselines.classical import Bicubic, Identity
from baselines import demosaicking, ffdnet  # noqa
from baselines.dense import DenseTwin
from baselines.imresize import imresize
from baselines.published import load_checkpoint
from baselines.registry import create_model, list_models
from baselines.swinir import SwinIR, SwinIRConfig, load_official

__all__ = [
    "Bicubic",
    "DenseTwin",
    "Identity",
    "SwinIR",
    "SwinIRConfig",
    "create_model",
    "imresize",
    "list_models",
    "load_checkpoint",
    "load_official",
]
