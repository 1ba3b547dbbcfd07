"""Kills commands at random moments, again and again, and counts what is lost."""

import os
import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.commands import COMMANDS
from tests.faults.server import Server

KILLED = ("restore", "train", "reproduce")
# Longer than each takes until its first results, and for reproduce until some.
_LATEST_S = {"restore": 2.0, "train": 3.0, "reproduce": 12.0}


def kill(cases, number, say):
    """Kill as many commands; returns the kills of each, and of all that lost something."""
    moments, counts = random.Random(number), Counter()
    with Server() as server, tempfile.TemporaryDirectory() as scratch:
        wholes = {}
        for name in KILLED:
            command, wholes[name] = COMMANDS[name](), Path(scratch) / name
            command.prepare(wholes[name])
            if name != "reproduce":
                server.run(command.words(wholes[name]), wholes[name] / "log")
        for case in range(cases):
            name = KILLED[case % len(KILLED)]
            with tempfile.TemporaryDirectory() as folder:
                try:
                    counts[_kill_one(server, name, Path(folder), wholes[name], moments)] += 1
                except AssertionError as error:
                    counts["lost"] += 1
                    say(f"{name}: {error}")
            counts[name] += 1
            if case % 10 == 9:
                say(", ".join(f"{count} {what}" for what, count in counts.items()))
    return counts


def _kill_one(server, name, folder, whole, moments):
    """Kill a command, perhaps twice, then let it go on; fails where something is lost."""
    command, struck = COMMANDS[name](), "too late"
    command.prepare(folder)
    for _ in range(moments.choice([1, 2])):
        pid = server.start(command.words(folder), folder / "log")
        time.sleep(moments.uniform(0, _LATEST_S[name]))
        seen = {path: path.read_bytes() for path in command.files(folder).values()}
        os.kill(pid, signal.SIGKILL)
        if server.wait(pid) == -signal.SIGKILL:
            struck = "struck"
        for path, content in seen.items():
            assert path.is_file(), f"{path.name} is lost"
            assert path.suffix != ".jsonl" or path.read_bytes().startswith(content), "records lost"
        command.check(folder, whole)
    code = server.run([*command.words(folder), *command.last], folder / "log")
    assert code == 0, f"it does not go on: exit {code}"
    command.check_all(folder, whole)
    return struck
