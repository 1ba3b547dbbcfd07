"""Small networks of each shape that there is, which torch's tools are tried on."""

from baselines.catalog import create_any_model

_KGT = {"embed_dim": 12, "heads": 3, "k": 6, "bias_hidden": 8, "depths": (1, 1)}
_SWINIR = {"embed_dim": 12, "num_heads": 3, "window_size": 4, "depths": (2,)}
NETWORKS = {
    "kgt-tiny-x4": {**_KGT, "window": 4},
    "kgt-tiny-denoise-color": {**_KGT, "final_depth": 1, "level_windows": (4, 4)},
    "swinir-tiny-x4": _SWINIR,
    "swinir-tiny-jpeg-color": _SWINIR,
}


def build(name):
    """A small network, by the name of what it is a small one of, with random weights."""
    return create_any_model(name, **NETWORKS[name]).eval()
