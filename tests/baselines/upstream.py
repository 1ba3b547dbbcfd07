"""SwinIR by its authors' code, for comparison with ours."""

from pathlib import Path

from spandrel.architectures.SwinIR import SwinIR as UpstreamSwinIR

from kgt.checkpoints import Checkpoint, fill


def create_upstream(config):
    """The authors' network of a `SwinIRConfig`, with their initial values."""
    return UpstreamSwinIR(
        img_size=8 * config.window_size,
        in_chans=config.in_channels,
        embed_dim=config.embed_dim,
        depths=list(config.depths),
        num_heads=[config.num_heads] * len(config.depths),
        window_size=config.window_size,
        mlp_ratio=config.mlp_ratio,
        upscale=config.scale,
        img_range=config.img_range,
        upsampler=config.upsampler,
    )


def copy_weights(upstream, model):
    """Put the weights of the authors' network into ours."""
    fill(model, Checkpoint(Path("upstream.pth"), upstream.state_dict(), {}))
