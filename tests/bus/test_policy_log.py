"""Log lines for messages that the policy denies, and for those that a rule logs."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from support.daemon import Daemon, config
from support.message import Type
from support.raw import BUS, BusError, Client

from .conftest import StartDaemon

INTERFACE = "org.example.Interface"
POLICY = f"""<policy context="default">
<allow user="*"/> <allow own="*"/>
<allow send_destination="*" eavesdrop="true"/> <allow eavesdrop="true"/>
<deny send_interface="{INTERFACE}" send_member="NotSent"/>
<deny receive_interface="{INTERFACE}" receive_member="NotReceived"/>
<allow send_interface="{INTERFACE}" send_member="Noted" log="true"/>
<deny send_interface="{INTERFACE}" send_member="NotSentAndNoted" log="true"/>
<allow send_interface="{INTERFACE}" send_member="NotedAndNotReceived" log="true"/>
<deny receive_interface="{INTERFACE}" receive_member="NotedAndNotReceived"/>
<deny receive_interface="{BUS}" receive_member="NameLost"/>
</policy>"""
PLACE = re.compile(r" \(\S+:\d+\)$")
IDENTITY = re.compile(r'uid=\d+ pid=\d+ comm="[^"]*"')


@pytest.fixture
def daemon(start_daemon: StartDaemon) -> Daemon:
    return start_daemon(config("unix:path={dir}/bus", policy=POLICY))


class TestLog:
    """Each line contains the text of the error that the sender gets, or would get."""

    def lines(self, daemon: Daemon, client: Client) -> list[str]:
        """Return the denials logged so far, without the program's name and the identities of the peers."""
        # Everything before this reply of the control plane has been logged.
        client.driver("ListQueuedOwners", "s", BUS)
        prefix = f"[{daemon.pid}]: [session uid={os.geteuid()} pid={daemon.pid}] "
        found = [line.partition(prefix)[2] for line in daemon.stderr.splitlines()]
        found = [PLACE.sub("", line) for line in found if "matched rules" in line]
        return [IDENTITY.sub("peer", line) for line in found]

    def line(
        self, words: str, type: str, client: Client, member: str, destination: str, rules: int = 2
    ) -> str:
        to = "bus" if destination == BUS and type == "method_call" else "peer"
        return (
            f'{words}, {rules} matched rules; type="{type}", sender="{client.unique}" (peer) '
            f'interface="{INTERFACE}" member="{member}" error name="(unset)" requested_reply="0" '
            f'destination="{destination}" ({to})'
        )

    @pytest.mark.deviation("denial-place")
    def test_place(self, daemon: Daemon) -> None:
        """A line ends with the place of the rule that decided, as a log without fields has no other."""
        client, other = daemon.connect(), daemon.connect()
        client.expect_error(
            client.start_call(other.unique, "NotSent"), "org.freedesktop.DBus.Error.AccessDenied"
        )
        client.driver("ListQueuedOwners", "s", BUS)
        (line,) = [line for line in daemon.stderr.splitlines() if "matched rules" in line]
        file = daemon.directory / "bus.conf"
        number = file.read_text().partition('send_member="NotSent"')[0].count("\n") + 1
        assert line.endswith(f" ({file}:{number})")

    @pytest.mark.parametrize(
        ("member", "words"),
        [
            ("NotSent", "Rejected send message"),
            ("NotReceived", "Rejected receive message"),
            ("NotSentAndNoted", "Rejected send message"),
        ],
    )
    def test_refused(self, daemon: Daemon, member: str, words: str) -> None:
        client, other = daemon.connect(), daemon.connect()
        with pytest.raises(BusError) as caught:
            client.call(other.unique, member, interface=INTERFACE)
        expected = self.line(words, "method_call", client, member, other.unique)
        assert self.lines(daemon, client) == [expected]
        assert IDENTITY.sub("peer", caught.value.text) == expected

    def test_allowed_but_logged(self, daemon: Daemon) -> None:
        """log="true" on an allow rule: the message is delivered, and the line resembles a denial."""
        client, other = daemon.connect(), daemon.connect()
        client.start_call(other.unique, "Noted", interface=INTERFACE)
        other.expect(member="Noted")
        expected = self.line("Would reject message", "method_call", client, "Noted", other.unique)
        assert self.lines(daemon, client) == [expected]

    def test_logged_and_denied(self, daemon: Daemon) -> None:
        """The receiver's policy may deny a message that the sender's policy logs."""
        client, other = daemon.connect(), daemon.connect()
        with pytest.raises(BusError):
            client.call(other.unique, "NotedAndNotReceived", interface=INTERFACE)
        assert self.lines(daemon, client) == [
            self.line("Would reject message", "method_call", client, "NotedAndNotReceived", other.unique),
            self.line("Rejected receive message", "method_call", client, "NotedAndNotReceived", other.unique),
        ]

    def test_broadcasts(self, daemon: Daemon) -> None:
        """A skipped subscriber is not logged; a recipient of a logged broadcast is."""
        client, *others = [daemon.connect() for _ in range(3)]
        for other in others:
            other.match(f"type='signal',interface='{INTERFACE}'")
        for member in ("NotSent", "NotReceived", "NotedAndNotReceived", "Noted"):
            client.signal(member, interface=INTERFACE)
        for other in others:
            other.expect(type=Type.SIGNAL, member="Noted")
        assert self.lines(daemon, client) == [
            self.line("Would reject message", "signal", client, member, BUS)
            for member in ("NotedAndNotReceived", "Noted")
            for _ in others
        ]

    def test_to_the_bus(self, daemon: Daemon) -> None:
        client = daemon.connect()
        for member in ("Noted", "NotSent"):
            with pytest.raises(BusError):
                client.call(BUS, member, interface=INTERFACE)
        assert self.lines(daemon, client) == [
            self.line("Would reject message", "method_call", client, "Noted", BUS),
            self.line("Rejected send message", "method_call", client, "NotSent", BUS),
        ]

    def test_from_the_bus(self, daemon: Daemon) -> None:
        """A signal of the bus itself that a client may not receive."""
        client = daemon.connect()
        client.own("org.example.Name")
        client.driver("ReleaseName", "s", "org.example.Name")
        assert self.lines(daemon, client) == [
            'Rejected receive message, 2 matched rules; type="signal", sender="(unset)" ((bus)) '
            f'interface="{BUS}" member="NameLost" error name="(unset)" requested_reply="0" '
            f'destination="{client.unique}" (peer)'
        ]

    def test_every_denial(self, daemon: Daemon) -> None:
        """Every denial is logged, however many there are."""
        client, other = daemon.connect(), daemon.connect()
        for _ in range(1000):
            client.signal("NotSent", interface=INTERFACE, destination=other.unique)
        client.driver("GetId")
        expected = self.line("Rejected send message", "signal", client, "NotSent", other.unique)
        assert self.lines(daemon, client) == [expected] * 1000

    @pytest.mark.parametrize("name", ["p", "p" * 5, "p" * 6, "p" * 60])
    def test_command_line(self, daemon: Daemon, name: str) -> None:
        """50 bytes of a peer's command line, with blanks between the arguments, and none behind the last."""
        client = daemon.connect()
        client.match("type='signal',member='NameOwnerChanged'")
        arguments = [name, f"--dest={client.unique}", "/", f"{INTERFACE}.NotSent"]
        environment = {"DBUS_SESSION_BUS_ADDRESS": daemon.address}
        subprocess.run(arguments, executable="/usr/bin/dbus-send", env=environment, check=True)
        while client.expect(member="NameOwnerChanged").body[2]:
            pass  # until the sender has gone, after its signal
        client.driver("ListQueuedOwners", "s", BUS)
        shown = re.findall(r'sender="[^"]+" \(uid=\d+ pid=\d+ comm="([^"]*)"', daemon.stderr)
        assert shown == [" ".join(arguments)[:50]]
