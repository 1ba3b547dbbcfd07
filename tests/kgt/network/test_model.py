import pytest
import torch

import kgt
from kgt.config import PRESETS
from kgt.network.layers import KGTStage

SMALL = {"embed_dim": 12, "heads": 3, "window": 4, "k": 6, "depths": (1, 2), "bias_hidden": 8}
SMALL_U = {
    "unshuffle": 1,
    "embed_dim": 8,
    "heads": 2,
    "depths": (1, 1),
    "final_depth": 1,
    "level_windows": (4, 4),
    "k": 6,
    "bias_hidden": 8,
}


def parameters(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("kgt-s-x2", 11_869_991),
        ("kgt-s-x3", 12_054_631),
        ("kgt-s-x4", 12_017_703),
        ("kgt-b-x2", 19_895_783),
        ("kgt-b-x3", 20_080_423),
        ("kgt-b-x4", 20_043_495),
    ],
)
def test_columnar_parameter_counts(name, count):
    with torch.device("meta"):
        assert parameters(kgt.create_model(name)) == count


@pytest.mark.parametrize(("name", "count"), [("kgt-s-x2", 11_869_775), ("kgt-b-x2", 19_895_399)])
def test_parameter_counts_without_learned_scale(name, count):
    with torch.device("meta"):
        assert parameters(kgt.create_model(name, learned_scale=False)) == count


def test_u_shape_has_the_printed_size():
    with torch.device("meta"):
        assert parameters(kgt.create_model("kgt-u")) == pytest.approx(25.82e6, rel=0.01)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_says_what_it_is(name):
    with torch.device("meta"):
        network = kgt.create_model(name)
    assert network.task == network.config.task
    assert network.scale == int(name[-1]) if name[-2] == "x" else 1
    assert network.size_multiple % network.config.windows[0] == 0


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(4, 4), (9, 14)])
def test_columnar_restores_any_size(scale, channels, size):
    network = kgt.create_model(f"kgt-tiny-x{scale}", in_channels=channels, **SMALL).eval()
    x = torch.rand(2, channels, *size)
    with torch.inference_mode():
        y = network(x)
        assert y.shape == (2, channels, scale * size[0], scale * size[1])
        assert network(x).equal(y)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(4, 4), (9, 15)])
def test_u_shape_restores_any_size(channels, size):
    network = kgt.create_model("kgt-tiny-deblur", in_channels=channels, **SMALL_U).eval()
    x = torch.rand(2, channels, *size)
    with torch.inference_mode():
        assert network(x).shape == x.shape


@pytest.mark.parametrize(
    ("name", "small"), [("kgt-tiny-x2", {**SMALL, "scale": 1}), ("kgt-tiny-weather", SMALL_U)]
)
def test_unshuffling_trades_pixels_for_channels(name, small):
    """It is what a network without it does on blocks of pixels, for a quarter of the tokens."""
    network = kgt.create_model(name, **{**small, "unshuffle": 2}).eval()
    multiple = network.size_multiple
    assert multiple == 2 * kgt.create_model(name, **{**small, "unshuffle": 1}).size_multiple
    seen = []
    reconstruct = network.reconstruct
    network.reconstruct = lambda x: seen.append(x.shape) or reconstruct(x)
    x = torch.rand(2, 3, 2 * multiple, multiple)
    with torch.inference_mode():
        y = network(x)
        blocks = (x - network.mean).unfold(2, 2, 2).unfold(3, 2, 2)  # [B, C, h, w, 2, 2]
        blocks = blocks.permute(0, 1, 4, 5, 2, 3).flatten(1, 3)
        parts = reconstruct(blocks).unflatten(1, (3, 2, 2))
    assert seen == [(2, 12, multiple, multiple // 2)]
    for row in (0, 1):
        for column in (0, 1):
            torch.testing.assert_close(
                y[..., row::2, column::2], parts[:, :, row, column] + network.mean
            )
    with pytest.raises(ValueError, match="smaller than one window of 8x8"):
        network(torch.rand(1, 3, 7, 9))


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"unshuffle": 3}, "unshuffle = 3; valid: 1, 2, 4"), ({"unshuffle": 2}, "at the same size")],
)
def test_pixels_are_unshuffled_at_the_same_size_only(fields, message):
    with pytest.raises(ValueError, match=message):
        kgt.create_model("kgt-tiny-x2", **fields)


CHOICES = [
    {"include_self": False},
    {"similarity": "cosine"},
    {"graph_scope": "layer"},
    {"upsampler": "pixelshuffle"},
    {"norm": "post"},
    {"score": "cosine"},
    {"learned_scale": False},
    {"position_bias": "none"},
    {"window_offset": "none"},
    {"mean": (0.0, 0.0, 0.0)},
]


@pytest.mark.parametrize("choice", CHOICES, ids=[next(iter(choice)) for choice in CHOICES])
def test_every_assumed_choice_changes_the_result(choice):
    def run(**fields):
        torch.manual_seed(1)
        network = kgt.create_model("kgt-tiny-x2", **{**SMALL, **fields})
        for p in network.parameters():
            p.data.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(2)))
        return network(torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(3)))

    assert not torch.allclose(run(), run(**choice), atol=1e-6)


def test_the_graph_is_built_once_per_stage(monkeypatch):
    built = []
    connect = KGTStage.connect
    monkeypatch.setattr(
        KGTStage, "connect", lambda self, *args: built.append(self) or connect(self, *args)
    )
    kgt.create_model("kgt-tiny-x2", **SMALL)(torch.rand(1, 3, 8, 8))
    assert len(built) == 2
    built.clear()
    kgt.create_model("kgt-tiny-x2", graph_scope="layer", **SMALL)(torch.rand(1, 3, 8, 8))
    assert len(built) == 3


def test_stages_alternate_their_offset():
    with torch.device("meta"):
        columnar = kgt.create_model("kgt-s-x4")
        u = kgt.create_model("kgt-u")
    assert [stage.offset for stage in columnar.stages] == [0, 16] * 3
    assert [stage.offset for stage in u.encoder] == [0, 0, 0]
    assert [stage.offset for stage in u.decoder] == [16, 16, 8]


def test_no_information_crosses_the_image_border():
    """A change in the last rows must not reach the first rows through the cyclic shift."""
    torch.manual_seed(0)
    config = kgt.KGTConfig(embed_dim=8, heads=2, depths=(1,), window=4, k=16, bias_hidden=8)
    stage = KGTStage(config, 8, 2, 2, 4, shifted=True)
    x = torch.randn(1, 12, 12, 8)
    changed = x.clone()
    changed[:, -1] += 1
    moved = (stage(x) - stage(changed)).abs().amax(-1)[0]
    assert moved[-1].min() > 0
    assert moved[:4].max() == 0


def test_all_keys_make_the_choice_of_similarity_irrelevant():
    torch.manual_seed(0)
    network = kgt.create_model("kgt-tiny-x2", **{**SMALL, "k": 16}).eval()
    x = torch.rand(1, 3, 8, 8)
    expected = network(x)
    for stage in network.stages:
        stage.similarity = "cosine"
    torch.testing.assert_close(network(x), expected)


def test_backends_agree_in_the_network_and_gradients_reach_every_parameter():
    torch.manual_seed(0)
    network = kgt.create_model("kgt-tiny-x2", **SMALL).double()
    x = torch.rand(1, 3, 7, 10, dtype=torch.float64)
    outputs = []
    for backend in ("reference", "torch-mask", "torch-gather", "sdpa"):
        network.set_backend(backend)
        outputs.append(network(x))
        torch.testing.assert_close(outputs[-1], outputs[0], rtol=0, atol=1e-10)
    outputs[-1].sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_k_can_change_after_construction():
    network = kgt.create_model("kgt-tiny-x2", **SMALL).eval()
    x = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        few = network(x)
        network.set_k(16)
        assert not network(x).equal(few)
        network.set_k(SMALL["k"])
        assert network(x).equal(few)
    with pytest.raises(ValueError, match="k = 0"):
        network.set_k(0)


def test_bfloat16_autocast_stays_close():
    torch.manual_seed(0)
    network = kgt.create_model("kgt-tiny-x2", **SMALL).eval()
    x = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        exact = network(x)
        with torch.autocast("cpu", torch.bfloat16):
            assert (network(x) - exact).abs().max() < 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "kgt-xl"}, "unknown model 'kgt-xl'; valid: kgt-.*kgt-b-x2"),
        ({"name": "kgt-s-x2", "windows": 8}, "unknown field 'windows'; valid: window, "),
        ({"name": "kgt-s-x2", "similarity": "l2"}, "dot, cosine"),
        ({"name": "kgt-s-x2", "backend": "fast"}, "unknown backend 'fast'"),
        ({"name": "kgt-s-x2", "in_channels": 4}, "in_channels = 4"),
        ({"name": "kgt-s-x2", "k": 0}, "k = 0"),
        ({"name": "kgt-s-x2", "heads": 7}, "not a multiple"),
        ({"name": "kgt-s-x2", "pretrained": True}, "no trained weights"),
        ({"name": "kgt-u", "level_windows": (8,)}, "4 levels"),
        ({"name": "kgt-u", "scale": 2}, "same size"),
    ],
)
def test_bad_configurations_are_named(arguments, message):
    with pytest.raises(ValueError, match=message), torch.device("meta"):
        kgt.create_model(**arguments)


def test_an_image_smaller_than_a_window_is_refused():
    network = kgt.create_model("kgt-tiny-x2", **SMALL)
    with pytest.raises(ValueError, match=r"3x9.*4x4"):
        network(torch.rand(1, 3, 3, 9))


@pytest.mark.parametrize("shape", ["u", "columnar"])
@pytest.mark.parametrize("unshuffle", [1, 2])
def test_of_two_images_that_it_sees_a_network_restores_the_second(shape, unshuffle):
    fields = {**SMALL_U, "window": 4, "shape": shape, "unshuffle": unshuffle}
    network = kgt.create_model("kgt-tiny-deblur", in_channels=6, out_channels=3, **fields).eval()
    assert network.in_channels == 6
    last = network.conv_out if shape == "u" else network.head
    x = torch.rand(2, 6, 20, 24)
    with torch.no_grad():
        assert network(x).shape == (2, 3, 20, 24)
        assert not network(x).equal(network(torch.cat([x[:, 3:], x[:, 3:]], dim=1)))
        last.weight.zero_()
        last.bias.zero_()
        torch.testing.assert_close(network(x), x[:, 3:], rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="the input has 3 channels, the network takes 6"):
        network(x[:, 3:])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"in_channels": 5}, "in_channels = 5; valid: 1, 3, 6"),
        ({"out_channels": 4}, "out_channels = 4; valid: 1 to in_channels = 3"),
        ({"out_channels": 0}, "out_channels = 0; valid"),
        ({"in_channels": 6, "out_channels": 3}, "out_channels = 3 needs scale = 1; scale = 2"),
    ],
)
def test_channels_that_do_not_go_together_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        kgt.create_model("kgt-tiny-x2", **fields)
