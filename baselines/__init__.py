"""The models KGT is compared with: `list_models()` names them, `create_model(name)` builds one.

A name is imported with its module when it is first used: commands start without torch.
"""

from typing import TYPE_CHECKING

from kgt.lazy import find_in

if TYPE_CHECKING:
    from baselines.classical import Bicubic, Identity
    from baselines.deblurring import Wiener
    from baselines.deconvolved import Deconvolved
    from baselines.demosaicking import Malvar, Menon
    from baselines.demosaicnet import DemosaicNet
    from baselines.denoising import BM3D, NonLocalMeans, TotalVariation, Wavelet
    from baselines.dense import DenseTwin
    from baselines.ffdnet import FFDNet
    from baselines.loading import load_checkpoint
    from baselines.pretrained import WeightsUnavailableError
    from baselines.registry import create_model, list_models, model_fields
    from baselines.swinir import SwinIR, SwinIRConfig

_HOMES = {
    "BM3D": "denoising",
    "Bicubic": "classical",
    "Deconvolved": "deconvolved",
    "DemosaicNet": "demosaicnet",
    "DenseTwin": "dense",
    "FFDNet": "ffdnet",
    "Identity": "classical",
    "Malvar": "demosaicking",
    "Menon": "demosaicking",
    "NonLocalMeans": "denoising",
    "SwinIR": "swinir",
    "SwinIRConfig": "swinir",
    "TotalVariation": "denoising",
    "Wavelet": "denoising",
    "WeightsUnavailableError": "pretrained",
    "Wiener": "deblurring",
    "create_model": "registry",
    "list_models": "registry",
    "load_checkpoint": "loading",
    "model_fields": "registry",
}
__all__ = [*_HOMES]
__getattr__ = find_in(__name__, _HOMES)
