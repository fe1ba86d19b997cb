"""Attacks on a bus by the C program of tests/attacks, and their cost to a bystander."""

from __future__ import annotations

import contextlib
import fcntl
import json
import select
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from omnibus.bench.cases import TROUBLES
from omnibus.bench.daemons import CHECKOUT, COMMANDS, FOREGROUND, Daemon
from omnibus.bench.settings import INSTALLED_POLICY, MANY_FILES, STOCK, SYSTEM_QUOTAS, WIDE, Setting
from support.raw import Client

HERE: Final = CHECKOUT / "tests" / "attacks"
PROGRAM: Final = HERE / "build" / "attack"
REFERENCE: Final = "dbus-daemon"
SANITISED: Final = "sanitised"
SANITISED_DAEMON: Final = CHECKOUT / ".venv/sanitize/bin/omnibusd"
REPORTS: Final = CHECKOUT / ".venv/sanitize/reports"
ATTACK_COMMANDS: Final = {**COMMANDS, SANITISED: f"{SANITISED_DAEMON} {FOREGROUND}"}
READY_DEADLINE: Final = 60.0  # seconds until an attack must be set up
ENOUGH: Final = 120.0  # seconds after which a program is considered hung
SERVICE: Final = "org.example.Service"  # activatable by all users
FAILS: Final = "org.example.Fails"  # activatable by all users, and exits at once
NEVER_READY: Final = "org.example.NeverReady"  # activatable by all users, and never requests its name
ROOTS_SERVICE: Final = "org.example.RootsService"  # activatable; the policy lets only root send to it

# The policy of Debian's system.conf, with names that all users may send to.
SYSTEM_POLICY: Final = f"""  <user>messagebus</user>
{INSTALLED_POLICY}  <policy context="default">
    <allow send_destination="{SERVICE}"/>
    <allow send_destination="{FAILS}"/>
    <allow send_destination="{NEVER_READY}"/>
  </policy>
  <policy user="messagebus">
    <allow own="*"/>
  </policy>
  <policy user="root">
    <allow own="*"/>
    <allow send_destination="*"/>
  </policy>
"""
SERVICES: Final = "  <servicedir>{directory}/../services</servicedir>\n"
SYSTEM: Final = Setting("system", SYSTEM_QUOTAS, policy=SYSTEM_POLICY, type="system", elements=SERVICES)
SETTINGS: Final = {setting.name: setting for setting in (SYSTEM, STOCK, WIDE)}

Report = dict[str, Any]


@dataclass(frozen=True)
class Attack:
    """One attack: its name in the C program, the bus it needs, and further arguments."""

    name: str
    setting: Setting = SYSTEM
    arguments: tuple[str, ...] = ()
    suffix: str = ""
    smoke: int = 0  # --count for the smoke test

    @property
    def title(self) -> str:
        """Its name in a table."""
        return self.name + self.suffix


def storm(method: str) -> Attack:
    """Calls of one method of the bus without pause."""
    return Attack("driver-storm", STOCK, ("--name", method), suffix=f"-{method}")


ATTACKS: Final = (
    Attack("alone", STOCK),
    Attack("denied-calls"),
    Attack("name-listing", WIDE, smoke=100),
    Attack("unknown-types", smoke=3),
    Attack("nameless"),
    Attack("nameless", arguments=("--count", "200"), suffix="-200"),
    Attack("nameless", arguments=("--name", NEVER_READY), suffix="-starting"),
    Attack("path-rules-leave", arguments=("--count", "20"), smoke=1),
    Attack("path-rules-churn", arguments=("--count", "20"), smoke=1),
    Attack("open-calls", WIDE, smoke=500),
    Attack("prefix-rules", arguments=("--count", "20"), smoke=1),
    Attack("large-set", smoke=1000),
    *(
        storm(method)
        for method in (
            "GetConnectionCredentials",
            "GetAdtAuditSessionData",
            "ListQueuedOwners",
            "ListActivatableNames",
            "GetAll",
            "Introspect",
            "GetStats",
            "GetAllMatchRules",
            "NoSuchMethod",
        )
    ),
    Attack("connection-churn", smoke=2),
    Attack("handshakes"),
    Attack("slow-handshakes"),
    Attack("single-bytes", smoke=2),
    Attack("empty-strings", smoke=1),
    Attack("non-ascii", smoke=1),
    Attack("deep-variants", smoke=1),
    Attack("header-fields", smoke=1),
    Attack("half-messages", smoke=2),
    Attack("name-queues", STOCK, smoke=2),
    Attack("name-disputes", STOCK, smoke=2),
    Attack("rule-churn", smoke=1),
    Attack("equal-rules", smoke=10),
    Attack("eavesdroppers", STOCK, smoke=1),
    Attack("unread-errors", smoke=2),
    Attack("start-storm"),
    *(Attack(trouble, STOCK) for trouble in TROUBLES if trouble != "alone"),
    Attack("reload", MANY_FILES),
)
"""All attacks with a price: those of tests/attacks, and the loads of bench/."""


@dataclass(frozen=True)
class Cost:
    """A bystander's measurements during an attack; µs, infinite without any reply."""

    pair: float
    driver: float
    connect: float
    p50: dict[str, float]
    harm_per_s: float
    grown: int = 0  # growth of the daemon's resident memory in bytes
    error: str = ""


def build() -> None:
    """Compile the programs; one process at a time."""
    PROGRAM.parent.mkdir(exist_ok=True)
    with (PROGRAM.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(["make", "-s", "-C", HERE], check=True)


def write_services(directory: Path) -> None:
    """Write the service files of SYSTEM."""
    services = directory / "services"
    services.mkdir()
    commands = {FAILS: "/bin/false", NEVER_READY: "/bin/sleep 60"}
    for name in (SERVICE, ROOTS_SERVICE, *commands):
        command = commands.get(name, f"{PROGRAM} service {name}")
        lines = ["[D-BUS Service]", f"Name={name}", f"Exec={command}", "User=messagebus"]
        (services / f"{name}.service").write_text("\n".join([*lines, ""]))


class Bus(Daemon):
    """A bus to attack; its directory also has the service files, and is removed with it."""

    def __init__(self, name: str, setting: Setting) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="attack-"))
        self.place.chmod(0o755)
        write_services(self.place)
        super().__init__(name, ATTACK_COMMANDS[name], setting, self.place / "bus")

    @property
    def pid(self) -> int:
        """The daemon's process ID."""
        return self._process.pid

    def stop(self) -> None:
        """End it and remove its directory."""
        super().stop()
        shutil.rmtree(self.place, ignore_errors=True)

    def open_files(self) -> int:
        """The number of its descriptors."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def memory(self) -> int:
        """Its resident memory in bytes."""
        fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(fields[1]) * 4096


@contextlib.contextmanager
def bus(name: str, setting: Setting) -> Iterator[Bus]:
    """Start a bus to attack, and end it afterwards."""
    daemon = Bus(name, setting)
    try:
        yield daemon
    finally:
        daemon.stop()


class RunningAttack:
    """A running attack: set up when this is created, and ended by itself after ``seconds``."""

    def __init__(self, address: str, name: str, seconds: float, arguments: Sequence[str] = ()) -> None:
        self.seconds = seconds
        command = [PROGRAM, "--address", address, "--seconds", str(seconds), *arguments, name]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
        )
        assert self._process.stdout is not None
        ready = select.select([self._process.stdout], [], [], READY_DEADLINE)[0]
        line = self._process.stdout.readline() if ready else ""
        if line.strip() != "ready":
            self._process.kill()
            _, errors = self._process.communicate()
            raise RuntimeError(f"{name} did not begin: {line}{errors}")

    def result(self) -> Report:
        """Wait for its end; return its progress: harm, cut_off, error."""
        assert self._process.stdout is not None and self._process.stderr is not None
        # communicate() would miss data that has been read together with the first line.
        out = self._process.stdout.read()
        errors = self._process.stderr.read()
        self._process.wait(ENOUGH)
        if not out:
            raise RuntimeError(f"the attack failed: {errors}")
        found: Report = json.loads(out)
        return found

    def end(self) -> None:
        """End it now."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()


@contextlib.contextmanager
def running(attack: Attack, address: str, seconds: float, smoke: bool = False) -> Iterator[RunningAttack]:
    """Run an attack meanwhile; ``smoke`` reduces its resources."""
    few = ("--count", str(attack.smoke)) if smoke and attack.smoke else ()
    process = RunningAttack(address, attack.name, seconds, (*attack.arguments, *few))
    try:
        yield process
    finally:
        process.end()


def bystander(address: str, seconds: float) -> Report:
    """Measure as a client that is not involved."""
    command = [PROGRAM, "--address", address, "--seconds", str(seconds), "bystander"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=ENOUGH, check=False)
    found: Report = json.loads(done.stdout)
    return found


def settle(daemon: Bus) -> None:
    """Return once the daemon has loaded all modules that serving needs."""
    with contextlib.closing(Client(daemon.address)) as client:
        client.driver("ListActivatableNames")


def cost(name: str, attack: Attack, seconds: float) -> Cost:
    """Start a bus, attack it, and measure meanwhile."""
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(bus(name, attack.setting))
        settle(daemon)
        before = daemon.memory()
        process = stack.enter_context(running(attack, daemon.address, seconds + 1))
        found = bystander(daemon.address, seconds)
        grown = daemon.memory() - before if daemon.alive() else 0
        error = str(found["error"])
        if not daemon.alive():
            error = f"{name} has ended: {daemon.log()}"
        done = process.result()
    if error:
        never = float("inf")
        return Cost(never, never, never, {}, 0, grown, error)
    figures = ("pair", "driver", "connect")
    return Cost(
        *(found[which]["p99"] for which in figures),
        p50={which: found[which]["p50"] for which in figures},
        harm_per_s=done["harm"] / process.seconds,
        grown=grown,
        error=str(done["error"]),
    )
