from dataclasses import replace

import pytest
import torch

import baselines
import kgt
from baselines import swinir
from baselines.swinir import PRESETS, SwinIR, SwinIRConfig
from tests.baselines.upstream import copy_weights, create_upstream

SMALL = SwinIRConfig(
    scale=2, embed_dim=20, depths=(2, 3), num_heads=2, mlp_ratio=1.5, upsampler="pixelshuffle"
)
BUFFERS = ("attn_mask", "relative_position_index")


def build_upstream(config):
    torch.manual_seed(0)
    network = create_upstream(config).eval()
    # Random values everywhere, or a bias or norm that is never applied would go unnoticed.
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1 if parameter.ndim > 1 else 0.5)
    return network


def build_pair(config):
    upstream = build_upstream(config)
    model = SwinIR(config).eval()
    copy_weights(upstream, model)
    return model, upstream


def relative_error(y, expected):
    return ((y - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("size", [(8, 8), (8, 24), (21, 30)])
@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, scale=3),
        replace(SMALL, scale=4, in_channels=1),
        replace(SMALL, scale=3, upsampler="pixelshuffledirect"),
        replace(SMALL, scale=1, upsampler="", window_size=7, img_range=255.0),
    ],
    ids=lambda c: f"{c.upsampler or 'residual'}-x{c.scale}-w{c.window_size}",
)
@torch.no_grad()
def test_equals_upstream_on_the_same_weights(config, size):
    model, upstream = (network.double() for network in build_pair(config))
    x = torch.rand(2, config.in_channels, *size, dtype=torch.float64)
    y = model(x)
    assert y.shape == (2, config.in_channels, *(config.scale * side for side in size))
    assert relative_error(y, upstream(x)) < 1e-12


@torch.no_grad()
def test_swinir_m_equals_upstream_in_single_precision():
    upstream = build_upstream(PRESETS["m"])
    model = SwinIR(PRESETS["m"]).eval()
    copy_weights(upstream, model)
    x = torch.rand(1, 3, 19, 16)
    assert relative_error(model(x), upstream(x)) < 1e-5


def test_gradients_equal_upstream():
    model, upstream = (network.double() for network in build_pair(SMALL))
    x = torch.rand(2, 3, 16, 20, dtype=torch.float64, requires_grad=True)
    x_upstream = x.detach().clone().requires_grad_()
    model(x).square().mean().backward()
    upstream(x_upstream).square().mean().backward()
    torch.testing.assert_close(x.grad, x_upstream.grad)
    expected = dict(upstream.named_parameters())
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, msg=name)


@torch.no_grad()
def test_padding_the_heads_for_fused_kernels_changes_nothing(monkeypatch):
    model, _ = build_pair(SMALL)
    model.double()
    x = torch.rand(1, 3, 16, 24, dtype=torch.float64)
    expected = model(x)
    shapes = []
    attention = torch.nn.functional.scaled_dot_product_attention

    def record_attention(q, k, v, **kwargs):
        shapes.append(q.shape[-1])
        return attention(q, k, v, **kwargs)

    monkeypatch.setattr(swinir, "head_multiple", lambda device: 8)
    monkeypatch.setattr(swinir.F, "scaled_dot_product_attention", record_attention)
    torch.testing.assert_close(model(x), expected)
    assert set(shapes) == {16}


@pytest.mark.parametrize("size", [(8, 8), (16, 8), (24, 40)])
def test_masks_equal_upstream_and_depend_on_the_size_alone(size):
    rows, columns = size[0] // 8, size[1] // 8
    block = build_upstream(SMALL).layers[0].residual_group.blocks[1]
    expected = block.calculate_mask(size) < 0
    attention = swinir.WindowAttention(SMALL, shift=4)
    bias = attention._mask_windows(attention.position_bias(), 2, rows, columns)
    assert bias.shape == (2 * rows * columns, SMALL.num_heads, 64, 64)
    masked = bias.isinf().unflatten(0, (2, -1))
    assert torch.equal(masked, expected[None, :, None].expand_as(masked))
    torch.testing.assert_close(
        bias, attention.position_bias().expand_as(bias).masked_fill(bias.isinf(), -torch.inf)
    )


@torch.no_grad()
def test_unshifted_windows_have_no_mask(monkeypatch):
    biases = []
    attention = torch.nn.functional.scaled_dot_product_attention

    def record_attention(q, k, v, attn_mask, **kwargs):
        biases.append(attn_mask)
        return attention(q, k, v, attn_mask=attn_mask, **kwargs)

    monkeypatch.setattr(swinir.F, "scaled_dot_product_attention", record_attention)
    SwinIR(replace(SMALL, depths=(2,)))(torch.rand(1, 3, 16, 16))
    assert [bias.shape[0] for bias in biases] == [1, 4]
    assert [bool(bias.isinf().any()) for bias in biases] == [False, True]


@torch.no_grad()
def test_eval_is_deterministic_and_images_do_not_mix():
    model = SwinIR(SMALL).eval().double()
    x = torch.rand(2, 3, 17, 16, dtype=torch.float64)
    y = model(x)
    assert torch.equal(model(x), y)
    torch.testing.assert_close(model(x[1:]), y[1:])


def test_trains_under_bfloat16_autocast():
    model = SwinIR(SMALL)
    x = torch.rand(2, 3, 16, 16)
    expected = model(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = model(x)
        loss = y.square().mean()
    loss.backward()
    assert relative_error(y, expected) < 0.05
    assert all(torch.isfinite(p.grad).all() and p.grad.any() for p in model.parameters())


def test_a_forward_under_inference_mode_does_not_spoil_training():
    model = SwinIR(SMALL)
    x = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        model(x)
    model(x).sum().backward()
    assert model.conv_first.weight.grad.any()


@pytest.mark.parametrize(("scale", "count"), [(2, 11_752_487), (3, 11_937_127), (4, 11_900_199)])
def test_parameters_of_swinir_m(scale, count):
    with torch.device("meta"):
        model = SwinIR(replace(PRESETS["m"], scale=scale))
    assert sum(p.numel() for p in model.parameters()) == count


# The lightweight networks' counts as the paper prints them, which leave out the bias tables.
def test_unshuffling_trades_pixels_for_channels():
    """It is a network of 4 times the channels on blocks of pixels, between the same means."""
    config = replace(SMALL, scale=1, upsampler="", unshuffle=2)
    model = SwinIR(config).eval()
    inner = SwinIR(replace(config, in_channels=12, unshuffle=1)).eval()
    inner.load_state_dict(model.state_dict())
    x = torch.rand(2, 3, 32, 16)
    with torch.inference_mode():
        blocks = inner(torch.nn.PixelUnshuffle(2)(x - model.mean))
        expected = torch.nn.PixelShuffle(2)(blocks) + model.mean
        torch.testing.assert_close(model(x), expected)
        assert model(x[..., :19, :16]).shape == (2, 3, 19, 16)
    assert model.size_multiple == 16
    with pytest.raises(ValueError, match="unshuffle = 2 at scale 2"):
        replace(SMALL, unshuffle=2)


@pytest.mark.parametrize("task", ["denoise-color", "jpeg-color", "demosaic", "deblur", "weather"])
def test_small_networks_have_the_parameters_of_their_kgt(task):
    counts = [
        sum(p.numel() for p in package.create_model(f"{name}-tiny-{task}").parameters())
        for package, name in ((kgt, "kgt"), (baselines, "swinir"))
    ]
    assert counts[1] == pytest.approx(counts[0], rel=0.05)
    assert max(counts) <= 400_000


@pytest.mark.parametrize(("scale", "thousands"), [(2, 878), (3, 886), (4, 897)])
def test_parameters_of_swinir_s(scale, thousands):
    model = SwinIR(replace(PRESETS["s"], scale=scale))
    counts = {name: parameter.numel() for name, parameter in model.named_parameters()}
    tables = sum(n for name, n in counts.items() if name.endswith("bias_table"))
    assert round((sum(counts.values()) - tables) / 1000) == thousands


@pytest.mark.parametrize("size", ["m", "s"])
def test_state_dict_has_the_keys_and_shapes_of_upstream(size):
    upstream = build_upstream(PRESETS[size]).state_dict()
    with torch.device("meta"):
        model = SwinIR(PRESETS[size])
    assert {name: value.shape for name, value in model.state_dict().items()} == {
        name: value.shape for name, value in upstream.items() if not name.endswith(BUFFERS)
    }


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.rand(1, 3, 7, 20), "7x20.*8x8"),
        (torch.rand(1, 1, 16, 16), "1 channels, the network takes 3"),
        (torch.full((1, 3, 16, 16), torch.nan), "NaN"),
        (torch.rand(0, 3, 16, 16), "empty"),
    ],
)
def test_wrong_images_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        SwinIR(SMALL)(x)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": 3}, "embed_dim 20.*num_heads 3"),
        ({"upsampler": "nearest"}, "nearest.*pixelshuffledirect"),
        ({"scale": 5}, "scale 5"),
        ({"upsampler": ""}, "scale 2"),
    ],
)
def test_wrong_shapes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **change)
