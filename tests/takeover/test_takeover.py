"""A dbus-daemon becomes omnibusd, and its clients don't notice (docs/using/takeover.md)."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from support.installation import install
from support.message import Type
from support.raw import BUS, BUS_PATH, Client

from .conftest import CHECKOUT, Bus, StartBus, hold_up, let_through

NAME = "org.example.Service"
OTHER_USER = 65534
CONTROL = CHECKOUT / ".venv/bin/omnibusctl"
TAKEOVERS = int(os.environ.get("TAKEOVERS", "2"))
CLIENTS = 100 if TAKEOVERS < 20 else 1000
TIMES: list[tuple[int, int]] = []
"""Of each takeover under load: for how long the daemon was held, and when omnibusd answered, in ms."""


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Print what was measured, at the end."""
    yield
    if TIMES and "TAKEOVERS" in os.environ:
        held, answered = (sorted(one) for one in zip(*TIMES, strict=True))
        print("\n| takeovers | held: median | longest | answered after: median | longest |")
        print("|---|---|---|---|---|")
        times = (median(held), held[-1], median(answered), answered[-1])
        print(f"| {len(TIMES)} | {' | '.join(f'{one:.0f} ms' for one in times)} |")


class TestClients:
    def test_nothing_is_to_be_seen(self, bus: Bus) -> None:
        """The same process, names, id and GUID; what comes and leaves is the observer, an ordinary client."""
        clients = [bus.connect() for _ in range(20)]
        identity = clients[0].driver("GetId")
        guids = {client.guid for client in clients}
        bus.take_over()
        for client in clients:
            assert client.driver("GetNameOwner", "s", client.unique) == client.unique
            client.expect_nothing()
        assert clients[0].driver("GetId") == identity
        assert {bus.connect().guid} == guids
        assert clients[0].driver("GetConnectionUnixProcessID", "s", BUS) == bus.pid

    def test_data_plane_first(self, bus: Bus) -> None:
        """It is preloaded, so that clients do not wait for Python; the environment is as it was."""
        client = bus.connect()
        before = Path(f"/proc/{bus.pid}/environ").read_bytes()
        bus.take_over()
        client.driver("GetId")
        command = Path(f"/proc/{bus.pid}/cmdline").read_bytes().split(b"\0")
        assert [one for one in command if one.startswith(b"--library=/")]
        assert b"LD_PRELOAD" not in Path(f"/proc/{bus.pid}/environ").read_bytes()
        assert b"LD_PRELOAD" not in before

    def test_library_that_others_can_write(self, bus: Bus, tmp_path: Path) -> None:
        """It is not preloaded; Python, which is as the administrator has installed it, loads it then."""
        package = install(tmp_path / "1", bus.program)
        tmp_path.chmod(0o755)
        (package / "transport/relay/libomnibusrelay.so").chmod(0o777)
        bus.program = str(tmp_path / "1/bin/omnibusd")
        client = bus.connect()
        assert "Clients wait for Python" in bus.take_over()
        client.driver("GetId")
        assert b"--library=" not in Path(f"/proc/{bus.pid}/cmdline").read_bytes()

    def test_observer_comes_and_leaves(self, bus: Bus) -> None:
        """A client that follows NameOwnerChanged sees one client come and leave; no other."""
        watcher = bus.connect()
        watcher.match("type='signal',member='NameOwnerChanged'")
        bus.take_over()
        seen: dict[str, int] = {}
        # The bus may hear of the observer's end later than its parent does.
        while not seen or set(seen.values()) != {2}:
            for message in (watcher.receive(), *watcher.inbox):
                assert message.member == "NameOwnerChanged"
                seen[message.body[0]] = seen.get(message.body[0], 0) + 1
            watcher.inbox.clear()
        assert len(seen) <= 2
        assert all(number > int(watcher.unique.partition(".")[2]) for number in map(_id, seen))

    def test_unique_names_go_on(self, bus: Bus) -> None:
        """ "A unique name ... will never be reused" (message bus, names)."""
        before = bus.connect()
        gone = bus.connect()
        gone.close()
        bus.take_over()
        assert _id(bus.connect().unique) > _id(gone.unique) > _id(before.unique)

    def test_credentials(self, bus: Bus) -> None:
        client, other = bus.connect(), bus.connect()
        before = other.driver("GetConnectionCredentials", "s", client.unique)
        bus.take_over()
        after = other.driver("GetConnectionCredentials", "s", client.unique)
        assert {key: after[key] for key in before if key != "ProcessFD"} == {
            key: value for key, value in before.items() if key != "ProcessFD"
        }

    def test_new_clients(self, bus: Bus) -> None:
        bus.connect()
        bus.take_over()
        client, other = bus.connect(), bus.connect()
        client.own(NAME)
        serial = other.start_call(NAME, "Echo")
        client.reply(client.expect(member="Echo"))
        other.reply_to(serial)


class TestNames:
    def test_queue(self, bus: Bus) -> None:
        """The primary owner stays, and those that wait keep their places."""
        clients = [bus.connect() for _ in range(4)]
        for client in clients:
            client.own(NAME)
        bus.take_over()
        watcher = bus.connect()
        assert watcher.driver("ListQueuedOwners", "s", NAME) == [client.unique for client in clients]
        for client, heir in itertools.pairwise(clients):
            client.close()
            heir.expect(member="NameAcquired", body=(NAME,))

    def test_several_names_of_one_client(self, bus: Bus) -> None:
        client, other = bus.connect(), bus.connect()
        names = [f"{NAME}{number}" for number in range(10)]
        for name in names:
            client.own(name)
            other.own(name)
        bus.take_over()
        client.close()
        for _ in names:
            other.take(member="NameAcquired")
        assert {other.driver("GetNameOwner", "s", name) for name in names} == {other.unique}


class TestMatchRules:
    def test_rules(self, bus: Bus) -> None:
        """Each matches as before; a rule that was added twice has to be removed twice."""
        client, sender = bus.connect(), bus.connect()
        for rule in ("member='A'", "member='A'", "member='B',arg0='x'"):
            client.match(rule)
        bus.take_over()
        sender.signal("A")
        client.expect(member="A")
        client.driver("RemoveMatch", "s", "member='A'")
        sender.signal("A")
        client.expect(member="A")
        client.driver("RemoveMatch", "s", "member='A'")
        sender.signal("A")
        sender.signal("B", "s", "y")
        sender.signal("B", "s", "x")
        client.expect(member="B", body=("x",))
        client.expect_nothing(sender)

    def test_eavesdropper(self, bus: Bus) -> None:
        """It sees the probes of all others, and is nevertheless told from them."""
        client, spy, other = bus.connect(), bus.connect(), bus.connect()
        spy.match("eavesdrop='true',member='M'")
        spy.match("eavesdrop='true',type='signal',interface='org.omnibus.Takeover'")
        bus.take_over()
        serial = client.start_call(other.unique, "M")
        other.reply(other.expect(member="M"))
        client.reply_to(serial)
        spy.take(member="M", destination=other.unique)


class TestMessages:
    def test_call_that_waits_for_its_reply(self, bus: Bus) -> None:
        """A call that was delivered during the takeover is answered after it; NoReply follows if not."""
        caller, service = bus.connect(), bus.connect()
        service.own(NAME)
        tracer = hold_up(bus)
        answered = caller.start_call(NAME, "Answered")
        lost = caller.start_call(NAME, "Lost")
        call = service.expect(member="Answered")
        service.expect(member="Lost")
        let_through(bus, tracer)
        service.reply(call, "s", "late")
        assert caller.reply_to(answered).body == ("late",)
        service.close()
        caller.expect_error(lost, "org.freedesktop.DBus.Error.NoReply")

    @pytest.mark.parametrize("cut", [1, 15, 16, 40, -1])
    def test_half_a_message(self, bus: Bus, cut: int) -> None:
        """What the daemon has read of a message is carried, if its beginning was seen."""
        sender, receiver = bus.connect(), bus.connect()
        receiver.match("type='signal',interface='org.example.Interface'")
        tracer = hold_up(bus)
        sender.sync()
        message = sender.message(
            Type.SIGNAL, "s", "text", path="/", interface="org.example.Interface", member="Half"
        ).encode()
        sender.send_bytes(message[:cut])
        sender.wait_until_read()
        let_through(bus, tracer)
        sender.send_bytes(message[cut:])
        receiver.take(member="Half", body=("text",))

    def test_descriptors(self, bus: Bus) -> None:
        sender, receiver = bus.connect(), bus.connect()
        bus.take_over()
        reading, writing = os.pipe()
        sender.signal("Fd", "h", 0, fds=[writing], destination=receiver.unique)
        os.close(writing)
        message = receiver.take(member="Fd")
        os.write(message.fds[0], b"x")
        assert os.read(reading, 2) == b"x"
        os.close(reading)

    def test_client_without_descriptors(self, bus: Bus) -> None:
        """What was negotiated is known from how the daemon reads."""
        sender, receiver = bus.connect(), bus.connect(unix_fds=False)
        tracer = hold_up(bus)
        receiver.sync()
        let_through(bus, tracer)
        reading, writing = os.pipe()
        serial = sender.start_call(receiver.unique, "Fd", "h", 0, fds=[writing])
        sender.expect_error(serial, "org.freedesktop.DBus.Error.NotSupported")
        for fd in (reading, writing):
            os.close(fd)


class TestDaemon:
    def test_of_another_user(self, start_bus: StartBus) -> None:
        """A user's bus admits no other, not even root; and omnibusd has no other rights than it had."""
        bus = start_bus(options={"user": OTHER_USER, "group": OTHER_USER, "extra_groups": []})
        client = bus.connect(uid=OTHER_USER)
        client.own(NAME)
        bus.take_over()
        assert client.driver("GetNameOwner", "s", NAME) == client.unique
        status = Path(f"/proc/{bus.pid}/status").read_text()
        assert f"Uid:\t{OTHER_USER}\t{OTHER_USER}\t{OTHER_USER}\t{OTHER_USER}\n" in status

    def test_system_bus(self, start_bus: StartBus) -> None:
        """With the distribution's configuration: its user, its policy, its helper; root is the observer."""
        stock = Path("/usr/share/dbus-1/system.conf")
        if not stock.exists():
            pytest.skip("needs the configuration of the system bus")
        text = re.sub("<listen>.*</listen>", "<listen>unix:path={dir}/bus</listen>", stock.read_text())
        text = re.sub("<(pidfile>.*</pidfile|fork|syslog)/?>", "", text)
        bus = start_bus(text=text)
        client = bus.connect()
        uid = int(Path(f"/proc/{bus.pid}/status").read_text().split("Uid:")[1].split()[0])
        assert uid != 0
        out = bus.take_over()
        assert "UpdateActivationEnvironment" not in out
        assert client.driver("GetConnectionUnixUser", "s", BUS) == uid
        serial = client.start_call(
            BUS, "RequestName", "su", "org.example.Denied", 0, interface=BUS, path=BUS_PATH
        )
        client.expect_error(serial, "org.freedesktop.DBus.Error.AccessDenied")

    def test_several_listeners(self, start_bus: StartBus) -> None:
        """Each has a GUID of its own."""
        bus = start_bus(text=None, extra="<listen>unix:path={dir}/other</listen>")
        addresses = bus.daemon.address.split(";")
        assert len(addresses) == 2
        guids = {}
        for address in addresses:
            with contextlib.closing(Client(address)) as client:
                guids[address] = client.guid
        clients = [Client(address) for address in addresses]
        bus.take_over()
        for address in addresses:
            with contextlib.closing(Client(address)) as client:
                assert client.guid == guids[address]
        for client in clients:
            client.driver("GetId")
            client.close()

    def test_end(self, bus: Bus) -> None:
        """It ends as any omnibusd does, and removes the socket."""
        bus.take_over()
        assert bus.daemon.terminate() == 0
        assert not (bus.daemon.directory / "bus").exists()

    def test_signals_of_the_meantime(self, bus: Bus) -> None:
        """A SIGTERM that comes while the daemon is traced ends it, as ever."""
        tracer = hold_up(bus)
        os.kill(bus.pid, signal.SIGTERM)
        assert bus.daemon.process.wait(60) == 0
        assert tracer.wait(60) == 1

    def test_upgrade_afterwards(self, bus: Bus) -> None:
        client = bus.connect()
        client.own(NAME)
        bus.take_over()
        upgraded = subprocess.run(
            [CONTROL, f"--address={bus.daemon.address}", "upgrade"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert upgraded.returncode == 0, upgraded.stdout + upgraded.stderr
        assert client.driver("GetNameOwner", "s", NAME) == client.unique

    def test_environment_of_services(self, start_bus: StartBus, tmp_path: Path) -> None:
        """UpdateActivationEnvironment goes on to hold for the services that are started later."""
        (tmp_path / "dbus-1/services").mkdir(parents=True)
        output = tmp_path / "variables"
        (tmp_path / "dbus-1/services/org.example.Service.service").write_text(
            f"[D-BUS Service]\nName={NAME}\nExec=/bin/sh -c 'cp /proc/$$/environ {output}; exit 1'\n"
        )
        bus = start_bus(
            extra="<standard_session_servicedirs/>",
            options={"env": {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(tmp_path)}},
        )
        client = bus.connect()
        client.driver("UpdateActivationEnvironment", "a{ss}", {"COLOUR": "blue"})
        bus.take_over()
        serial = client.start_call(
            BUS, "StartServiceByName", "su", "org.example.Service", 0, interface=BUS, path=BUS_PATH
        )
        client.expect_error(serial, "org.freedesktop.DBus.Error.Spawn.ChildExited")
        assert b"COLOUR=blue" in output.read_bytes().split(b"\0")
        assert sorted(one.name for one in tmp_path.rglob("*") if one.is_file()) == [
            "org.example.Service.service",
            "variables",
        ]

    def test_environment_that_is_lost(self, start_bus: StartBus) -> None:
        """Without a directory for transient services it is said that variables may be lost."""
        bus = start_bus(options={"env": {"PATH": os.environ["PATH"]}})
        assert "Variables of UpdateActivationEnvironment can't be carried" in bus.take_over()


class TestLoad:
    def test_under_load(self, start_bus: StartBus) -> None:
        """Nothing is lost, doubled, reordered or cut off, however often it is tried."""
        for number in range(TAKEOVERS):
            with contextlib.ExitStack() as stack:
                bus = start_bus()
                load = Load(bus.daemon.address, stack)
                took = bus.take_over()
                times = re.search(r"held for (\d+) ms, answered after (\d+) ms", took)
                assert times
                TIMES.append((int(times[1]), int(times[2])))
                print(f"takeover {number + 1}: {took.strip()}; {load.end()}", flush=True)

    def test_many_clients(self, start_bus: StartBus) -> None:
        """Idle ones with match rules, beside a load."""
        bus = start_bus()
        clients = [bus.connect() for _ in range(CLIENTS)]
        for client in clients:
            for number in range(10):
                client.match(f"type='signal',interface='org.example.I{number}',arg0='{client.unique}'")
        with contextlib.ExitStack() as stack:
            load = Load(bus.daemon.address, stack)
            took = bus.take_over()
            print(f"{took.strip()}; {load.end()}", flush=True)
        sender = bus.connect()
        for client in clients:
            sender.signal("S", "s", client.unique, interface="org.example.I3")
            client.expect(member="S")


class Load:
    """load.py, which runs."""

    def __init__(self, address: str, stack: contextlib.ExitStack) -> None:
        self.process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, str(CHECKOUT / "tests/takeover/load.py"), address],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(self.process.kill)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def end(self) -> str:
        """Check that nothing was lost, and return what was counted."""
        out, _ = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, out
        assert "lost 0" in out
        return str(out).strip()


def _id(unique: str) -> int:
    return int(unique.partition(".")[2])
