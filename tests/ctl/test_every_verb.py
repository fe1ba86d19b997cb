"""Every verb: as a user that may not see what a bus does, and with the other two buses."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from omnibus.ctl.cli import VERBS
from support.broker import broker
from support.daemon import Daemon
from support.raw import BUS, ERROR, INTROSPECTABLE, PROPERTIES, Client

from .conftest import REFERENCE, StartBus, program
from .examples import EXAMPLES, NAME, commands

SECRETS = ("SecretCall", "SecretDenied", "SecretSignal", "SecretRule", "SecretStart", "SecretBody")
LIKE_DEBIAN = f"""<policy context="default">
  <allow user="*"/>
  <deny own="*"/>
  <deny send_type="method_call"/>
  <allow send_type="signal"/>
  <allow send_requested_reply="true" send_type="method_return"/>
  <allow send_requested_reply="true" send_type="error"/>
  <allow receive_type="method_call"/><allow receive_type="method_return"/>
  <allow receive_type="error"/><allow receive_type="signal"/>
  <allow send_destination="{BUS}" send_interface="{BUS}"/>
  <allow send_destination="{BUS}" send_interface="{INTROSPECTABLE}"/>
  <allow send_destination="{BUS}" send_interface="{PROPERTIES}"/>
</policy>
<policy user="root">
  <allow own="{NAME}"/>
  <allow send_destination="{NAME}"/>
  <allow send_destination="com.example.Fails"/>
  <allow send_destination="{BUS}"/>
</policy>"""


def test_examples() -> None:
    """There is one for each verb."""
    assert EXAMPLES.keys() == VERBS.keys()


class Secrets:
    """A bus like that of a distribution, where root does what no other user may see."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.service, self.client = daemon.connect(), daemon.connect()
        self.service.own(NAME)
        self.service.match("type='signal',member='SecretRule'")
        self.client.start_call(NAME, "SecretCall")
        serial = self.service.start_call(self.client.unique, "SecretDenied")
        self.service.expect_error(serial, f"{ERROR}AccessDenied")
        serial = self.client.start_call("com.example.Fails", "SecretStart")
        self.client.expect_error(serial, f"{ERROR}Spawn.ChildExited")
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._chat)
        self._thread.start()

    def _chat(self) -> None:
        client = self.daemon.connect()
        while not self._ends.wait(0.05):
            client.start_call(NAME, "SecretCall", "s", "SecretBody", flags=1)
            client.signal("SecretSignal", "s", "SecretBody", destination=self.service.unique)

    def stop(self) -> None:
        self._ends.set()
        self._thread.join()


@pytest.fixture
def secrets(start_bus: StartBus, tmp_path: Path) -> Iterator[Secrets]:
    if os.geteuid() != 0:
        pytest.skip("needs root, to change the uid")
    text = "[D-BUS Service]\nName=com.example.Fails\nExec=/bin/false SecretStart\n"
    services = tmp_path / "services"
    services.mkdir()
    (services / "com.example.Fails.service").write_text(text)
    daemon = start_bus(policy=LIKE_DEBIAN, extra=f"<servicedir>{services}</servicedir>")
    found = Secrets(daemon)
    yield found
    found.stop()


def run(daemon: Daemon, verb: str, directory: Path, uid: int) -> list[tuple[int, str]]:
    """Run all uses of a verb, and return the exit status and all output of each."""
    directory.mkdir()
    os.chown(directory, uid, uid)
    found = []
    for words in commands(verb, daemon.pid, str(daemon.directory / "bus.conf")):
        done = program(
            "--address", daemon.address, *words, user=uid, group=uid, extra_groups=[], cwd=directory
        )
        files = "".join(path.read_bytes().decode("latin-1") for path in directory.iterdir())
        found.append((done.code, done.out + done.err + files))
    return found


class TestPrivacy:
    SHOWN_TO_ROOT: ClassVar[dict[str, set[str]]] = {
        "monitor": {"SecretCall", "SecretSignal", "SecretBody"},
        "capture": {"SecretCall", "SecretSignal", "SecretBody"},
        "latency": set(),
        "matches": {"SecretRule"},
        "show": {"SecretRule"},
        "log": {"SecretDenied"},
        "why": {"SecretDenied"},
        "activation": {"SecretStart"},
    }
    NOTHING = ("pending", "activation", "matches", "monitor", "capture", "graph", "latency", "group", "log")
    """Verbs of which nothing is left without privileges."""

    @pytest.mark.parametrize("verb", VERBS)
    def test_stranger(self, secrets: Secrets, tmp_path: Path, unprivileged: int, verb: str) -> None:
        """No verb shows a message, a rule, a denial or a start of others, and none changes anything."""
        tmp_path.chmod(0o755)
        for code, text in run(secrets.daemon, verb, tmp_path / "theirs", unprivileged):
            assert [one for one in SECRETS if one in text] == []
            assert "Traceback" not in text
            if verb in self.NOTHING:
                assert code == 4, text
            if verb in ("log-level", "reload", "upgrade", "takeover"):
                assert code != 0 or verb == "reload", text
        # The bus is as it was.
        assert "Log level" not in secrets.daemon.stderr
        assert "Upgraded" not in secrets.daemon.stderr

    @pytest.mark.parametrize("verb", SHOWN_TO_ROOT)
    def test_root(self, secrets: Secrets, tmp_path: Path, verb: str) -> None:
        """The secrets are there to be seen."""
        text = "".join(text for _, text in run(secrets.daemon, verb, tmp_path / "ours", 0))
        assert {one for one in self.SHOWN_TO_ROOT[verb] if one in text} == self.SHOWN_TO_ROOT[verb]

    def test_every_secret(self) -> None:
        assert set().union(*self.SHOWN_TO_ROOT.values()) == set(SECRETS)


@contextlib.contextmanager
def dbus_daemon(directory: Path, start_bus: StartBus) -> Iterator[tuple[str, int, str]]:
    daemon = start_bus(executable=REFERENCE)
    yield daemon.address, daemon.pid, str(daemon.directory / "bus.conf")


@contextlib.contextmanager
def dbus_broker(directory: Path, start_bus: StartBus) -> Iterator[tuple[str, int, str]]:
    file = directory / "any.conf"
    file.write_text("<busconfig><listen>unix:path=/x</listen></busconfig>")
    with broker(directory) as found:
        yield found.address, found.pid, str(file)


class TestOtherBuses:
    """What the others tell is shown, and what they do not tell has the exit status 5."""

    CODES: ClassVar[dict[str, set[int]]] = {
        "pending": {5},
        "activation": {5},
        "group": {5},
        "log": {5},
        "log-level": {5},
        "why": {5, 0, 1},
        "policy": {5, 0},
        "upgrade": {5},
        "takeover": {0, 1, 5},
        "latency": {0, 1},
        "list": {0, 5},
    }

    @pytest.mark.parametrize("kind", [dbus_daemon, dbus_broker])
    @pytest.mark.parametrize("verb", VERBS)
    def test_verb(self, kind, start_bus: StartBus, tmp_path: Path, verb: str) -> None:
        allowed = dict(self.CODES)
        if kind is dbus_broker:
            allowed["matches"] = {5}
        with kind(tmp_path, start_bus) as (address, pid, config):
            client, other = Client(address), Client(address)
            client.own(NAME)
            try:
                for words in commands(verb, pid, config):
                    done = program("--address", address, *words, cwd=tmp_path)
                    assert done.code in allowed.get(verb, {0}), (words, done)
                    assert "Traceback" not in done.err
                    if done.code == 5 and verb not in ("upgrade", "takeover"):
                        assert done.err.startswith("omnibusctl: this bus "), done
            finally:
                client.close()
                other.close()
