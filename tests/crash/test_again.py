"""A bus that crashes again before its control plane is there: Python waits for a pipe here."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.installation import install

from .conftest import Bus, StartBus, command_name

PLACE = "        self._adopt(control)\n"
POISON = Path(__file__).with_name("poison.c")
NAME = "org.example.Service"


class Held:
    """A bus whose successors have no control plane until ``let_go``."""

    def __init__(self, start_bus: StartBus, directory: Path, shell: str = "") -> None:
        self._gate = directory / "gate"
        os.mkfifo(self._gate)
        package = install(directory / "installed", start_bus.executable)
        start_bus.executable = str(directory / "installed/bin/omnibusd")
        self.bus: Bus = start_bus(shell=shell)
        assert self.bus.standby
        file = package / "daemon/upgrade/resume.py"
        text = file.read_text()
        assert text.count(PLACE) == 1
        file.write_text(text.replace(PLACE, f'        open("{self._gate}").close()\n{PLACE}'))

    def let_go(self) -> None:
        open(self._gate, "w").close()
        self.bus.wait_for("The bus has crashed")


@pytest.fixture
def held(start_bus: StartBus, tmp_path: Path) -> Held:
    tmp_path.chmod(0o755)
    return Held(start_bus, tmp_path)


def test_killed_again(held: Held) -> None:
    """Each successor has a standby before it has a control plane, which keeps that standby."""
    caller, service = held.bus.connect(), held.bus.connect()
    service.own(NAME)
    for n in range(3):
        held.bus.crash()
        serial = caller.start_call(NAME, "Echo", "u", n)
        service.reply(service.take(member="Echo"), "u", n)
        assert caller.reply_to(serial).body == (n,)
    standby = held.bus.standby
    held.let_go()
    assert held.bus.standby == standby
    held.bus.crash()
    assert caller.driver("GetNameOwner", "s", NAME) == service.unique
    held.let_go()


def test_a_new_name_meanwhile(held: Held) -> None:
    """What the data plane has granted alone is not lost with it."""
    client = held.bus.connect()
    held.bus.crash()
    client.own(NAME)
    held.bus.crash()
    held.let_go()
    assert client.driver("ListQueuedOwners", "s", NAME) == [client.unique]


def test_the_standby_of_a_bus_that_ends(held: Held) -> None:
    """The control plane reaps it as if it were its own."""
    held.bus.crash()
    standby = held.bus.standby
    held.let_go()
    os.kill(held.bus.pid, signal.SIGTERM)
    held.bus.reap()
    assert command_name(standby) == ""


@pytest.fixture(scope="module")
def poison(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The library by which certain messages are faults of the data plane."""
    library = tmp_path_factory.mktemp("poison") / "poison.so"
    command = ["gcc", "-Wall", "-Wextra", "-Werror", "-O1", "-fPIC", "-shared", POISON, "-o", library]
    subprocess.run(command, check=True)
    for path in (library, library.parent, library.parent.parent):
        path.chmod(0o755)
    yield str(library)


def test_the_second_message_of_its_kind(start_bus: StartBus, tmp_path: Path, poison: str) -> None:
    """A client that ends the bus twice is closed, however fast its messages come; others stay."""
    tmp_path.chmod(0o755)
    variables = f"export LD_PRELOAD={poison} ASAN_OPTIONS=verify_asan_link_order=0"
    held = Held(start_bus, tmp_path, variables)
    other, client = held.bus.connect(), held.bus.connect()
    other.own(NAME)
    for _ in range(2):
        standby = held.bus.standby
        client.signal("Poison", interface="org.example")
        held.bus.reap()
        held.bus.pid = standby
    client.expect_closed()
    assert other.driver("GetNameOwner", "s", NAME) == other.unique
    held.let_go()
    assert other.driver("NameHasOwner", "s", client.unique) is False
