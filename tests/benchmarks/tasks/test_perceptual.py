import lpips
import numpy as np
import pytest
import torch
import torchvision

from benchmarks.tasks import get_protocol
from benchmarks.tasks.perceptual import backbone as published
from benchmarks.tasks.perceptual import (
    find_backbone,
    lpips_alex,
    lpips_unavailable_reason,
)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (2, 64, 72, 3), dtype=np.uint8)


@pytest.fixture
def backbone(tmp_path, monkeypatch):
    """A file of random weights as torchvision saves them, and the network they are of."""
    network = torchvision.models.alexnet()
    path = tmp_path / "alexnet.pth"
    torch.save(network.state_dict(), path)
    monkeypatch.setenv("KGT_LPIPS_BACKBONE", str(path))
    return network


def test_without_a_backbone_there_is_a_reason(tmp_path, monkeypatch, images):
    monkeypatch.setenv("KGT_LPIPS_BACKBONE", str(tmp_path / "none.pth"))
    for reason in (
        lpips_unavailable_reason(),
        get_protocol("rgb-lpips").unavailable()["lpips"],
    ):
        assert str(tmp_path / "none.pth") in reason
        assert "set KGT_LPIPS_BACKBONE" in reason
    with pytest.raises(ValueError, match="is no file"):
        lpips_alex(*images)
    assert set(get_protocol("rgb-lpips").score(images[0] / 255, images[1], 1)) == {"psnr"}


def test_torchvisions_cache_is_the_other_place(tmp_path, monkeypatch):
    monkeypatch.delenv("KGT_LPIPS_BACKBONE", raising=False)
    monkeypatch.setenv("KGT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    fetched = tmp_path / "cache" / "weights" / published().path.name
    assert find_backbone() == fetched
    assert f"{fetched} is no file; `python -m benchmarks.doctor" in lpips_unavailable_reason()
    cached = tmp_path / "checkpoints" / published().path.name
    cached.parent.mkdir()
    cached.touch()
    assert find_backbone() == cached
    fetched.parent.mkdir(parents=True)
    fetched.touch()
    assert find_backbone() == fetched


def test_the_backbone_is_the_file_that_torchvision_names():
    """Its names end with the first digits of their SHA-256, and its metadata give MiB."""
    weights, file = torchvision.models.AlexNet_Weights.IMAGENET1K_V1, published()
    assert weights.url == file.address
    assert file.path.name == f"alexnet-owt-{file.sha256[:8]}.pth"
    assert file.size / 2**20 == pytest.approx(weights.meta["_file_size"], abs=5e-4)


def test_equals_lpips_on_the_backbone_put_in_by_hand(backbone, images):
    reference = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    layers = dict(backbone.features.named_parameters())
    for name, parameter in reference.net.named_parameters():
        parameter.data.copy_(layers[name.split(".", 1)[1]])
    first, second = (lpips.im2tensor(image) for image in images)
    with torch.inference_mode():
        expected = float(reference(first, second))
    assert expected > 0
    assert lpips_alex(*images) == pytest.approx(expected, rel=1e-4)
    assert get_protocol("rgb-lpips").score(images[0] / 255, images[1], 1)["lpips"] == (
        pytest.approx(expected, rel=1e-4)
    )


def test_identical_images_have_no_distance(backbone, images):
    assert lpips_alex(images[0], images[0]) == 0


def test_another_file_is_refused(tmp_path, monkeypatch, images):
    path = tmp_path / "other.pth"
    torch.save({"features.0.weight": torch.zeros(64, 3, 11, 11)}, path)
    monkeypatch.setenv("KGT_LPIPS_BACKBONE", str(path))
    with pytest.raises(ValueError, match=r"other\.pth lacks .*AlexNet expected"):
        lpips_alex(*images)
