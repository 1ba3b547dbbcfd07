"""Degradation and metrics on an embedded photograph."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from baselines.imresize import imresize
from benchmarks.data.datasets import load_dataset
from benchmarks.records.cell import BenchmarkCell
from benchmarks.tasks import get_protocol

PROTOCOL = "sr-y601-crop-scale"


@pytest.fixture(scope="module")
def photograph() -> Any:
    """The first embedded test image, uint8 [512, 512, 3]."""
    return next(iter(load_dataset("embedded"))).image


def test_imresize(photograph: Any, measure: Callable[..., Any]) -> None:
    cell = BenchmarkCell(kind="latency", task="imresize", dataset="embedded", mode="forward")
    small = measure(cell, lambda: imresize(photograph, Fraction(1, 4)))
    assert small.shape == (128, 128, 3)


def test_psnr_and_ssim(photograph: Any, measure: Callable[..., Any]) -> None:
    protocol = get_protocol(PROTOCOL)
    noisy = (photograph / 255.0 * 0.98).astype("float32")
    cell = BenchmarkCell(kind="latency", task="score", dataset="embedded", protocol=str(protocol))
    scores = measure(cell, lambda: protocol.score(noisy, photograph, 4))
    assert 20 < scores["psnr"] < 60
    assert 0.9 < scores["ssim"] < 1
