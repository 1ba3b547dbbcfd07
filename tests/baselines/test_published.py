import pytest
import torch
from safetensors.torch import save_file

from baselines import create_model, load_checkpoint

SMALL = {"embed_dim": 24, "depths": (2, 2), "num_heads": 2}


@pytest.fixture
def upstream():
    torch.manual_seed(0)
    return create_model("swinir-upstream-s-x2", **SMALL).eval()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@torch.no_grad()
def test_a_saved_network_comes_back(upstream, tmp_path, suffix):
    path = tmp_path / f"network{suffix}"
    if suffix == ".pth":
        torch.save({"params": upstream.state_dict()}, path)
    else:
        save_file(upstream.state_dict(), path)
    model = load_checkpoint(path)
    assert (model.scale, model.in_channels, model.task) == (2, 3, "sr")
    assert not model.training
    x = torch.rand(1, 3, 16, 20)
    torch.testing.assert_close(model(x), upstream(x))


@torch.no_grad()
def test_averaged_weights_are_preferred(upstream, tmp_path):
    zeros = {name: torch.zeros_like(value) for name, value in upstream.state_dict().items()}
    torch.save({"params": zeros, "params_ema": upstream.state_dict()}, tmp_path / "network.pth")
    x = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(load_checkpoint(tmp_path / "network.pth")(x), upstream(x))


SMALL_FIELDS = {
    "hat-x4": {"embed_dim": 60, "depths": (2,)},
    "dat-x4": {"embed_dim": 60, "depths": (2,), "split_size": (4, 8)},
    "dncnn-gray": {"depth": 7},
}


@pytest.mark.parametrize("name", SMALL_FIELDS)
@torch.no_grad()
def test_the_architecture_is_recognized(tmp_path, name):
    original = create_model(name, **SMALL_FIELDS[name]).eval()
    torch.save({"state_dict": original.state_dict(), "epoch": 3}, tmp_path / "network.ckpt")
    model = load_checkpoint(tmp_path / "network.ckpt")
    assert (model.scale, model.in_channels) == (original.scale, original.in_channels)
    x = torch.rand(1, model.in_channels, 16, 32)
    torch.testing.assert_close(model(x), original(x).clamp(0, 1))


def test_a_missing_parameter_is_never_made_up(upstream, tmp_path):
    path = tmp_path / "network.pth"
    weights = upstream.state_dict()
    for name, _ in upstream.named_parameters():
        torch.save({key: value for key, value in weights.items() if key != name}, path)
        with pytest.raises(ValueError, match=r"network\.pth (looks like|does not say)"):
            load_checkpoint(path)


def test_a_parameter_left_over_is_named(upstream, tmp_path):
    weights = {**upstream.state_dict(), "added.weight": torch.zeros(1)}
    torch.save(weights, tmp_path / "network.pth")
    with pytest.raises(ValueError, match=r"(?s)network\.pth looks like .*added\.weight"):
        load_checkpoint(tmp_path / "network.pth")


def test_what_is_no_tensor_is_named(tmp_path):
    torch.save({"step": 3, "losses": [1.0]}, tmp_path / "log.pth")
    with pytest.raises(ValueError, match=r"log\.pth is no checkpoint .*: step, losses hold no"):
        load_checkpoint(tmp_path / "log.pth")


def test_moving_the_module_moves_the_network(upstream, tmp_path):
    torch.save(upstream.state_dict(), tmp_path / "network.pth")
    model = load_checkpoint(tmp_path / "network.pth").double()
    assert model(torch.rand(1, 3, 16, 16).double()).dtype == torch.float64


def test_upstream_rebuilds_its_masks(upstream, monkeypatch):
    block = upstream.layers[0].residual_group.blocks[1]
    sizes = []
    calculate_mask = block.calculate_mask

    def record_mask(size):
        sizes.append(size)
        return calculate_mask(size)

    monkeypatch.setattr(block, "calculate_mask", record_mask)
    upstream(torch.rand(1, 3, 16, 24))
    upstream(torch.rand(1, 3, 16, 24))
    assert sizes == [(16, 24), (16, 24)]


def test_upstream_takes_the_weights_of_ours(upstream):
    ours = create_model("swinir-s-x2", **SMALL).state_dict()
    missing, unexpected = upstream.load_state_dict(ours, strict=False)
    assert unexpected == []
    assert all(name.endswith(("attn_mask", "relative_position_index")) for name in missing)


@pytest.mark.parametrize("name", ["noise.pth", "noise.safetensors", "empty.pth"])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"" if name.startswith("empty") else b"no weights at all" * 9)
    with pytest.raises(ValueError, match=name):
        load_checkpoint(path)


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Intruder:
        def __reduce__(self):
            return exec, ("raise SystemExit('ran')",)

    torch.save({"params": Intruder()}, tmp_path / "intruder.pth")
    with pytest.raises(ValueError, match="intruder"):
        load_checkpoint(tmp_path / "intruder.pth")


def test_an_unknown_architecture_is_named(tmp_path):
    torch.save({"fully.made.up": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth.*spandrel"):
        load_checkpoint(tmp_path / "other.pth")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="absent"):
        load_checkpoint(tmp_path / "absent.pth")


PUBLISHED = {
    # Millions of parameters as published: HAT and GRL at CVPR, DAT at ICCV 2023.
    "hat-x4": (20.8, {}),
    "dat-x4": (14.8, {"split_size": (4, 8)}),
    "grl-b-x4": (20.2, {"window_size": 8, "stripe_size": 16}),
}


def test_dncnn_has_the_printed_parameters():
    """KGT's Table 5 prints 0.56 million for the gray network."""
    gray, color = (create_model(f"dncnn-{kind}") for kind in ("gray", "color"))
    assert round(sum(p.numel() for p in gray.parameters()) / 1e6, 2) == 0.56
    assert [(m.in_channels, m.scale, m.task) for m in (gray, color)] == [
        (1, 1, "denoise"),
        (3, 1, "denoise"),
    ]


@torch.no_grad()
def test_dncnn_predicts_the_noise():
    model = create_model("dncnn-color").eval()
    for parameter in model.parameters():
        parameter.zero_()
    x = torch.rand(1, 3, 9, 11)
    assert torch.equal(model(x), x)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_have_the_published_parameters(name):
    millions = sum(p.numel() for p in create_model(name).parameters()) / 1e6
    assert round(millions, 1) == PUBLISHED[name][0]


@pytest.mark.parametrize("name", PUBLISHED)
@torch.no_grad()
def test_published_networks_take_any_size(name):
    small = {"embed_dim": 60, "depths": (2,), **PUBLISHED[name][1]}
    model = create_model(name, **small).eval()
    assert (model.scale, model.in_channels, model.task) == (4, 3, "sr")
    for size in ((16, 16), (20, 27)):
        y = model(torch.rand(1, 3, *size))
        assert y.shape == (1, 3, 4 * size[0], 4 * size[1])
        assert torch.isfinite(y).all()


DENOISERS = {
    # Millions of parameters: NAFNet's authors count 115.9 for this width and 29.16 for 32.
    "nafnet-64": (115.98, 16, {"width": 8}),
    "scunet-color": (17.95, 64, {"width": 64, "depths": (1,) * 7}),
}


@pytest.mark.parametrize("name", DENOISERS)
def test_denoisers_have_the_published_parameters(name):
    model = create_model(name)
    millions, multiple, _ = DENOISERS[name]
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == millions
    assert (model.scale, model.in_channels, model.task) == (1, 3, "denoise")
    assert model.size_multiple == multiple


def test_half_the_width_of_nafnet_has_the_published_parameters():
    narrow = create_model("nafnet-64", width=32)
    assert round(sum(p.numel() for p in narrow.parameters()) / 1e6, 2) == 29.16


@pytest.mark.parametrize("name", DENOISERS)
@torch.no_grad()
def test_denoisers_take_any_size(name):
    model = create_model(name, **DENOISERS[name][2]).eval()
    for size in ((64, 64), (45, 70)):
        y = model(torch.rand(1, 3, *size))
        assert y.shape == (1, 3, *size)
        assert torch.isfinite(y).all()


@pytest.mark.parametrize(("name", "multiple"), [("hat-x4", 16), ("dat-x4", 32), ("grl-b-x4", 64)])
def test_published_networks_say_what_they_pad_to(name, multiple):
    assert create_model(name, depths=(2,)).size_multiple == multiple
