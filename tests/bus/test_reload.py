"""Specification, "ReloadConfig"."""

from __future__ import annotations

import pytest

from support.driver import refused
from support.raw import BUS, BUS_PATH, BusError, Client

from .conftest import StartDaemon


class TestReloadConfig:
    def test_reload(self, client: Client, other: Client, name: str) -> None:
        """ReloadConfig: an empty reply when it is done; names and rules stay."""
        client.own(name)
        other.match(f"sender='{name}'")
        assert other.driver("ReloadConfig") is None
        assert other.driver("GetNameOwner", "s", name) == client.unique
        client.signal("News")
        other.expect(member="News")

    def test_calls_during_a_reload(self, client: Client, other: Client) -> None:
        """Everybody else is served meanwhile, and the caller's next messages come after it."""
        serial = client.start_call(BUS, "ReloadConfig", interface=BUS, path=BUS_PATH)
        client.signal("News", destination=other.unique)
        assert other.driver("GetId")
        other.take(member="News")
        assert client.reply_to(serial).body == ()

    def test_new_policy(self, start_daemon: StartDaemon) -> None:
        """A new policy is in force when the reply is there, also for those who are connected."""
        daemon = start_daemon()
        client = daemon.connect()
        path = daemon.directory / "bus.conf"
        text = path.read_text()
        denied = '<policy context="mandatory"><deny own="org.example.Denied"/></policy></busconfig>'
        assert client.own("org.example.Denied") == 1
        assert client.driver("ReleaseName", "s", "org.example.Denied") == 1
        path.write_text(text.replace("</busconfig>", denied))
        client.driver("ReloadConfig")
        assert refused(client, "AccessDenied", "RequestName", "su", "org.example.Denied", 0)
        path.write_text(text)
        client.driver("ReloadConfig")
        assert client.driver("RequestName", "su", "org.example.Denied", 0) == 1

    def test_bad_file(self, start_daemon: StartDaemon) -> None:
        """A bad file changes nothing, and the error says why."""
        daemon = start_daemon()
        client = daemon.connect()
        (daemon.directory / "bus.conf").write_text("<busconfig>\n<type>session</typo></busconfig>")
        with pytest.raises(BusError, match=r"line 2.*mismatched tag"):
            client.driver("ReloadConfig")
        assert client.own("org.example.Name") == 1
