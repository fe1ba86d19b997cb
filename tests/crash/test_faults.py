"""Faults of the bus itself: signals that it raises, in any thread, again and again."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.message import Type

from .conftest import Bus

NAME = "org.example.Service"
FAULTS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)


def threads(pid: int) -> list[int]:
    """Return the threads: the control plane's, then the data plane's."""
    return sorted(int(path.name) for path in Path(f"/proc/{pid}/task").iterdir())


@pytest.mark.parametrize("number", FAULTS, ids=lambda one: one.name)
def test_each_signal(bus: Bus, number: signal.Signals) -> None:
    client = bus.connect()
    bus.crash(number)
    client.driver("GetId")
    bus.wait_for(f"The bus has crashed ({number.name})")


@pytest.mark.parametrize("place", [0, 1], ids=["control plane", "data plane"])
def test_each_thread(bus: Bus, place: int) -> None:
    """A fault in either thread ends both."""
    caller, service = bus.connect(), bus.connect()
    service.own(NAME)
    serial = caller.start_call(NAME, "Echo", "u", 1)
    call = service.take(type=Type.METHOD_CALL)
    assert bus.standby
    bus.crash(signal.SIGSEGV, threads(bus.pid)[place])
    service.reply(call, "u", 2)
    assert caller.reply_to(serial).body == (2,)
    bus.wait_for("The bus has crashed (SIGSEGV)")


def test_three_crashes_in_a_minute(bus: Bus) -> None:
    """The third time the bus goes on without connections: one of them, or of its messages, is to blame."""
    clients = [bus.connect() for _ in range(3)]
    clients[0].own(NAME)
    for _ in range(2):
        bus.crash(signal.SIGSEGV)
        clients[0].driver("GetId")
    bus.crash(signal.SIGSEGV)
    for client in clients:
        client.expect_closed()
    new = bus.connect()
    assert new.driver("NameHasOwner", "s", NAME) is False
    assert int(new.unique.partition(".")[2]) >= 3
    bus.wait_for("with its 0 connections")


def test_kills_are_no_faults(bus: Bus) -> None:
    """A bus that others have killed is not to blame, nor are its clients."""
    client = bus.connect()
    for _ in range(5):
        bus.crash(signal.SIGKILL)
        client.driver("GetId")
