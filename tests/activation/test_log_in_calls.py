"""What every log-in asks the bus: the first answers may come from the control plane, later ones do not."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support.daemon import Daemon
from support.message import BIG, LITTLE, Flag, Type
from support.raw import BUS, BUS_PATH, DEADLINE, ERROR, INTROSPECTABLE, PEER, PROPERTIES, BusError, Client

from .conftest import Services

SERVICE = f"{sys.executable} {Path(__file__).parent / 'service.py'}"
NAME = "org.example.Service"
OWNED = "org.example.Owned"
SLOW = "org.example.Slow"
UNKNOWN = "org.example.Unknown"
CONSTANT: list[tuple[str, str, tuple[str, ...], str | None]] = [
    ("Introspect", "", (), INTROSPECTABLE),
    ("Introspect", "", (), None),
    ("GetAll", "s", (BUS,), PROPERTIES),
    ("GetAll", "s", (BUS,), None),
    ("Get", "ss", (BUS, "Features"), PROPERTIES),
    ("Get", "ss", (BUS, "Interfaces"), PROPERTIES),
    ("GetMachineId", "", (), PEER),
]


@pytest.fixture
def daemon(services: Services) -> Daemon:
    """A bus with a service that has its name, one that never takes it, and one that can be started."""
    services.add(NAME, f"{SERVICE} {NAME}")
    services.add(OWNED, "/bin/false")
    services.add(SLOW, "/bin/sleep 600")
    return services.start(limits={"service_start_timeout": 100_000})


@pytest.fixture
def client(daemon: Daemon) -> Client:
    owner = daemon.connect()
    owner.own(OWNED)
    owner.own("org.example.WithoutFile")
    return daemon.connect()


def error(client: Client, member: str, signature: str, *body: Any, **fields: Any) -> tuple[str, str]:
    with pytest.raises(BusError) as caught:
        client.driver(member, signature, *body, **fields)
    return caught.value.name.removeprefix(ERROR), caught.value.text


def unknown(name: str) -> tuple[str, str]:
    return "ServiceUnknown", f"The name {name} was not provided by any .service files"


class TestConstant:
    """Equal calls have equal replies, whichever plane gives them."""

    @pytest.mark.parametrize(("member", "signature", "body", "interface"), CONSTANT)
    def test_again(
        self,
        daemon: Daemon,
        client: Client,
        member: str,
        signature: str,
        body: tuple[str, ...],
        interface: str | None,
    ) -> None:
        other = Client(daemon.address, order=BIG)
        replies = [
            one.driver(member, signature, *body, interface=interface)
            for one in (client, client, other, other, client)
        ]
        assert replies == 5 * replies[:1]
        assert replies[0]

    def test_each_path_has_its_own(self, client: Client) -> None:
        """Only the bus's own path has all interfaces, and the paths above it have children."""
        paths = (BUS_PATH, "/", "/org", "/org/freedesktop", "/no/such")
        texts = {path: client.driver("Introspect", interface=INTROSPECTABLE, path=path) for path in paths}
        for path in paths:
            assert client.driver("Introspect", interface=INTROSPECTABLE, path=path) == texts[path]
        assert 'name="RequestName"' in texts[BUS_PATH]
        assert '<node name="org/freedesktop/DBus"/>' in texts["/"]
        assert len(set(texts.values())) == len(paths)

    def test_errors(self, client: Client) -> None:
        """They are no replies to keep, and one argument does not stand for another."""
        for _ in range(2):
            assert client.driver("Get", "ss", BUS, "Features", interface=PROPERTIES)
            assert error(client, "Get", "ss", BUS, "Nothing", interface=PROPERTIES)[0] == "UnknownProperty"
            assert error(client, "GetAll", "s", "no.Such", interface=PROPERTIES)[0] == "UnknownInterface"
            with pytest.raises(BusError):
                client.driver("Get", "ss", BUS, "Features", interface=PROPERTIES, path="/")
            with pytest.raises(BusError):
                client.driver("Introspect", "s", "x", interface=INTROSPECTABLE)

    def test_no_reply_expected(self, client: Client) -> None:
        """The bus replies nevertheless, as long as there is something to tell."""
        for _ in range(2):
            serial = client.start_call(
                BUS, "GetAll", "s", BUS, interface=PROPERTIES, path=BUS_PATH, flags=Flag.NO_REPLY_EXPECTED
            )
            assert client.reply_to(serial).body


class TestOrder:
    def test_of_one_sender(self, client: Client) -> None:
        """Replies come in the order of the calls, although some take longer."""
        calls: list[tuple[str, str, tuple[Any, ...], str]] = [
            ("ListQueuedOwners", "s", (OWNED,), BUS),
            ("StartServiceByName", "su", (OWNED, 0), BUS),
            ("GetAll", "s", (BUS,), PROPERTIES),
            ("ListActivatableNames", "", (), BUS),
            ("GetConnectionCredentials", "s", (OWNED,), BUS),
            ("StartServiceByName", "su", (UNKNOWN, 0), BUS),
            ("Introspect", "", (), INTROSPECTABLE),
            ("ReleaseName", "s", (UNKNOWN,), BUS),
            ("GetNameOwner", "s", (OWNED,), BUS),
        ]
        for _ in range(3):
            serials = [
                client.start_call(BUS, member, signature, *body, interface=interface, path=BUS_PATH)
                for member, signature, body, interface in calls
            ]
            answers: list[int | None] = []
            while len(answers) < len(serials):
                answers.append(client.read_message(time.monotonic() + DEADLINE).reply_serial)
            assert answers == serials

    def test_for_monitors(self, daemon: Daemon, client: Client) -> None:
        """They see each call before its answer."""
        watcher = daemon.connect()
        watcher.driver(
            "BecomeMonitor",
            "asu",
            [f"sender='{client.unique}'", f"destination='{client.unique}'"],
            0,
            interface=f"{BUS}.Monitoring",
        )
        members = ["GetAll", "GetAll", "GetConnectionCredentials"]
        for member in members:
            interface = PROPERTIES if member == "GetAll" else BUS
            client.driver(member, "s", BUS, interface=interface)
        assert error(client, "StartServiceByName", "su", UNKNOWN, 0) == unknown(UNKNOWN)
        client.driver("StartServiceByName", "su", OWNED, 0)
        for member in [*members, "StartServiceByName", "StartServiceByName"]:
            call = watcher.take(type=Type.METHOD_CALL, member=member, sender=client.unique)
            reply = watcher.take(reply_serial=call.serial, destination=client.unique)
            assert reply.sender == BUS


class TestStartServiceByName:
    @pytest.mark.parametrize(
        "name", [UNKNOWN, "org.example.WithoutFile", BUS, ":1.999", "", "single", 300 * "x"]
    )
    def test_without_a_file(self, client: Client, name: str) -> None:
        """Whether it has an owner or not, and whether it could be a name or not."""
        for _ in range(2):
            assert error(client, "StartServiceByName", "su", name, 0) == unknown(name)

    def test_its_own_name(self, client: Client) -> None:
        assert error(client, "StartServiceByName", "su", client.unique, 0) == unknown(client.unique)

    def test_already_running(self, client: Client) -> None:
        for flags in (0, 7):
            assert client.driver("StartServiceByName", "su", OWNED, flags) == 2


class TestDuringAStart:
    """While a service is being started, only what depends on it waits."""

    @pytest.fixture(autouse=True)
    def slow(self, daemon: Daemon, client: Client) -> tuple[Client, int]:
        """A client that waits for it, and its call."""
        waiting = daemon.connect()
        serial = waiting.start_call(BUS, "StartServiceByName", "su", SLOW, 0, interface=BUS, path=BUS_PATH)
        waiting.driver("GetId")
        return waiting, serial

    def test_others(self, client: Client) -> None:
        assert client.driver("StartServiceByName", "su", OWNED, 0) == 2
        assert error(client, "StartServiceByName", "su", UNKNOWN, 0) == unknown(UNKNOWN)
        assert SLOW in client.driver("ListActivatableNames")
        with pytest.raises(BusError, match="ServiceUnknown"):
            client.call(UNKNOWN, "Hello")
        assert client.driver("RequestName", "su", "org.example.Another", 4) == 1
        assert client.driver("ReleaseName", "s", "org.example.Another") == 1
        assert client.call(NAME, "Hello")

    def test_the_name_itself(self, client: Client, slow: tuple[Client, int]) -> None:
        """Who takes it ends the start."""
        assert client.driver("RequestName", "su", SLOW, 0) == 1
        waiting, serial = slow
        assert waiting.reply_to(serial).body == (1,)
        assert client.driver("StartServiceByName", "su", SLOW, 0) == 2


class TestCredentials:
    @pytest.mark.parametrize("order", [LITTLE, BIG])
    def test_of_the_owner(self, daemon: Daemon, client: Client, order: str) -> None:
        asker = Client(daemon.address, order=order)
        known = asker.driver("GetConnectionCredentials", "s", OWNED)
        assert known["UnixUserID"].value == asker.driver("GetConnectionUnixUser", "s", OWNED)
        assert known["ProcessID"].value == asker.driver("GetConnectionUnixProcessID", "s", OWNED)
        groups = known["UnixGroupIDs"].value
        assert groups == sorted(set(groups))

    @pytest.mark.parametrize(
        ("member", "what"),
        [
            ("GetConnectionCredentials", "credentials"),
            ("GetConnectionUnixUser", "UID"),
            ("GetConnectionUnixProcessID", "PID"),
        ],
    )
    @pytest.mark.parametrize("name", [UNKNOWN, ":1.999", "", 300 * "ä"])
    def test_without_an_owner(self, client: Client, member: str, what: str, name: str) -> None:
        text = f"Could not get {what} of name '{name}': no such name"
        assert error(client, member, "s", name) == ("NameHasNoOwner", text)
