import os
import signal
from pathlib import Path

import pytest
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
