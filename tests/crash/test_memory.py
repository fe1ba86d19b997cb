"""A bus that the kernel kills for lack of memory, in a control group with a limit; needs root."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.message import Type

from .conftest import StartBus

NAME = "org.example.Service"
LIMIT = 96 << 20  # bytes
PLACES = (
    # control group, its limit, and the file that counts kills
    ("/sys/fs/cgroup", "memory.max", "memory.events"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.oom_control"),
)
# Takes memory until the kernel has killed another process for it, and gives it back.
HOG = """
import os, pathlib, sys
group, count, limit = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
(group / "cgroup.procs").write_text(str(os.getpid()))
taken = []
while len(taken) * 65536 < 2 * limit and "oom_kill 0" in (group / count).read_text():
    taken.append(b"x" * 65536)
"""


class Group:
    """A control group with little memory."""

    def __init__(self, path: Path, limit: str, count: str) -> None:
        self.path = path
        self.count = count
        (path / limit).write_text(str(LIMIT))

    @property
    def kills(self) -> int:
        lines = (self.path / self.count).read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

    def take_memory(self) -> None:
        """Need more memory than there is, until a process was killed."""
        command = [sys.executable, "-I", "-c", HOG, str(self.path), self.count, str(LIMIT)]
        subprocess.run(command, check=True, timeout=60)


@pytest.fixture
def group() -> Iterator[Group]:
    for root, limit, count in PLACES:
        path = Path(root, f"omnibus-{os.getpid()}")
        try:
            path.mkdir()
        except OSError:
            continue
        if not (path / limit).exists():  # another hierarchy
            path.rmdir()
            continue
        found = Group(path, limit, count)
        yield found
        for pid in (found.path / "cgroup.procs").read_text().split():
            (found.path.parent / "cgroup.procs").write_text(pid)
        found.path.rmdir()
        return
    pytest.skip("no control group with a limit of memory can be made")


def test_killed_for_memory(start_bus: StartBus, group: Group) -> None:
    """The standby is hardly worth killing; it goes on with all clients."""
    bus = start_bus(shell=f"echo $$ >{group.path}/cgroup.procs")
    caller, service = bus.connect(), bus.connect()
    service.own(NAME)
    serial = caller.start_call(NAME, "Slow", "u", 1)
    call = service.take(type=Type.METHOD_CALL)
    standby = bus.standby
    Path(f"/proc/{bus.pid}/oom_score_adj").write_text("1000")
    group.take_memory()
    bus.reap()
    bus.pid, bus.crashed = standby, 1
    bus.wait()
    assert group.kills == 1
    service.reply(call, "u", 2)
    assert caller.reply_to(serial).body == (2,)
    assert caller.driver("GetNameOwner", "s", NAME) == service.unique
    bus.wait_for("The bus has crashed (it was killed)")
