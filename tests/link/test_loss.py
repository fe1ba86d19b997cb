"""The end of a part: of a bus, of the link."""

from __future__ import annotations

import os
import signal

import pytest

from support.raw import BusError, Closed

from .conftest import NAME, Linked, StartLink, wait_for_owner


def pending(linked: Linked):  # type: ignore[no-untyped-def]
    """A service, and a client whose call it does not answer."""
    service, client = linked.service(), linked.b.connect()
    serial = client.start_call(NAME, "Wait")
    service.take(member="Wait")
    return service, client, serial


class TestLink:
    """The link ends."""

    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
    def test_calls_fail_and_names_go(self, start_link: StartLink, how: int) -> None:
        linked = start_link()
        service, client, serial = pending(linked)
        linked.link.process.send_signal(how)
        with pytest.raises(BusError) as caught:
            client.reply_to(serial)
        assert caught.value.name == "org.freedesktop.DBus.Error.NoReply"
        linked.wait_for_owner(linked.b, NAME, owner=False)
        service.sync()
        assert linked.link.process.wait(20) == (0 if how == signal.SIGTERM else -how)
        linked.link.process.returncode = 0


class TestBus:
    """A bus ends: on the other one everything of it ends, and comes back with it."""

    def test_the_exporting_bus(self, start_link: StartLink) -> None:
        linked = start_link()
        _, client, serial = pending(linked)
        linked.a.close_clients()
        os.kill(linked.a.process, signal.SIGKILL)
        with pytest.raises(BusError) as caught:
            client.reply_to(serial)
        assert caught.value.name == "org.freedesktop.DBus.Error.NoReply"
        linked.wait_for_owner(linked.b, NAME, owner=False)
        linked.link.wait_for("a: the bus is lost")
        linked.link.wait_for("a: no bus")

    def test_the_importing_bus(self, start_link: StartLink) -> None:
        linked = start_link()
        service, client = linked.service(), linked.b.connect()
        client.start_call(NAME, "Register")
        caller = str(service.take(member="Register").sender)
        os.kill(linked.b.process, signal.SIGKILL)
        with pytest.raises(Closed):
            client.receive()
        wait_for_owner(linked.a, caller, owner=False)

    def test_a_bus_that_is_not_there_yet(self, start_link: StartLink) -> None:
        """A link may be started before its buses, and is up when both are."""
        linked = start_link()
        moved = linked.a.address.partition("=")[2].partition(",")[0]
        linked.service()
        text = linked.link.file.read_text()
        linked.link.reload(text.replace(moved, moved + ".later"))
        linked.link.wait_for("a: no bus")
        os.link(moved, moved + ".later")
        linked.link.wait_for("a and b are linked", 2)
        linked.stand_in()
