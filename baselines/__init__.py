"""The models KGT is compared with.

Importing the package registers them: `list_models()` names them, `create_model(name)` builds one.
"""

from baselines.classical import Bicubic, Identity
from baselines.deblurring import Wiener
from baselines.demosaicking import DemosaicNet, Malvar, Menon
from baselines.denoising import BM3D, NonLocalMeans, TotalVariation, Wavelet
from baselines.dense import DenseTwin
from baselines.ffdnet import FFDNet
from baselines.imresize import imresize
from baselines.official import LoadReport, load_official
from baselines.pretrained import WeightsUnavailableError
from baselines.published import load_checkpoint
from baselines.registry import create_model, list_models, model_fields
from baselines.swinir import SwinIR, SwinIRConfig

__all__ = [
    "BM3D",
    "Bicubic",
    "DemosaicNet",
    "DenseTwin",
    "FFDNet",
    "Identity",
    "LoadReport",
    "Malvar",
    "Menon",
    "NonLocalMeans",
    "SwinIR",
    "SwinIRConfig",
    "TotalVariation",
    "Wavelet",
    "WeightsUnavailableError",
    "Wiener",
    "create_model",
    "imresize",
    "list_models",
    "load_checkpoint",
    "load_official",
    "model_fields",
]
