import os
from pathlib import Path

import pytest
import torch


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def data_root() -> Path:
    root = os.environ.get("KGT_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("KGT_DATA does not name a folder of benchmark images")
    return Path(root)
