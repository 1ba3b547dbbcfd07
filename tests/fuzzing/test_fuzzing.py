import os
import resource
import time

import pytest
from hypothesis import strategies as st

from tests.fuzzing import harness
from tests.fuzzing.harness import TARGETS, fuzz, limit_memory, load, run_batch, summarize, try_input

# As many as are tried in a few seconds; `python -m tests.fuzzing` tries as many as you like.
CASES = 60


@pytest.fixture
def limited():
    before = limit_memory()
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.usefixtures("limited")
def test_whatever_is_given_is_taken_or_refused_in_words(name):
    target = load(name)
    run_batch(target, 0, getattr(target, "CASES", CASES), lambda data: try_input(target, data))


def _attempt(data, folder):
    """What a target may do at worst; data is one of `FATAL`, or harmless."""
    if data == b"crash":
        os.abort()
    if data == b"hang":
        time.sleep(1000)
    if data == b"memory":
        bytearray(9 * 2**30)
    if data.startswith(b"error") and len(data) > 6:
        raise KeyError(data)
    raise ValueError("refused in words")


FATAL = (b"crash", b"hang", b"memory")


@pytest.mark.slow
def test_errors_crashes_hangs_and_hunger_are_counted_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "BATCH", 20)
    # No harmless input takes as long, however busy the machine is.
    monkeypatch.setattr(harness, "LIMIT_S", 10)
    counts = fuzz("test_fuzzing", 100, 0, None, 1, tmp_path, print)
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(FATAL) <= set(kept.values())
    assert all(counts[what] for what in (harness.CRASH, harness.HANG, harness.MEMORY))
    # Of all that raise KeyError, the shortest.
    assert b"error00" in kept.values()
    assert summarize("planted", counts)[1] is False


INPUTS = st.sampled_from(FATAL) | st.text("01", max_size=9).map(lambda t: b"error" + t.encode())
SUFFIX, attempt = "", _attempt
