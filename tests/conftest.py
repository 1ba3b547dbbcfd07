import math
import os
import signal
from pathlib import Path

import pytest

# Workers of a parallel run share the cores; threads that wait for each other spin. Before torch.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch


@pytest.fixture(autouse=True, scope="session")
def _interruptible():
    """Shells let what they start in the background ignore SIGINT, and its children inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def data_root() -> Path:
    root = os.environ.get("KGT_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("KGT_DATA does not name a folder of benchmark images")
    return Path(root)


@pytest.fixture
def psnr():
    """PSNR in dB of images in [0, 1], the prediction rounded to 8 bits."""

    def measure(prediction, target):
        rounded = (prediction.double().clamp(0, 1) * 255 + 0.5).floor() / 255
        return -10 * math.log10((rounded - target.double()).square().mean())

    return measure
