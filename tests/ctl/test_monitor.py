"""omnibusctl monitor, on every bus."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from support.programs import Program
from support.raw import Client

from .conftest import StartBus, program
from .watching import ME, NAME, Echo, watching


class TestMonitor:
    def events(
        self, running: Program, enough: Callable[[list[dict[str, Any]]], bool]
    ) -> list[dict[str, Any]]:
        """Read events until there are enough."""

        def parsed() -> list[dict[str, Any]]:
            return [json.loads(line) for line in running.output.split("\n")[:-1]]

        running.read(lambda: enough(parsed()))
        return parsed()

    def test_calls_and_replies(self, every_bus: str) -> None:
        """A filter for a well-known name: its calls, their replies with the time since, and nothing else."""
        service, client, stranger = Client(every_bus), Client(every_bus), Client(every_bus)
        echo = Echo(service, pause=0.02)
        with watching(every_bus, "--json", "monitor", "--to", NAME) as running:
            stranger.signal("News")
            stranger.sync()
            client.call(NAME, "Get")
            client.signal("News")
            found = self.events(running, lambda found: len(found) >= 2)
        echo.stop(client)
        call, reply = found
        assert (call["type"], call["member"], call["destination"]) == ("call", "Get", NAME)
        assert (call["sender"], call["destination_unique"]) == (client.unique, service.unique)
        assert (reply["type"], reply["member"], reply["reply_serial"]) == ("return", "Get", call["serial"])
        assert reply["duration_us"] >= 15_000
        for one in (service, client, stranger):
            one.close()

    def test_line(self, start_bus: StartBus) -> None:
        bus = start_bus()
        client, service = bus.connect(), bus.connect()
        echo = Echo(service)
        with watching(bus.address, "monitor", NAME, "-n", "2") as running:
            client.start_call(NAME, "Fail", "su", "text\x1b", 5)
            lines = running.read_lines(2)
        echo.stop(client)
        assert f"call   {client.unique} " in lines[0]
        assert f"{ME} → {NAME} " in lines[0]
        assert '("text\\x1b", 5)' in lines[0]
        assert "error  " in lines[1]
        assert "com.example.Error.Failed of org.example.Interface.Fail for #" in lines[1]

    def test_errors_only(self, start_bus: StartBus) -> None:
        bus = start_bus()
        client, service = bus.connect(), bus.connect()
        echo = Echo(service)
        with watching(bus.address, "--json", "monitor", "--errors-only", "--no-body") as running:
            client.call(NAME, "Get")
            client.start_call(NAME, "Fail")
            (found,) = self.events(running, lambda found: len(found) >= 1)
        echo.stop(client)
        assert found["error"] == "com.example.Error.Failed"
        assert "body" not in found

    def test_owner_changes(self, start_bus: StartBus) -> None:
        """A name that moves to another connection is followed."""
        bus = start_bus()
        first, second, client = bus.connect(), bus.connect(), bus.connect()
        first.own(NAME)
        with watching(bus.address, "--json", "monitor", "--from", NAME) as running:
            first.driver("ReleaseName", "s", NAME)
            second.own(NAME)
            first.signal("Old")
            first.sync()
            second.signal("New")
            found = self.events(running, lambda found: any(one["member"] == "New" for one in found))
        assert not any(one["member"] == "Old" for one in found)
        client.close()

    def test_unprivileged(self, start_bus: StartBus, unprivileged: int) -> None:
        bus = start_bus()
        user = {"user": unprivileged, "group": unprivileged, "extra_groups": []}
        done = program("--address", bus.address, "monitor", "-t", "1", **user)
        assert done.code == 4, done
