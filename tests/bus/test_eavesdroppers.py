"""eavesdrop='true' in a match rule, which is deprecated: AddMatch, and messages of the bus.

The messages that such rules match are tested in test_eavesdropping.py.
"""

from __future__ import annotations

import pytest

from support.daemon import STRICT_POLICY, config
from support.monitor import (
    CALL,
    ERROR,
    FAILURE,
    SIGNAL,
    monitor,
    sees,
    summary,
)
from support.raw import BUS, BusError, Client

from .conftest import Connect, StartDaemon


class TestEavesdropping:
    """eavesdrop='true' in AddMatch, which is deprecated; see also test_match_rules.py."""

    def test_unprivileged(self, start_daemon: StartDaemon, unprivileged: int) -> None:
        """Only root and the user of the bus may eavesdrop, whatever the policy; the rule must be valid."""
        daemon = start_daemon()
        client = daemon.connect(uid=unprivileged)
        with pytest.raises(BusError) as caught:
            client.match("eavesdrop='true'")
        assert caught.value.name == ERROR + "AccessDenied"
        text = caught.value.text
        assert text.startswith(f"rejected attempt to call AddMatch by connection {client.unique} (uid=")
        assert text.endswith(f") with uid {unprivileged}")
        client.sync()  # the log arrives separately
        assert text in daemon.stderr
        with pytest.raises(BusError, match="no subsequent '='"):
            client.match("eavesdrop='true',foo")
        with pytest.raises(BusError, match="wasn't found"):
            client.driver("RemoveMatch", "s", "eavesdrop='true'")
        client.match("eavesdrop='false'")

    def test_calls_of_the_bus(self, connect: Connect, client: Client, name: str) -> None:
        """Calls of the bus are overheard after their effects, and not if they are refused."""
        spy = connect()
        spy.match("eavesdrop='true',type='method_call'")
        spy.match("type='signal',member='NameOwnerChanged'")
        spy.sync()
        spy.inbox.clear()
        client.own(name)
        for member, signature, body in (
            ("RequestName", "s", ("x",)),
            ("GetNameOwner", "s", ("a.b",)),
            ("No", "", ()),
        ):
            with pytest.raises(BusError):
                client.driver(member, signature, *body)
        client.driver("GetId")
        newcomer = connect()
        changed = (SIGNAL, BUS, None, "NameOwnerChanged")
        messages = []
        while not messages or messages[-1][3] != "Hello":
            messages.append(summary(spy.receive()))
        assert [message for message in messages if message[1] != spy.unique] == [
            changed,
            (CALL, client.unique, BUS, "RequestName"),
            (CALL, client.unique, BUS, "GetId"),
            changed,
            (CALL, newcomer.unique, BUS, "Hello"),
        ]

    def test_replies_of_the_bus(self, connect: Connect, client: Client, name: str) -> None:
        """Replies of the bus to other clients are not overheard."""
        spy = connect()
        spy.match(f"eavesdrop='true',sender='{BUS}'")
        client.own(name)
        spy.expect(member="NameOwnerChanged")
        spy.expect_nothing()

    def test_denied_to_eavesdropper(self, start_daemon: StartDaemon) -> None:
        """Without eavesdrop='true' in the policy nothing is overheard; monitors see the errors."""
        daemon = start_daemon(config("unix:path={dir}/bus", policy=STRICT_POLICY))
        spy, client, other = daemon.connect(), daemon.connect(), daemon.connect()
        spy.match("eavesdrop='true'")
        watcher = monitor(daemon)
        client.signal("Secret", destination=other.unique)
        other.expect(member="Secret")
        sees(
            watcher,
            (SIGNAL, client.unique, other.unique, "Secret"),
            (FAILURE, BUS, client.unique, ERROR + "AccessDenied"),
        )
        assert all(message.member != "Secret" for message in spy.inbox)
