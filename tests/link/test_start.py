"""Services that are absent until they are called: ``start = true``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.daemon import private_directory
from support.raw import BUS, BusError

from .conftest import NAME, StartLink, wait_for_owner

TESTS = Path(__file__).parents[1]
# Answers one call, with a signal before the reply, and ends.
SERVICE = f"""
import os, sys
sys.path.insert(0, {str(TESTS)!r})
from support.raw import Client
bus = Client(os.environ["DBUS_STARTER_ADDRESS"])
bus.own({NAME!r})
call = bus.take(member="Read")
bus.signal("Changed", "u", os.getpid())
bus.reply(call, "u", os.getpid())
bus.sync()
"""


class TestStart:
    """The name is there as long as the link is, and each call reaches a service that runs."""

    KINDS = ("omnibusd", "dbus-daemon")  # the broker of tests starts nothing

    def test_started_by_each_call(self, start_link: StartLink, kind: str) -> None:
        if kind not in self.KINDS:
            pytest.skip("the bare broker starts nothing")
        directory = private_directory()
        (directory / "service.py").write_text(SERVICE)
        (directory / "sensor.service").write_text(
            f"[D-BUS Service]\nName={NAME}\nExec={sys.executable} {directory}/service.py\n"
        )
        linked = start_link(
            {"extra": f"<servicedir>{directory}</servicedir>"},
            exports=f'"{NAME}" = {{ to = ["b"], start = true }}',
        )
        stand_in = linked.stand_in()
        client = linked.b.connect()
        client.match(f"type='signal',sender='{NAME}'")
        pids = set()
        for _ in range(2):
            reply = client.call(NAME, "Read")
            assert reply.sender == stand_in
            signal = client.take(member="Changed")
            assert (signal.sender, signal.body) == (stand_in, reply.body)
            pids.add(reply.body[0])
            wait_for_owner(linked.a, NAME, owner=False)
        assert len(pids) == 2
        assert linked.stand_in() == stand_in

    def test_a_service_that_the_bus_does_not_know(self, start_link: StartLink) -> None:
        linked = start_link(exports=f'"{NAME}" = {{ to = ["b"], start = true }}')
        linked.stand_in()
        client = linked.b.connect()
        with pytest.raises(BusError) as caught:
            client.call(NAME, "Read")
        assert caught.value.name.endswith((".ServiceUnknown", ".NameHasNoOwner"))
        assert client.driver("NameHasOwner", "s", NAME, interface=BUS) is True
