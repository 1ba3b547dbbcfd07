"""Memory that a process frees."""

import subprocess
import sys

import pytest

# Page faults of a network that has been called before, with maps of 16 MB.
COUNT_FAULTS = """
import resource, sys, torch
from kgt.tiles.memory import keep_freed_memory

if "keep" in sys.argv:
    keep_freed_memory()
convolve, image = torch.nn.Conv2d(16, 16, 3, padding=1), torch.rand(1, 16, 512, 512)
with torch.no_grad():
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        x = image
        for _ in range(4):
            x = torch.relu(convolve(x))
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator of another system is its own")
def test_kept_memory_is_not_mapped_anew():
    mapped, kept = (
        int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for command in ([sys.executable, "-c", COUNT_FAULTS, way] for way in ("map", "keep"))
    )
    if mapped < 1000:
        pytest.skip("this allocator, or pages of 2 MB, map maps without page faults")
    assert kept < mapped / 10
