"""The verbs that let others act: upgrade and takeover."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from omnibus.ctl import exits
from omnibus.ctl.cli import module_of, parse
from omnibus.ctl.verbs import takeover

from .conftest import REFERENCE, Ctl, StartBus, program


class TestUpgrade:
    def test_done(self, start_bus: StartBus) -> None:
        """The bus goes on as the installed program, in the same process."""
        bus = start_bus()
        client = bus.connect()
        done = program("--address", bus.address, "upgrade")
        assert done.code == 0, done
        assert "connections, waited" in done.out
        client.sync()
        assert bus.stderr.count("Upgraded from omnibus") == 1

    def test_json(self, start_bus: StartBus) -> None:
        done = program("--json", "--address", start_bus().address, "upgrade")
        assert json.loads(done.out)["data"] == {"result": "done"}
        assert "connections, waited" in done.err

    def test_another_program(self, start_bus: StartBus) -> None:
        done = program("--address", start_bus(executable=REFERENCE).address, "upgrade")
        assert done.code == exits.CANNOT
        assert "a restart is needed" in done.out

    def test_no_bus(self) -> None:
        done = program("--address=unix:path=/no/bus", "upgrade")
        assert done.code == 1
        assert "no bus" in done.out

    def test_all(self) -> None:
        """An address without a bus is no failure."""
        environment = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/no/bus"}
        assert program("upgrade", "--all", env=environment).code == 0


class TestTakeover:
    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ([], ["--system"]),
            (["--dry-run", "--user=1000"], ["--dry-run", "--user=1000"]),
            (["--pid=714", "--force"], ["--force", "714"]),
            (["--patience=5", "--program=/x"], ["--patience=5", "--program=/x", "--system"]),
        ],
    )
    def test_arguments(self, arguments: list[str], expected: list[str]) -> None:
        options = parse("takeover", module_of("takeover"), [], arguments)
        assert takeover.command(options) == ["omnibus-takeover", *expected]

    def test_place(self, tmp_path: Path) -> None:
        """It is looked for where it is installed, not in PATH."""
        file = tmp_path / "omnibus-takeover"
        file.touch(mode=0o755)
        assert takeover.find((str(tmp_path),)) == str(file)

    def test_executed(self, ctl: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        ran: list[tuple[str, list[str]]] = []
        monkeypatch.setattr(takeover, "find", lambda: "/sbin/omnibus-takeover")
        monkeypatch.setattr(os, "execv", lambda path, command: ran.append((path, command)))
        ctl("takeover", "--dry-run")
        assert ran == [("/sbin/omnibus-takeover", ["omnibus-takeover", "--dry-run", "--system"])]
