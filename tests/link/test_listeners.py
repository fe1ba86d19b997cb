"""omnibusd tells stand-ins who listens to them, so that a link is no monitor (docs/using/listeners.md)."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibus.link import message
from omnibus.link.listeners import SIGNATURE, Heard, changes, rule_of
from omnibus.link.rules import parse
from support.daemon import private_directory
from support.message import BIG, LITTLE, Message, Type
from support.raw import BUS, BUS_PATH, DEADLINE, Client

from .conftest import (
    NAME,
    TELLS,
    Bus,
    Link,
    Linked,
    StartLink,
    bus_of,
    needs_root,
    plain,
    text_of,
    wait_for_owner,
)

STATS = "org.freedesktop.DBus.Debug.Stats"
USER = "daemon"
OTHER = "org.example.Display"
BOTH = f'"{NAME}" = {{ from = "a" }}\n"{OTHER}" = {{ from = "a" }}'


@pytest.fixture(autouse=True)
def only_omnibusd(request: pytest.FixtureRequest) -> None:
    if "kind" in request.fixturenames and request.getfixturevalue("kind") != "omnibusd":
        pytest.skip("does not tell who listens")


def monitors(bus: Bus) -> int:
    client = bus.connect()
    stats = client.driver("GetStats", interface=STATS)
    return int(stats["omnibus.Monitors"].value)


def hears(linked: Linked, service: Client, client: Client, *members: str) -> None:
    """Check that a client gets these signals of the service."""
    serial = client.start_call(NAME, "Sync")
    call = service.take(member="Sync")
    for member in members:
        service.signal(member)
    service.reply(call)
    client.reply_to(serial)
    sender = linked.stand_in()
    assert [one.member for one in client.inbox if one.sender == sender] == list(members)
    client.inbox.clear()


class TestTold:
    """Rules come on the connections that they are about."""

    def test_no_monitor(self, linked: Linked) -> None:
        service, client = linked.service(), linked.b.connect()
        client.match(f"type='signal',sender='{NAME}'")
        hears(linked, service, client, "Changed")
        assert monitors(linked.b) == 0
        assert "monitor" not in linked.link.log.read_text()

    def test_rules_from_before_the_link(
        self, kind: str, request: pytest.FixtureRequest, tmp_path: Path
    ) -> None:
        needs_root()
        executable = str(request.config.option.daemon)
        with bus_of(kind, executable) as a, bus_of(kind, executable) as b:
            service, client = a.connect(), b.connect()
            service.own(NAME)
            client.match(f"type='signal',sender='{NAME}',member='Early'")
            client.match("type='signal',member='Any'")
            link = Link(text_of(a, b), tmp_path)
            try:
                wait_for_owner(b, NAME)
                hears(Linked(a, b, link), service, client, "Early", "Any")
            finally:
                link.stop()

    def test_client_that_listens_to_everything(self, linked: Linked) -> None:
        """With so many rules that the bus does not tell of each."""
        service, client = linked.service(), linked.b.connect()
        for number in range(200):
            client.match(f"type='signal',sender='{NAME}',member='M{number}'")
        hears(linked, service, client, "M0", "M199")

    def test_name_that_comes_later(self, start_link: StartLink) -> None:
        """The stand-in waits for the name while another owns it on the same bus."""
        linked = start_link()
        local, client = linked.b.connect(), linked.b.connect()
        local.own(NAME, 1)
        service = linked.a.connect()
        service.own(NAME)
        linked.link.wait_for("waits for a name")
        client.match(f"type='signal',sender='{NAME}',member='Changed'")
        client.match(f"type='signal',sender='{NAME}',member='Gone'")
        client.driver("RemoveMatch", "s", f"type='signal',sender='{NAME}',member='Gone'")
        local.close()
        wait_for_owner(linked.b, NAME)
        hears(linked, service, client, "Changed")

    def test_link_that_has_not_read(self, start_link: StartLink) -> None:
        """It misses changes, is told so, and asks anew."""
        linked = start_link(settings_b={"limits": {"max_outgoing_bytes": 100_000}})
        service, client = linked.service(), linked.b.connect()
        client.match(f"type='signal',sender='{NAME}',member='Before'")
        hears(linked, service, client, "Before")
        linked.link.process.send_signal(signal.SIGSTOP)
        rule = f"type='signal',path='/{'x' * 900}'"
        for _ in range(1000):
            for member in ("AddMatch", "RemoveMatch"):
                client.start_call(BUS, member, "s", rule, path=BUS_PATH, interface=BUS, flags=1)
        client.match(f"type='signal',sender='{NAME}',member='After'")
        client.driver("RemoveMatch", "s", f"type='signal',sender='{NAME}',member='Before'")
        linked.link.process.send_signal(signal.SIGCONT)
        wait_until_read(client, linked.stand_in())
        for _ in range(2):  # the second call follows what the first one has waited for
            wait_for_reply(service, client)
        service.signal("Before")
        hears(linked, service, client, "After")
        assert linked.link.log.read_text().count("are linked") == 1


def wait_until_read(client: Client, name: str) -> None:
    """Wait until a connection has read everything."""
    end = time.monotonic() + DEADLINE
    while client.driver("GetConnectionStats", "s", name, interface=STATS)["OutgoingBytes"].value:
        assert time.monotonic() < end


def wait_for_reply(service: Client, client: Client) -> None:
    serial = client.start_call(NAME, "Sync")
    service.reply(service.take(member="Sync"))
    client.reply_to(serial)


class TestFallback:
    """A bus whose policy does not let stand-ins ask."""

    def test_monitor(self, start_link: StartLink) -> None:
        deny = f'<deny send_destination="{BUS}" send_interface="org.omnibus.Listeners1"/>'
        policy = f'<policy context="mandatory">{deny}</policy>'
        linked = start_link(settings_b={"extra": policy})
        linked.link.wait_for("b: needs a monitor, as the bus does not tell who listens: .*AccessDenied")
        assert monitors(linked.b) == 1
        service, client = linked.service(), linked.b.connect()
        client.match(f"type='signal',sender='{NAME}'")
        hears(linked, service, client, "Changed")

    def test_policy_that_changes(self, start_link: StartLink) -> None:
        """The next stand-in is refused, and all begins anew with a monitor."""
        linked = start_link(
            exports=f'"{NAME}" = {{ to = ["b"] }}\n"{OTHER}" = {{ to = ["b"] }}', imports=BOTH
        )
        linked.service()
        assert monitors(linked.b) == 0
        file = Path(plain(linked.b.address).partition("=")[2]).parent / "bus.conf"
        file.write_text(file.read_text().replace(TELLS, ""))
        linked.b.connect().driver("ReloadConfig")
        service, client = linked.service(OTHER), linked.b.connect()
        linked.link.wait_for("who listens to .* is not told: .*AccessDenied")
        linked.link.wait_for("are linked", 2)
        linked.wait_for_owner(linked.b, OTHER)
        assert monitors(linked.b) == 1
        client.match(f"type='signal',sender='{OTHER}'")
        serial = client.start_call(OTHER, "Sync")
        call = service.take(member="Sync")
        service.signal("Changed")
        service.reply(call)
        client.reply_to(serial)
        client.take(member="Changed")


class TestUnprivileged:
    """A link whose hosts are all its own user needs no privilege."""

    def test_signals_cross(self, kind: str, request: pytest.FixtureRequest) -> None:
        needs_root()
        executable, user = str(request.config.option.daemon), pwd.getpwnam(USER)
        directory = private_directory()
        os.chown(directory, user.pw_uid, user.pw_gid)
        with bus_of(kind, executable) as a, bus_of(kind, executable) as b:
            text = text_of(a, b).replace('user = "bin"', f'user = "{USER}"')
            link = Link(text.replace("metrics =", "#"), directory, user=user.pw_uid, group=user.pw_gid)
            try:
                service, client = a.connect(), b.connect()
                service.own(NAME)
                wait_for_owner(b, NAME)
                client.match(f"type='signal',sender='{NAME}'")
                hears(Linked(a, b, link), service, client, "Changed")
            finally:
                link.stop()
                shutil.rmtree(directory)


def told(order: str, *listeners: tuple[str, str, int]) -> message.Held:
    """A Changed as the bus sends it."""
    signal = Message(
        type=Type.SIGNAL,
        signature=SIGNATURE.decode(),
        body=(list(listeners),),
        order=order,
        serial=1,
        path=BUS_PATH,
        interface="org.omnibus.Listeners1",
        member="Changed",
        sender=BUS,
    )
    return message.Held(signal.encode())


class TestChanges:
    """What is read of a Changed."""

    @given(
        st.sampled_from([LITTLE, BIG]),
        st.lists(
            st.tuples(
                st.integers(0, 10**12).map(":1.{}".format),
                st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30),
                st.integers(0, 2**32 - 1),
            ),
            max_size=5,
        ),
    )
    def test_all_that_was_written(self, order: str, listeners: list[tuple[str, str, int]]) -> None:
        held = told(order, *listeners)
        found = list(changes(held.frame))
        assert found == [(name.encode(), rule, copies) for name, rule, copies in listeners]

    def test_rule_that_no_other_bus_takes(self) -> None:
        """The bus writes it with more quotes than its client; more than is wanted is never wrong."""
        assert rule_of("type='signal',arg0='" + "'\\''" * 300 + "'") == parse("type='signal'")

    def test_another_signature(self) -> None:
        with pytest.raises(ValueError, match="not what Changed has"):
            list(changes(message.error(1, "an.Error", "x").frame))


class TestHeard:
    """The rules of clients that one stand-in knows."""

    A, B = parse("type='signal',sender='a.b'"), parse("type='signal',member='M'")

    def test_changes(self) -> None:
        heard = Heard()
        for copies in (1, 2, 1):
            heard.put(b":1.1", self.A, copies)
        heard.put(b":1.1", self.B, 1)
        assert set(heard.of(b":1.1")) == {self.A, self.B}
        heard.put(b":1.1", self.A, 0)
        assert set(heard.of(b":1.1")) == {self.B}
        heard.put(b":1.1", self.B, 0)
        heard.put(b":1.2", self.B, 0)  # never heard of
        assert list(heard) == []

    @pytest.mark.parametrize(
        "end", [lambda heard: heard.forget(b":1.1"), lambda heard: heard.clear()], ids=["client", "all"]
    )
    def test_end(self, end: Callable[[Any], None]) -> None:
        heard = Heard()
        heard.put(b":1.1", self.A, 1)
        end(heard)
        assert (list(heard), list(heard.of(b":1.1"))) == ([], [])

    def test_lost_name(self) -> None:
        heard = Heard()
        for client in (b":1.1", b":1.2"):
            heard.put(client, self.A, 1)
        heard.put(b":1.2", self.B, 1)
        heard.lose_name("a.b")
        assert {client: list(heard.of(client)) for client in heard} == {b":1.2": [self.B]}
