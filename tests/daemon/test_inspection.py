"""org.omnibus.Inspect1: members that tell what the control plane knows, and those that ask the data plane."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from omnibus import __version__
from omnibus.daemon.driver.inspection import AT_ONCE, INSPECT_NAME, UNKNOWN_AGE
from omnibus.daemon.driver.stats import CONNECTION, OWN_CONNECTION, OWN_CONNECTION_STATES
from omnibus.daemon.history import DENIALS
from omnibus.daemon.peers import Peer
from omnibus.policy.settings import ConfigWarning, Limits
from omnibus.transport.relay import BROADCAST, EventKind, LossReason, Module, Question, Table
from support.plane import FakeEvent, make_credentials
from support.wire import unmarshal

from .conftest import Desk

ROOT = make_credentials(uid=0)


@pytest.fixture
def root(desk: Desk) -> Peer:
    return desk.attach(ROOT)


def ask(desk: Desk, peer: Peer, member: str, signature: str = "", *args: Any) -> list[tuple[Any, ...]]:
    return desk.call(peer, member, signature, *args, interface=INSPECT_NAME, serial=7)


def value(commands: list[tuple[Any, ...]], outputs: str) -> Any:
    """Return the value of the one reply, without variants."""
    reply, resume = commands
    assert (reply[0], reply[2], reply[3], resume[0]) == ("reply", 7, outputs, "resume")
    return plain(unmarshal(outputs, reply[4])[0])


def plain(found: Any) -> Any:
    if hasattr(found, "signature"):
        return plain(found.value)
    if isinstance(found, dict):
        return {key: plain(one) for key, one in found.items()}
    return [plain(one) for one in found] if isinstance(found, (list, tuple)) else found


def answer(desk: Desk, table: Any) -> list[tuple[Any, ...]]:
    return desk.happen(FakeEvent(EventKind.EXPORT, body=json.dumps(table).encode()))


def row(peer: Peer, **more: int) -> dict[str, Any]:
    columns = dict.fromkeys((*CONNECTION.values(), *OWN_CONNECTION.values()), 0)
    return columns | dict.fromkeys(OWN_CONNECTION_STATES.values(), False) | {"id": peer.id} | more


class TestStatus:
    def test_configuration(self) -> None:
        warnings = (ConfigWarning("/a/b.conf", 3, "no good"),)
        desk = Desk(limits=Limits(max_names_per_connection=7), files=("/a/bus.conf",), warnings=warnings)
        found = value(ask(desk, desk.attach(ROOT), "GetStatus"), "a{sv}")
        assert found["Version"] == __version__
        assert found["Files"] == ["/a/bus.conf"]
        assert found["Warnings"] == [["/a/b.conf", 3, "no good"]]
        assert found["Limits"]["max_names_per_connection"] == 7
        assert found["LoadedAt"] == int(desk.bus.loaded_at * 1e6)

    def test_policy(self, desk: Desk, root: Peer) -> None:
        assert bytes(value(ask(desk, root, "GetPolicy"), "ay")) == desk.settings.policy


class TestConnections:
    def test_rows(self, desk: Desk, root: Peer) -> None:
        peer = desk.attach()
        desk.call(peer, "RequestName", "su", "org.one", 0)
        assert ask(desk, root, "ListConnections", "tu", 0, 10) == [
            ("export", Table.CONNECTIONS, (root.id, peer.id))
        ]
        found = value(answer(desk, [row(root), row(peer, messages_in=5)]), "aa{sv}")
        assert [one["UniqueName"] for one in found] == [root.unique_name, peer.unique_name]
        assert found[1]["Names"] == ["org.one"]
        assert found[1]["omnibus.MessagesReceived"] == 5
        assert found[1]["Age"] >= 0

    def test_parts(self, desk: Desk, root: Peer) -> None:
        """A few connections at a time, so that the data plane is not held up."""
        peers = [root, *(desk.attach() for _ in range(AT_ONCE))]
        (question,) = ask(desk, root, "ListConnections", "tu", 0, 1000)
        assert question[2] == tuple(peer.id for peer in peers[:AT_ONCE])
        answer(desk, [])
        (question,) = ask(desk, root, "ListConnections", "tu", peers[AT_ONCE - 1].id + 1, 1000)
        assert question[2] == (peers[-1].id,)

    def test_end(self, desk: Desk, root: Peer) -> None:
        assert value(ask(desk, root, "ListConnections", "tu", root.id + 1, 10), "aa{sv}") == []

    def test_lost_meanwhile(self, desk: Desk, root: Peer) -> None:
        peer = desk.attach()
        ask(desk, root, "ListConnections", "tu", 0, 10)
        desk.happen(FakeEvent(EventKind.LEFT, peer.id))
        assert len(value(answer(desk, [row(root), row(peer)]), "aa{sv}")) == 1

    def test_queues(self, desk: Desk, root: Peer) -> None:
        peer = desk.attach()
        for one in (peer, root):
            desk.call(one, "RequestName", "su", "org.one", 0)
        assert ask(desk, root, "ListQueues") == [("export", Table.TOTALS, ())]
        assert value(answer(desk, {}), "a{sas}") == {"org.one": [peer.unique_name, root.unique_name]}


class TestPendingCalls:
    def test_ages(self, desk: Desk, root: Peer) -> None:
        """The oldest first; an age from before an upgrade is unknown; parties that are gone are left out."""
        peer = desk.attach()
        ids = {"caller": root.id, "callee": peer.id}
        table = [
            ids | {"serial": 1, "age": 5},
            ids | {"serial": 2, "age": 7},
            ids | {"serial": 3},
            ids | {"serial": 4, "age": 0},
            {"caller": 99, "callee": peer.id, "serial": 5, "age": 9},
        ]
        assert ask(desk, root, "ListPendingCalls", "t", 1) == [("export", Table.REPLIES, ())]
        names = [root.unique_name, peer.unique_name]
        assert value(answer(desk, table), "a(ssut)") == [
            [*names, 3, UNKNOWN_AGE],
            [*names, 2, 7000],
            [*names, 1, 5000],
        ]


class TestMediation:
    """What the modules say is asked of the data plane."""

    ROW: ClassVar[dict[str, Any]] = {
        "module": "AppArmor",
        "permission": "send",
        "label": "one",
        "allowed": True,
    }

    def test_message(self, desk: Desk, root: Peer) -> None:
        peer = desk.attach()
        desk.call(peer, "RequestName", "su", "org.one", 0)
        fields = {"destination": "org.one", "path": "/a", "interface": "a.b", "member": "C"}
        arguments = (root.unique_name, "org.one", 1, False, fields)
        question = Question(root.id, peer.id, 1, False, "org.one", "/a", "a.b", "C")
        assert ask(desk, root, "Mediation", "ssuba{ss}", *arguments) == [("explain", question)]
        denied = self.ROW | {"allowed": False, "peer_label": "two", "error": "no memory"}
        assert value(answer(desk, [self.ROW, denied]), "aa{sv}") == [
            {"Module": "AppArmor", "Permission": "send", "Label": "one", "Allowed": True},
            {
                "Module": "AppArmor",
                "Permission": "send",
                "Label": "one",
                "PeerLabel": "two",
                "Error": "no memory",
                "Allowed": False,
            },
        ]

    def test_receiver_yet_to_start(self, desk: Desk, root: Peer) -> None:
        """A service that is yet to be started, or the bus."""
        arguments = (root.unique_name, "org.one", 3, True, {"error_name": "a.E"})
        question = Question(root.id, BROADCAST, 3, True, "org.freedesktop.DBus", error_name="a.E")
        assert ask(desk, root, "Mediation", "ssuba{ss}", *arguments) == [("explain", question)]

    @pytest.mark.parametrize(
        ("sender", "type", "error"),
        [(":1.999", 1, "NameHasNoOwner"), (None, 5, "InvalidArgs")],
    )
    def test_refused(self, desk: Desk, root: Peer, sender: str | None, type: int, error: str) -> None:
        arguments = (sender or root.unique_name, "org.one", type, False, {})
        reply, _ = ask(desk, root, "Mediation", "ssuba{ss}", *arguments)
        assert (reply[0], reply[3]) == ("error", f"org.freedesktop.DBus.Error.{error}")

    def test_modules(self, desk: Desk, root: Peer) -> None:
        """The status names those that mediate the bus."""
        assert value(ask(desk, root, "GetStatus"), "a{sv}")["Mediation"] == []
        desk.plane.mediated = Module.AppArmor | Module.SELinux
        assert value(ask(desk, root, "GetStatus"), "a{sv}")["Mediation"] == ["AppArmor", "SELinux"]


class TestHistory:
    def test_denials(self, desk: Desk, root: Peer) -> None:
        peer = desk.attach()
        for line, sender in ((3, peer.id), (0, BROADCAST)):
            file = "/a/b.conf" if line else None
            event = FakeEvent(
                EventKind.LOG, sender, destination="a.b", type=5, path=file, body=b"denied", serial=line
            )
            desk.happen(event)
        first, second = value(ask(desk, root, "Denials", "t", 0), "aa{sv}")
        assert (first["Sender"], first["File"], first["Line"]) == (peer.unique_name, "/a/b.conf", 3)
        assert (second["Sender"], second["File"], second["Line"]) == ("", "", 0)
        assert first["Text"] == "denied"
        assert value(ask(desk, root, "Denials", "t", second["Time"]), "aa{sv}") == []

    def test_bound(self, desk: Desk, root: Peer) -> None:
        for number in range(DENIALS + 10):
            desk.happen(FakeEvent(EventKind.LOG, root.id, destination="a.b", body=str(number).encode()))
        found = value(ask(desk, root, "Denials", "t", 0), "aa{sv}")
        assert len(found) == DENIALS
        assert found[0]["Text"] == "10"

    def test_gone(self, desk: Desk, root: Peer) -> None:
        for kind, reason in ((EventKind.LEFT, LossReason.CLOSED), (EventKind.GONE, LossReason.OVERFLOW)):
            desk.happen(FakeEvent(kind, desk.attach().id, reason=reason))
        found = value(ask(desk, root, "Gone", "t", 0), "aa{sv}")
        assert [one["Reason"] for one in found] == ["closed", "overflow"]
        assert found[0]["UniqueName"] != found[1]["UniqueName"]
        assert desk.bus.history.lost == {"closed": 1, "overflow": 1}

    def test_no_starts(self, desk: Desk, root: Peer) -> None:
        assert value(ask(desk, root, "ListStarts"), "aa{sv}") == []


class TestGroup:
    def test_counts(self, desk: Desk, root: Peer) -> None:
        ask(desk, root, "Group")
        totals = {"members": 2, "direct": 3, "direct_deliveries": 4, "spilled": 0, "asked": {"why": 1}}
        found = value(answer(desk, totals), "a{sv}")
        assert found["Members"] == 2
        assert found["Asked"] == {"why": 1}


class TestTrace:
    def test_become(self, desk: Desk, root: Peer) -> None:
        assert ask(desk, root, "Trace", "as", ["member='A'"]) == [
            ("become_tracer", root.id, 7, ("member='A'",)),
            ("resume", root.id),
        ]
        assert root.monitor


class TestPrivilege:
    @pytest.mark.parametrize(("member", "signature"), [("GetStatus", ""), ("GetPolicy", ""), ("Gone", "t")])
    def test_refused(self, desk: Desk, member: str, signature: str) -> None:
        error, _ = ask(desk, desk.attach(), member, signature, *([0] if signature else []))
        assert error[3] == "org.freedesktop.DBus.Error.AccessDenied"
