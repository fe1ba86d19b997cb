"""The control plane: names, connections, absent names, reloading."""

from __future__ import annotations

from typing import Any

import pytest

from omnibus.daemon.activation.environment import Environment
from omnibus.daemon.bus import Reloaded, ReloadFailure
from omnibus.daemon.logging import DENIED, RELOAD_FAILED, RELOADED
from omnibus.daemon.peers import Peer
from omnibus.policy.block import encode
from omnibus.policy.error import ConfigError
from omnibus.policy.settings import ConfigWarning, Limits, Settings
from omnibus.transport.relay import BROADCAST, Credentials, EventKind
from support.plane import FakeEvent, make_credentials
from support.wire import Variant, marshal, unmarshal

from .conftest import Desk

BUS = "org.freedesktop.DBus"
ERROR = BUS + ".Error."
NAME = "org.example.Name"
ADMITTED = Credentials(
    1000, 42, (1000, 27), at_console=True, fd_passing=True, loginfo="uid=1000 pid=42", label=b"label"
)


def result(command: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the values of a reply."""
    assert command[0] == "reply", command
    return unmarshal(command[3], command[4])


class TestHello:
    def test_hello(self, desk: Desk) -> None:
        silent = desk.attach(hello=False)
        assert desk.call(silent, "Hello", serial=7) == [("welcome", 0, 7)]
        assert silent.unique_name == ":1.0"

    def test_answered_by_the_data_plane(self, desk: Desk) -> None:
        """The connection counts from then on, and may make all calls."""
        silent = desk.attach(hello=False)
        call = FakeEvent(peer=silent.id, member="ReleaseName", signature="s", body=marshal("s", ("a.b",)))
        (reply, _) = desk.happen(FakeEvent(EventKind.WELCOMED, silent.id), call)
        assert silent.active
        assert silent.unique_name == ":1.0"
        assert result(reply) == (2,)

    def test_ids_are_never_used_again(self, desk: Desk) -> None:
        first = desk.attach()
        desk.happen(FakeEvent(EventKind.GONE, first.id))
        assert desk.attach().unique_name == ":1.1"

    def test_second_hello(self, desk: Desk, peer: Peer) -> None:
        assert desk.fails(peer, "Hello") == (ERROR + "Failed", "Already handled an Hello message")

    def test_max_completed_connections(self) -> None:
        """The connection is not closed: it may retry when there is room."""
        desk = Desk(limits=Limits(max_completed_connections=1))
        first, second = desk.attach(), desk.attach(hello=False)
        text = "The maximum number of active connections has been reached"
        assert desk.fails(second, "Hello") == (ERROR + "LimitsExceeded", text)
        assert desk.log.lines == [f"{text} (max_completed_connections=1)"]
        desk.happen(FakeEvent(EventKind.GONE, first.id))
        assert desk.call(second, "Hello") == [("welcome", second.id, 1)]

    def test_max_connections_per_user(self) -> None:
        desk = Desk(limits=Limits(max_connections_per_user=1))
        first, second, other = (
            desk.attach(),
            desk.attach(hello=False),
            desk.attach(make_credentials(1001), hello=False),
        )
        text = "The maximum number of active connections for UID 1000 has been reached"
        assert desk.fails(second, "Hello") == (ERROR + "LimitsExceeded", text)
        assert desk.log.lines == [f"{text} (max_connections_per_user=1)"]
        assert desk.call(other, "Hello")[0][0] == "welcome"
        desk.happen(FakeEvent(EventKind.GONE, first.id))
        assert desk.call(second, "Hello")[0][0] == "welcome"

    def test_max_completed_connections_counts_admitted_connections(self) -> None:
        """They count while they are connected."""
        desk = Desk(limits=Limits(max_completed_connections=1))
        first, second = desk.plane.next_id(), desk.attach(hello=False)
        desk.happen(FakeEvent(EventKind.ADMITTED, first, credentials=ADMITTED, active=True))
        assert desk.fails(second, "Hello")[0] == ERROR + "LimitsExceeded"
        desk.happen(FakeEvent(EventKind.LEFT, first))
        assert desk.call(second, "Hello") == [("welcome", second.id, 1)]


class TestAdmitted:
    """Connections authenticated by the data plane."""

    def test_credentials(self, desk: Desk) -> None:
        desk.happen(FakeEvent(EventKind.ADMITTED, 0, credentials=ADMITTED, active=False))
        peer = desk.bus.peers[0]
        assert not peer.active
        assert peer.credentials == ADMITTED
        desk.happen(FakeEvent(EventKind.LEFT, 0))
        assert len(desk.bus.peers) == 0

    def test_already_forgotten(self, desk: Desk) -> None:
        """The control plane has no state of it to clear."""
        desk.happen(FakeEvent(EventKind.ADMITTED, 0, credentials=ADMITTED, active=True))
        assert desk.bus.peers[0].unique_name == ":1.0"
        assert desk.happen(FakeEvent(EventKind.LEFT, 0)) == []


class TestRequestName:
    def test_queue_first_then_the_reply(self, desk: Desk, peer: Peer) -> None:
        """The signals of the change are sent before the reply."""
        assert desk.call(peer, "RequestName", "su", NAME, 0) == [
            ("set_queue", NAME, (0,)),
            ("reply", 0, 1, "u", b"\1\0\0\0"),
            ("resume", 0),
        ]

    def test_nothing_changes(self, desk: Desk, peer: Peer) -> None:
        desk.call(peer, "RequestName", "su", NAME, 0)
        reply, _ = desk.call(peer, "RequestName", "su", NAME, 0)
        assert result(reply) == (4,)

    def test_queue_alone_changes(self, desk: Desk, peer: Peer) -> None:
        """A queued request is reported too: the policy considers all names that a connection waits for."""
        desk.call(peer, "RequestName", "su", NAME, 0)
        queue, reply, _ = desk.call(desk.attach(), "RequestName", "su", NAME, 0)
        assert queue == ("set_queue", NAME, (0, 1))
        assert result(reply) == (2,)


class TestReleaseName:
    def test_release(self, desk: Desk, peer: Peer) -> None:
        desk.call(peer, "RequestName", "su", NAME, 0)
        assert desk.call(peer, "ReleaseName", "s", NAME) == [
            ("set_queue", NAME, ()),
            ("reply", 0, 1, "u", b"\1\0\0\0"),
            ("resume", 0),
        ]

    def test_not_owned(self, desk: Desk, peer: Peer) -> None:
        assert result(desk.call(peer, "ReleaseName", "s", NAME)[0]) == (2,)
        desk.call(peer, "RequestName", "su", NAME, 0)
        assert result(desk.call(desk.attach(), "ReleaseName", "s", NAME)[0]) == (3,)


class TestListQueuedOwners:
    def test_owner_first(self, desk: Desk, peer: Peer) -> None:
        other = desk.attach()
        desk.call(other, "RequestName", "su", NAME, 0)
        desk.call(peer, "RequestName", "su", NAME, 0)
        assert result(desk.call(peer, "ListQueuedOwners", "s", NAME)[0]) == ([":1.1", ":1.0"],)

    @pytest.mark.parametrize("name", [BUS, ":1.0"])
    def test_owns_itself(self, desk: Desk, peer: Peer, name: str) -> None:
        assert result(desk.call(peer, "ListQueuedOwners", "s", name)[0]) == ([name],)

    @pytest.mark.parametrize("name", [NAME, ":1.9", ":1.00", ":1.٠", ""])
    def test_no_owner(self, desk: Desk, peer: Peer, name: str) -> None:
        expected = (ERROR + "NameHasNoOwner", f"Could not get owners of name '{name}': no such name")
        assert desk.fails(peer, "ListQueuedOwners", "s", name) == expected


class TestUnknown:
    @pytest.mark.parametrize(
        ("member", "what"),
        [
            ("GetAdtAuditSessionData", "audit session data"),
            ("GetConnectionSELinuxSecurityContext", "security context"),
        ],
    )
    def test_no_owner(self, desk: Desk, peer: Peer, member: str, what: str) -> None:
        expected = (ERROR + "NameHasNoOwner", "Could not get " + what + " of name 'no.such': no such name")
        assert desk.fails(peer, member, "s", "no.such") == expected

    @pytest.mark.parametrize("name", [BUS, ":1.0"])
    @pytest.mark.parametrize(
        ("member", "error", "what"),
        [
            ("GetAdtAuditSessionData", "AdtAuditDataUnknown", "audit session data"),
            ("GetConnectionSELinuxSecurityContext", "SELinuxSecurityContextUnknown", "security context"),
        ],
    )
    def test_never_known(self, desk: Desk, peer: Peer, name: str, member: str, error: str, what: str) -> None:
        expected = (ERROR + error, f"Could not determine {what} for '{name}'")
        assert desk.fails(peer, member, "s", name) == expected


class TestProperties:
    PROPERTIES = BUS + ".Properties"

    def test_features(self, desk: Desk, peer: Peer) -> None:
        reply, _ = desk.call(peer, "Get", "ss", BUS, "Features", interface=self.PROPERTIES)
        assert result(reply) == (Variant("as", ["ActivatableServicesChanged", "HeaderFiltering"]),)

    def test_features_of_systemd_activation(self, desk: Desk, peer: Peer) -> None:
        desk.bus.systemd_activation = True
        reply, _ = desk.call(peer, "Get", "ss", BUS, "Features", interface=self.PROPERTIES)
        assert "SystemdActivation" in result(reply)[0].value

    def test_get_all(self, desk: Desk, peer: Peer) -> None:
        reply, _ = desk.call(peer, "GetAll", "s", BUS, interface=self.PROPERTIES)
        assert set(result(reply)[0]) == {"Features", "Interfaces"}
        reply, _ = desk.call(peer, "GetAll", "s", BUS + ".Peer", interface=self.PROPERTIES)
        assert result(reply) == ({},)

    @pytest.mark.parametrize(
        ("member", "args", "error", "text"),
        [
            ("Get", ["x", "y"], "UnknownInterface", 'Interface "x" not found'),
            ("GetAll", ["x"], "UnknownInterface", 'Interface "x" not found'),
            ("Get", [BUS, "y"], "UnknownProperty", f'Property "{BUS}.y" not found'),
            ("Set", [BUS, "y", Variant("u", 1)], "UnknownProperty", f'Property "{BUS}.y" not found'),
            ("Set", ["x", "y", Variant("u", 1)], "UnknownInterface", 'Interface "x" not found'),
            (
                "Set",
                [BUS, "Features", Variant("u", 1)],
                "PropertyReadOnly",
                f"Property '{BUS}.Features' cannot be set",
            ),
        ],
    )
    def test_errors(
        self, desk: Desk, peer: Peer, member: str, args: list[Any], error: str, text: str
    ) -> None:
        signature = {"Get": "ss", "GetAll": "s", "Set": "ssv"}[member]
        failure = desk.fails(peer, member, signature, *args, interface=self.PROPERTIES)
        assert failure == (ERROR + error, text)


class TestActivation:
    def test_parked(self, desk: Desk, peer: Peer) -> None:
        event = FakeEvent(EventKind.PARKED, peer.id, parked=9, destination=NAME)
        text = f"The name {NAME} was not provided by any .service files"
        assert desk.happen(event) == [("reject", 9, ERROR + "ServiceUnknown", text)]

    def test_parked_with_no_auto_start(self, desk: Desk) -> None:
        event = FakeEvent(EventKind.PARKED, parked=9, destination=NAME, flags=2)
        assert desk.happen(event) == [
            ("reject", 9, ERROR + "NameHasNoOwner", f'Name "{NAME}" does not exist')
        ]

    def test_parked_while_the_name_was_taken(self, desk: Desk, peer: Peer) -> None:
        """A message parked before the name got an owner, or with NO_AUTO_START, is delivered all the same."""
        desk.call(peer, "RequestName", "su", NAME, 0)
        event = FakeEvent(EventKind.PARKED, peer.id, parked=9, destination=NAME, flags=2)
        assert desk.happen(event) == [("deliver", 9)]

    @pytest.mark.parametrize("name", ["org.example.Other", BUS, "", ":1.0", NAME])
    def test_start_unknown_service(self, desk: Desk, peer: Peer, name: str) -> None:
        """A service without a file is an error even if the name has an owner."""
        desk.call(peer, "RequestName", "su", NAME, 0)
        expected = (ERROR + "ServiceUnknown", f"The name {name} was not provided by any .service files")
        assert desk.fails(peer, "StartServiceByName", "su", name, 0) == expected

    def test_environment(self) -> None:
        environment = Environment({}, "an:address", None)
        desk = Desk(environment=environment)
        root = desk.attach(make_credentials(uid=0))
        desk.call(root, "UpdateActivationEnvironment", "a{ss}", {"A": "1", "B": "2"})
        reply, _ = desk.call(root, "UpdateActivationEnvironment", "a{ss}", {"B": "3"})
        assert reply == ("reply", root.id, 1, "", b"")
        assert environment.for_program() == {"A": "1", "B": "3", "DBUS_STARTER_ADDRESS": "an:address"}

    def test_environment_of_a_system_bus(self) -> None:
        desk = Desk(servicehelper="/usr/lib/helper")
        root = desk.attach(make_credentials(uid=0))
        failure = desk.fails(root, "UpdateActivationEnvironment", "a{ss}", {"A": "1"})
        assert failure == (ERROR + "AccessDenied", "Cannot change activation environment on a system bus.")


class TestDisconnect:
    def test_order(self, desk: Desk, peer: Peer) -> None:
        """Names are released in the reverse order of the requests; the unique name last, by forget."""
        other = desk.attach()
        for name in ("org.a", "org.b"):
            desk.call(peer, "RequestName", "su", name, 0)
        desk.call(other, "RequestName", "su", "org.b", 0)
        assert desk.happen(FakeEvent(EventKind.GONE, peer.id)) == [
            ("leave_queue", "org.b", 0),
            ("leave_queue", "org.a", 0),
            ("forget", 0),
        ]
        assert [one.id for one in desk.bus.peers] == [1]

    def test_before_hello(self, desk: Desk) -> None:
        silent = desk.attach(hello=False)
        assert desk.happen(FakeEvent(EventKind.GONE, silent.id)) == [("forget", 0)]

    def test_one_batch_for_all(self, desk: Desk, peer: Peer) -> None:
        """Disconnects in one batch of events are answered by one batch of commands."""
        other = desk.attach()
        events = [FakeEvent(peer=one.id, member="Nope") for one in (peer, other)]
        assert [command[0] for command in desk.happen(*events)] == ["error", "resume"] * 2


class TestLog:
    def test_line_of_the_data_plane(self, desk: Desk) -> None:
        desk.happen(FakeEvent(EventKind.LOG, type=4, destination=None, body=b"denied \xff"))
        assert (desk.log.lines, desk.log.fields) == (["denied \ufffd"], [{}])

    @pytest.mark.parametrize("known", [True, False], ids=["by a rule", "by none"])
    def test_denial(self, desk: Desk, peer: Peer, known: bool) -> None:
        """The journal entry contains the two peers, the message and the place of the rule."""
        rule: dict[str, Any] = {"path": "/bus.conf", "serial": 3} if known else {"path": None, "serial": 0}
        desk.happen(FakeEvent(EventKind.LOG, peer.id, type=5, destination=NAME, body=b"no", **rule))
        fields = {"MESSAGE_ID": DENIED, "DBUS_SENDER": peer.unique_name, "DBUS_DESTINATION": NAME}
        place = {"CONFIG_FILE": "/bus.conf", "CONFIG_LINE": 3} if known else {}
        assert desk.log.fields == [fields | place]

    @pytest.mark.parametrize(("sender", "field"), [(BROADCAST, {"DBUS_SENDER": BUS}), (77, {})])
    def test_sender_that_is_no_connection(self, desk: Desk, sender: int, field: dict[str, str]) -> None:
        """The sender is the bus itself, or has disconnected."""
        desk.happen(FakeEvent(EventKind.LOG, sender, type=5, destination=NAME, path=None, body=b"no"))
        assert desk.log.fields == [{"MESSAGE_ID": DENIED, "DBUS_DESTINATION": NAME} | field]


class TestReload:
    NEW = Settings(limits=Limits(max_names_per_connection=1), policy=encode([]))
    CHANGED = ("signal", BROADCAST, "/org/freedesktop/DBus", BUS, "ActivatableServicesChanged", "", b"")

    @pytest.fixture
    def told(self, desk: Desk) -> list[Reloaded]:
        """Callback for the outcome of a reload."""
        told: list[Reloaded] = []
        desk.bus.on_reload = lambda one, failed: told.append(one)
        return told

    def reload(self, desk: Desk, settings: Settings) -> list[tuple[Any, ...]]:
        desk.bus.reloaded(settings)
        desk.plane.commit()
        return desk.plane.take()

    def test_caller_waits(self, desk: Desk, peer: Peer, told: list[Reloaded]) -> None:
        assert desk.call(peer, "ReloadConfig", serial=5) == []
        (tell,) = told
        tell(None)
        assert desk.plane.batch == [("reply", peer.id, 5, "", b""), ("resume", peer.id)]

    @pytest.mark.parametrize(
        ("failure", "error"),
        [
            (ConfigError("/bus.conf", 3, "no"), ("Failed", "/bus.conf:3: no")),
            (ConfigError("/bus.conf", 0, "no", missing=True), ("FileNotFound", "/bus.conf: no")),
            (OSError(12, "Cannot allocate memory"), ("Failed", "[Errno 12] Cannot allocate memory")),
        ],
    )
    def test_caller_gets_the_error(
        self,
        desk: Desk,
        peer: Peer,
        told: list[Reloaded],
        failure: ReloadFailure,
        error: tuple[str, str],
    ) -> None:
        desk.call(peer, "ReloadConfig", serial=5)
        told[0](failure)
        assert desk.plane.batch == [
            ("error", peer.id, 5, ERROR + error[0], error[1]),
            ("resume", peer.id),
        ]

    def test_one_step(self, desk: Desk) -> None:
        desk.bus.reloaded(self.NEW)
        assert desk.plane.committed == []
        assert desk.plane.batch == [
            ("load_policy", self.NEW.policy),
            ("set_limits", self.NEW.limits),
            self.CHANGED,
        ]

    def test_in_force(self, desk: Desk, peer: Peer) -> None:
        """The data plane applies it to existing connections, too."""
        limits = Limits(max_completed_connections=1)
        self.reload(desk, Settings(limits=limits, policy=desk.settings.policy))
        assert desk.bus.peers.limits.max_completed_connections == 1

    def test_log(self, desk: Desk) -> None:
        """Skipped files are logged each time."""
        warning = ConfigWarning("/bus.conf", 3, 'Unknown username "x" in message bus configuration file')
        desk.bus.reloaded(self.NEW.replace(warnings=(warning,)))
        assert desk.log.lines == [str(warning), "Reloaded configuration"]
        assert desk.log.fields == [
            {"CONFIG_FILE": "/bus.conf", "CONFIG_LINE": 3},
            {"MESSAGE_ID": RELOADED},
        ]

    def test_bad_configuration(self, desk: Desk) -> None:
        """The old configuration stays."""
        desk.bus.reload_failed(ConfigError("/bus.conf", 3, "no"))
        assert desk.plane.batch == [self.CHANGED]
        assert desk.log.lines == ["Unable to reload configuration: /bus.conf:3: no"]
        assert desk.log.fields == [
            {"MESSAGE_ID": RELOAD_FAILED, "CONFIG_FILE": "/bus.conf", "CONFIG_LINE": 3}
        ]
        assert desk.bus.settings is desk.settings

    def test_rules_that_the_data_plane_refuses(
        self, desk: Desk, peer: Peer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No part of the new configuration is in force then."""

        def refuse(block: bytes) -> None:
            raise MemoryError

        monkeypatch.setattr(desk.plane, "load_policy", refuse)
        with pytest.raises(MemoryError):
            desk.bus.reloaded(self.NEW)
        assert desk.plane.batch == []
        assert desk.bus.settings is desk.settings
        assert desk.call(peer, "RequestName", "su", "org.b", 0)[0][0] == "set_queue"
