"""Published networks as their authors wrote them, through spandrel.

spandrel is imported where it is used: it loads some forty architectures, which takes seconds.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from baselines.checkpoints import read_weights
from baselines.registry import register
from baselines.swinir import PRESETS
from kgt.contract import UNKNOWN, Restorer


class PublishedNetwork(nn.Module):
    """A network of any architecture that spandrel knows, for inference.

    Args:
        descriptor: spandrel's `ImageModelDescriptor`, which holds the network and knows its
            scale, channels and size requirements.
    """

    provenance = UNKNOWN

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        self.network = descriptor.model
        self.scale: int = descriptor.scale
        self.in_channels: int = descriptor.input_channels
        self.task = "restoration" if descriptor.purpose == "Restoration" else "sr"
        self.size_multiple: int = descriptor.size_requirements.multiple_of
        self._descriptor = descriptor

    def forward(self, x: Tensor) -> Tensor:
        """Restore [B, C, h, w] in [0, 1] to [B, C', scale * h, scale * w], clipped to [0, 1].

        Runs without gradients and in evaluation mode.
        """
        return self._descriptor(x)


def load_checkpoint(path: str | Path) -> PublishedNetwork:
    """Open a checkpoint file; its architecture is recognized by its parameters.

    Args:
        path: a .safetensors file, or one that `torch.load` reads. Only tensors are read from it,
            no code is run.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: naming the file, when it cannot be read, carries code, is no checkpoint, its
            architecture is not among spandrel's, parameters are missing or left over, or it does
            not map an image to an image.
    """
    import spandrel

    weights = _unwrap(path)
    try:
        descriptor = spandrel.ModelLoader().load_from_state_dict(weights)
    except spandrel.UnsupportedModelError as error:
        raise ValueError(
            f"{path} holds no architecture that spandrel {spandrel.__version__} recognizes; its "
            f"parameters begin with {', '.join(sorted(weights)[:3])}. If its network can be built, "
            "load them with load_state_dict"
        ) from error
    # An architecture is guessed by a few names and its shape computed from the parameters, which
    # fails anywhere when others are missing.
    except Exception as error:
        raise ValueError(
            f"{path} looks like an architecture that spandrel {spandrel.__version__} knows, but "
            f"its parameters do not fit it: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(descriptor, spandrel.ImageModelDescriptor):
        raise ValueError(f"{path} holds a network that takes more than an image, such as a mask")
    return PublishedNetwork(descriptor).eval()


def _unwrap(path: str | Path) -> dict[str, Tensor]:
    """The parameters by name, from under the names that training programs put around them."""
    import spandrel

    weights = spandrel.canonicalize_state_dict(read_weights(path))
    foreign = [str(name) for name, value in weights.items() if not isinstance(value, Tensor)]
    if foreign or not weights:
        raise ValueError(
            f"{path} is no checkpoint of a network: {', '.join(foreign[:3]) or 'it'} "
            "holds no tensor"
        )
    return weights


def build_upstream_swinir(**fields: Any) -> Restorer:
    """Build SwinIR from the code its authors published, with random weights.

    It answers as `baselines.swinir.SwinIR` does but rebuilds the shift mask on the CPU in every
    block for any input that is not 8x8 windows large, and attends without a fused kernel. These
    handicaps are its own and are timed under its own name.

    Args:
        **fields: those of `SwinIRConfig` but upsample_features, which upstream fixes at 64.

    Returns:
        The upstream module with the attributes every baseline has.
    """
    from spandrel.architectures.SwinIR import SwinIR

    depths = list(fields["depths"])
    network: Any = SwinIR(
        img_size=8 * fields["window_size"],
        in_chans=fields["in_channels"],
        embed_dim=fields["embed_dim"],
        depths=depths,
        num_heads=[fields["num_heads"]] * len(depths),
        window_size=fields["window_size"],
        mlp_ratio=fields["mlp_ratio"],
        upscale=fields["scale"],
        img_range=fields["img_range"],
        upsampler=fields["upsampler"],
    )
    return _describe(
        network,
        fields["scale"],
        fields["in_channels"],
        fields["window_size"],
        "sr" if fields["upsampler"] else "restoration",
    )


def build_hat(**fields: Any) -> Restorer:
    """Build HAT (arXiv 2205.04437) from the code its authors published, with random weights.

    Args:
        **fields: scale, in_channels, embed_dim (C), depths (blocks per group), num_heads,
            window_size (M in pixels), mlp_ratio (hidden width over C).

    Returns:
        The authors' module with the attributes every baseline has.
    """
    from spandrel.architectures.HAT import HAT

    depths = list(fields["depths"])
    network = HAT(
        img_size=64,
        in_chans=fields["in_channels"],
        embed_dim=fields["embed_dim"],
        depths=depths,
        num_heads=[fields["num_heads"]] * len(depths),
        window_size=fields["window_size"],
        compress_ratio=3,
        squeeze_factor=30,
        overlap_ratio=0.5,
        mlp_ratio=fields["mlp_ratio"],
        upscale=fields["scale"],
    )
    return _describe(network, fields["scale"], fields["in_channels"], fields["window_size"])


def build_dat(**fields: Any) -> Restorer:
    """Build DAT (arXiv 2308.03364) from the code its authors published, with random weights.

    Its batch normalization of pooled maps trains on two images or more.

    Args:
        **fields: as `build_hat`, but split_size (height and width of a window) for window_size.

    Returns:
        The authors' module with the attributes every baseline has.
    """
    from spandrel.architectures.DAT import DAT

    depths = list(fields["depths"])
    network = DAT(
        img_size=64,
        in_chans=fields["in_channels"],
        embed_dim=fields["embed_dim"],
        split_size=list(fields["split_size"]),
        depth=depths,
        num_heads=[fields["num_heads"]] * len(depths),
        expansion_factor=fields["mlp_ratio"],
        upscale=fields["scale"],
    )
    return _describe(network, fields["scale"], fields["in_channels"], max(fields["split_size"]))


def build_grl(**fields: Any) -> Restorer:
    """Build GRL (arXiv 2303.00748) from the code its authors published, with random weights.

    Args:
        **fields: as `build_hat`, and stripe_size (side of a stripe in pixels); num_heads is that of
            the window attention and, again, of the anchored stripe attention.

    Returns:
        The authors' module with the attributes every baseline has.
    """
    from spandrel.architectures.GRL import GRL

    depths = list(fields["depths"])
    network = GRL(
        img_size=64,
        in_channels=fields["in_channels"],
        out_channels=fields["in_channels"],
        embed_dim=fields["embed_dim"],
        upscale=fields["scale"],
        upsampler="pixelshuffle",
        depths=depths,
        num_heads_window=[fields["num_heads"]] * len(depths),
        num_heads_stripe=[fields["num_heads"]] * len(depths),
        window_size=fields["window_size"],
        stripe_size=[fields["stripe_size"]] * 2,
        stripe_shift=True,
        mlp_ratio=fields["mlp_ratio"],
        anchor_window_down_factor=4,
        local_connection=True,
    )
    multiple = max(fields["window_size"], fields["stripe_size"])
    return _describe(network, fields["scale"], fields["in_channels"], multiple)


def build_dncnn(**fields: Any) -> Restorer:
    """Build DnCNN (Zhang et al., "Beyond a Gaussian Denoiser", TIP 2017) with random weights.

    Convolutions 3x3, batch normalization between them; the network predicts the noise.

    Args:
        **fields: in_channels, features (width), depth (number of convolutions).

    Returns:
        The authors' module with the attributes every baseline has.
    """
    from spandrel.architectures.DnCNN import DnCNN

    channels = fields["in_channels"]
    network = DnCNN(
        in_nc=channels, out_nc=channels, nc=fields["features"], nb=fields["depth"], act_mode="BR"
    )
    return _describe(network, 1, channels, 1, "denoise")


def build_nafnet(**fields: Any) -> Restorer:
    """Build NAFNet (arXiv 2204.04676) from the code its authors published, with random weights.

    A U shape of convolutions with gates in the place of activations.

    Args:
        **fields: in_channels, width (of the top level, doubled at each level down), encoder and
            decoder (blocks per level, down and up), middle (blocks between them).

    Returns:
        The authors' module with the attributes every baseline has.
    """
    from spandrel.architectures.NAFNet import NAFNet

    network = NAFNet(
        img_channel=fields["in_channels"],
        width=fields["width"],
        middle_blk_num=fields["middle"],
        enc_blk_nums=list(fields["encoder"]),
        dec_blk_nums=list(fields["decoder"]),
    )
    multiple = 2 ** len(fields["encoder"])
    return _describe(network, 1, fields["in_channels"], multiple, "denoise")


def build_scunet(**fields: Any) -> Restorer:
    """Build SCUNet (arXiv 2203.13278) from the code its authors published, with random weights.

    A U shape whose blocks split their channels between a residual convolution and a Swin
    transformer. Images of less than 40 pixels are too small for its padding.

    Args:
        **fields: in_channels, width (of the top level, doubled at each level down), depths (blocks
            of the four levels down and the three up).

    Returns:
        The authors' module with the attributes every baseline has.
    """
    from spandrel.architectures.SCUNet import SCUNet

    network = SCUNet(
        in_nc=fields["in_channels"], config=list(fields["depths"]), dim=fields["width"]
    )
    return _describe(network, 1, fields["in_channels"], 64, "denoise")


def _describe(
    network: Any, scale: int, in_channels: int, size_multiple: int, task: str = "sr"
) -> Restorer:
    """Give a module the attributes that every baseline has."""
    network.scale = scale
    network.in_channels = in_channels
    network.size_multiple = size_multiple
    network.task = task
    network.provenance = UNKNOWN
    return network


for _size in ("m", "s"):
    for _scale in (2, 3, 4):
        _fields = asdict(replace(PRESETS[_size], scale=_scale))
        del _fields["upsample_features"]
        register(f"swinir-upstream-{_size}-x{_scale}", **_fields)(build_upstream_swinir)

# The sizes the authors call HAT, DAT and GRL-B.
_COMMON: dict[str, Any] = {"scale": 4, "in_channels": 3, "embed_dim": 180}
register("hat-x4", **_COMMON, depths=(6,) * 6, num_heads=6, window_size=16, mlp_ratio=2.0)(
    build_hat
)
register("dat-x4", **_COMMON, depths=(6,) * 6, num_heads=6, split_size=(8, 32), mlp_ratio=4.0)(
    build_dat
)
register(
    "grl-b-x4",
    **_COMMON,
    depths=(4, 4, 8, 8, 8, 4, 4),
    num_heads=3,
    window_size=32,
    stripe_size=64,
    mlp_ratio=2.0,
)(build_grl)

# DnCNN-S for gray and CDnCNN-B for color images.
register("dncnn-gray", in_channels=1, features=64, depth=17)(build_dncnn)
register("dncnn-color", in_channels=3, features=64, depth=20)(build_dncnn)

# The width of 64 is that of the authors' network for the noise of phones (SIDD).
register(
    "nafnet-64",
    in_channels=3,
    width=64,
    encoder=(2, 2, 4, 8),
    middle=12,
    decoder=(2, 2, 2, 2),
)(build_nafnet)
register("scunet-color", in_channels=3, width=64, depths=(4,) * 7)(build_scunet)
