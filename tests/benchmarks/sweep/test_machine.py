import threading
import time

import pytest

from benchmarks.sweep.machine import reserve_machine
from kgt.files import locked


@pytest.fixture(autouse=True)
def _own_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("KGT_CACHE", str(tmp_path))


class Holder(threading.Thread):
    """Has the machine from when it gets it until `leave` is set."""

    def __init__(self, alone):
        super().__init__(daemon=True)
        self._alone = alone
        self.has, self.leave = threading.Event(), threading.Event()
        self.start()

    def run(self):
        with reserve_machine(self._alone):
            self.has.set()
            self.leave.wait()

    def end(self):
        self.leave.set()
        self.join()


def waits(holder):
    return not holder.has.wait(0.3)


def test_jobs_share_a_machine_and_one_that_times_has_it_alone(capsys):
    first, second = Holder(False), Holder(False)
    assert first.has.wait(10)
    assert second.has.wait(10)
    assert capsys.readouterr().err == ""
    timing = Holder(True)
    assert waits(timing)
    first.end()
    assert waits(timing)
    second.end()
    assert timing.has.wait(10)
    others = Holder(False), Holder(True)
    assert all(map(waits, others))
    timing.end()
    # Whichever is first, the two never have it together.
    while not any(one.has.is_set() for one in others):
        time.sleep(0.01)
    has, waiting = others if others[0].has.is_set() else others[::-1]
    assert waits(waiting)
    has.end()
    assert waiting.has.wait(10)
    waiting.end()


def test_one_that_waits_says_so_and_one_that_does_not_is_silent(capsys):
    first = Holder(False)
    assert first.has.wait(10)
    first.end()
    timing = Holder(True)
    assert timing.has.wait(10)
    assert capsys.readouterr().err == ""
    late, said = Holder(False), ""
    deadline = time.monotonic() + 10
    while not said and time.monotonic() < deadline:
        time.sleep(0.01)
        said = capsys.readouterr().err
    timing.end()
    late.end()
    assert said == "sweep: waits until other jobs on this machine have ended\n"


def test_one_that_waits_to_be_alone_is_not_passed():
    training = Holder(False)
    assert training.has.wait(10)
    timing = Holder(True)
    assert waits(timing)
    late = Holder(False)
    assert waits(late)
    training.end()
    assert timing.has.wait(10)
    assert waits(late)
    timing.end()
    assert late.has.wait(10)
    late.end()


def test_a_lock_is_shared_or_not_and_need_not_be_waited_for(tmp_path):
    path = tmp_path / "of" / "files.lock"
    with locked(path, shared=True):
        with locked(path, shared=True, wait=False):
            pass
        with pytest.raises(BlockingIOError), locked(path, wait=False):
            pass
    with locked(path), pytest.raises(BlockingIOError), locked(path, shared=True, wait=False):
        pass
    assert path.read_bytes() == b""
