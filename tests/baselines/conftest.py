import numpy as np
import pytest
from PIL import Image

from baselines import WeightsUnavailableError, create_model


@pytest.fixture
def read_photo(data_root):
    """Reads an image of a benchmark set, uint8 [h, w, 3], or skips where the set is not there."""

    def read(dataset, name):
        (path,) = [*(data_root / dataset).glob(f"{name}.*")] or [None]
        if path is None:
            pytest.skip(f"no image {name} in {data_root / dataset}")
        return np.array(Image.open(path))

    return read


@pytest.fixture(scope="module")
def published():
    """Builds a model with its published weights, or skips the test where they cannot be had."""
    unavailable = {}

    def build(name, **fields):
        if name not in unavailable:
            try:
                return create_model(name, pretrained=True, **fields).eval()
            except WeightsUnavailableError as error:
                unavailable[name] = str(error).splitlines()[0]
        pytest.skip(unavailable[name])

    return build
