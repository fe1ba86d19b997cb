"""The way back to the previous program, before the data plane serves and before the control plane does."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.daemon import private_directory
from support.installation import install, is_in_environment
from support.raw import BUS, BUS_PATH, DEADLINE, Wire

from .conftest import Bus, StartBus
from .test_failures import Watched

FAULTS = Path(__file__).with_name("fault.c")
NET_BIND_SERVICE = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
"""A file's capabilities: this one permitted, and effective."""
PLACE = "        self._adopt(control)\n"


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The library that lets the restore fail."""
    library = tmp_path_factory.mktemp("faults") / "fault.so"
    command = ["gcc", "-Wall", "-Wextra", "-Werror", "-O1", "-fPIC", "-shared", FAULTS, "-o", library]
    subprocess.run(command, check=True)
    for path in (library, library.parent, library.parent.parent):
        path.chmod(0o755)
    return str(library)


def preloading(library: str) -> dict[str, str]:
    """Return the variables for a bus with a library; a sanitizer wants to be loaded first otherwise."""
    return {"LD_PRELOAD": library, "ASAN_OPTIONS": "verify_asan_link_order=0"}


class Two:
    """A bus of one installation, which is upgraded to another that can't go on."""

    def __init__(
        self, start_bus: StartBus, executable: str, directory: Path, variables: dict[str, str]
    ) -> None:
        directory.mkdir(exist_ok=True)
        directory.chmod(0o755)
        self.directory = directory
        self.packages = [install(directory / name, executable) for name in ("1", "2")]
        start_bus.executable = self.program("1")
        self.bus: Bus = start_bus(options={"env": os.environ | variables})
        self.watched = Watched(self.bus)

    def program(self, name: str) -> str:
        return str(self.directory / name / "bin/omnibusd")

    def break_python(self, statement: str) -> None:
        """Let the new control plane run a statement when the data plane serves already."""
        file = self.packages[1] / "daemon/upgrade/resume.py"
        text = file.read_text()
        assert text.count(PLACE) == 1
        file.write_text(text.replace(PLACE, f"        {statement}\n"))

    def after_the_rehearsal(self, command: str) -> None:
        """Install the other one, and let a shell run a command between its rehearsal and its start."""
        self.bus.script(
            f"real={self.program('2')}\n"
            f'case $1 in --rehearse) $real "$@"; {command};; *) exec $real "$@";; esac'
        )

    def returns(self) -> None:
        """The upgrade fails, the previous program goes on, and a later upgrade works."""
        self.bus.install(self.program("2"))
        assert "can't go on" in self.bus.refuses(self.watched.asking)
        self.serves_again()

    def serves_again(self) -> None:
        assert "Returned from omnibus" in self.bus.daemon.stderr
        self.watched.check()
        self.bus.install(self.program("1"))
        self.bus.upgrade(self.watched.asking)
        self.watched.check()


@pytest.fixture
def directory() -> Iterator[Path]:
    """One that other users can read."""
    path = private_directory()
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


MakeTwo = Callable[..., Two]


@pytest.fixture
def make_two(start_bus: StartBus, executable: str, tmp_path: Path) -> MakeTwo:
    if not is_in_environment(executable):
        pytest.skip("not in a Python environment")
    return lambda **variables: Two(start_bus, executable, tmp_path, variables)


def environment(bus: Bus) -> list[str]:
    return Path(f"/proc/{bus.pid}/environ").read_text().rstrip("\0").split("\0")


class TestPreloading:
    """The library that omnibusd preloads is seen by no other program."""

    def test_variable(self, bus: Bus) -> None:
        bus.upgrade()
        assert "--library=" in Path(f"/proc/{bus.pid}/cmdline").read_text()
        assert not [one for one in environment(bus) if one.startswith("LD_PRELOAD")]

    def test_variable_of_the_administrator(self, start_bus: StartBus, faults: str) -> None:
        """It is passed on as it was, and in force."""
        bus = start_bus(options={"env": os.environ | preloading(faults)})
        before = environment(bus)
        for _ in range(2):
            bus.upgrade()
            assert [one for one in environment(bus) if one] == before
            assert faults in Path(f"/proc/{bus.pid}/maps").read_text()

    def test_data_plane_first(self, start_bus: StartBus, executable: str, tmp_path: Path) -> None:
        """Clients are served while Python can't go on yet."""
        two = Two(start_bus, executable, tmp_path, {})
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        two.break_python(f'open("{gate}").close(); self._adopt(control)')
        two.bus.install(two.program("2"))
        serial = two.bus.start_upgrade(two.watched.asking)
        wait_until(lambda: "--library=" in Path(f"/proc/{two.bus.pid}/cmdline").read_text())
        client = two.bus.connect()
        client.own("org.example.Early")
        assert client.driver("GetNameOwner", "s", "org.example.Early") == client.unique
        two.watched.check()
        open(gate, "w").close()
        assert two.watched.asking.reply_to(serial).body[0]
        assert client.driver("GetNameOwner", "s", "org.example.Early") == client.unique
        assert client.driver("ListQueuedOwners", "s", "org.example.Early") == [client.unique]

    def test_path_that_the_variable_can_not_express(
        self, start_bus: StartBus, executable: str, tmp_path: Path
    ) -> None:
        """Python loads the library then."""
        two = Two(start_bus, executable, tmp_path / "with a space", {})
        two.bus.upgrade()
        two.watched.check()

    def test_interpreter_with_capabilities(
        self, start_bus: StartBus, executable: str, directory: Path, unprivileged: int
    ) -> None:
        """Its dynamic linker takes no library of a variable (AT_SECURE); Python loads it then."""
        package = install(directory / "1", executable)
        interpreter = directory / "1/bin/python3"
        if interpreter.is_symlink():
            target = interpreter.resolve()
            interpreter.unlink()
            shutil.copy(target, interpreter)
        try:
            os.setxattr(interpreter, "security.capability", NET_BIND_SERVICE)
        except OSError as error:
            pytest.skip(f"no capabilities of files: {error}")
        start_bus.executable = str(directory / "1/bin/omnibusd")
        user = {"user": unprivileged, "group": unprivileged, "extra_groups": []}
        bus = start_bus(options=user)
        assert str(package) in Path(f"/proc/{bus.pid}/maps").read_text()
        watched = Watched(bus)
        for _ in range(2):
            bus.upgrade(watched.asking)
            assert "--library=" in Path(f"/proc/{bus.pid}/cmdline").read_text()
            watched.check()


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


class TestRestoring:
    """Nothing has been read: the state is handed back as it is."""

    @pytest.mark.parametrize("fault", ["refuse", "crash", "abort", "hang"])
    def test_returns(self, make_two: MakeTwo, faults: str, fault: str) -> None:
        two = make_two(FAULT=fault, **preloading(faults))
        two.returns()

    @pytest.mark.parametrize("broken", ["library", "interpreter"])
    def test_omnibusd_can_not_go_on(self, make_two: MakeTwo, broken: str) -> None:
        """What the rehearsal was made with is damaged by then."""
        two = make_two()
        path = {
            "library": two.packages[1] / "transport/relay/libomnibusrelay.so",
            "interpreter": two.directory / "2/bin/python3",
        }[broken]
        two.after_the_rehearsal(f"rm {path}; echo broken >{path}; chmod +x {path}")
        assert "can't go on" in two.bus.refuses(two.watched.asking)
        two.serves_again()


class TestServing:
    """Messages have been passed on: the previous program goes on with the state as it is by then."""

    @pytest.mark.parametrize(
        "statement",
        [
            'raise ValueError("broken")',
            "import sys; sys.exit(3)",
            "import os; os.abort()",
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            "import ctypes; ctypes.string_at(8)",
            "import time; time.sleep(1000)",
        ],
        ids=["exception", "exit", "abort", "signal", "crash", "hang"],
    )
    def test_returns(self, make_two: MakeTwo, faults: str, statement: str) -> None:
        two = make_two(**preloading(faults))
        two.break_python(statement)
        two.returns()

    def test_interpreter_that_can_not_start(self, make_two: MakeTwo) -> None:
        two = make_two()
        two.after_the_rehearsal(f'echo "(" >{two.packages[1]}/daemon/main.py')
        assert "can't go on" in two.bus.refuses(two.watched.asking)
        two.serves_again()

    def test_neither_works(self, make_two: MakeTwo) -> None:
        """The way back is taken once."""
        two = make_two()
        two.break_python('raise ValueError("broken")')
        file = two.packages[0] / "daemon/upgrade/resume.py"
        file.write_text((two.packages[1] / "daemon/upgrade/resume.py").read_text())
        two.bus.install(two.program("2"))
        two.bus.start_upgrade(two.watched.asking)
        assert two.bus.daemon.process.wait(60) == 1
        assert two.bus.daemon.stderr.count("can't go on with the state") == 2


class TestMeanwhile:
    """What clients do before the control plane fails is in the state that is handed back."""

    @pytest.fixture
    def two(self, make_two: MakeTwo) -> Two:
        return make_two()

    def test_it_is_not_lost(self, two: Two, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        two.break_python(f'open("{gate}").close(); raise ValueError("broken")')
        leaving, releasing, staying = (two.bus.connect() for _ in range(3))
        for name in ("org.example.Leaving", "org.example.Shared"):
            leaving.own(name)
        releasing.own("org.example.Released")
        releasing.own("org.example.Kept")
        staying.driver("RequestName", "su", "org.example.Shared", 0)
        two.bus.install(two.program("2"))
        serial = two.bus.start_upgrade(two.watched.asking)
        wait_until(lambda: "--library=" in Path(f"/proc/{two.bus.pid}/cmdline").read_text())

        coming = two.bus.connect()
        coming.own("org.example.Coming")
        releasing.driver("ReleaseName", "s", "org.example.Released")
        calling = coming.start_call(staying.unique, "Pending")
        call = staying.take(member="Pending")
        leaving.close()
        two.bus.daemon.clients.remove(leaving)
        waiting = coming.start_call(BUS, "ListActivatableNames", path=BUS_PATH, interface=BUS)
        handshake = Wire(two.bus.daemon.address)
        handshake.send_bytes(b"\0FOO\r\nAUTH\r\n")
        staying.driver("NameHasOwner", "s", "org.example.Kept")
        open(gate, "w").close()

        two.watched.asking.expect_error(serial, "org.freedesktop.DBus.Error.Failed")
        staying.reply(call, "s", "yes")
        assert coming.reply_to(calling).body == ("yes",)
        assert "org.freedesktop.DBus" in coming.reply_to(waiting).body[0]
        owners = {
            "org.example.Coming": [coming.unique],
            "org.example.Kept": [releasing.unique],
            "org.example.Shared": [staying.unique],
        }
        for name, queue in owners.items():
            assert coming.driver("ListQueuedOwners", "s", name) == queue
        for name in ("org.example.Released", "org.example.Leaving"):
            assert not coming.driver("NameHasOwner", "s", name)
        assert releasing.driver("RequestName", "su", "org.example.Released", 0) == 1
        assert handshake.read_line().startswith(b"ERROR")
        assert handshake.read_line().startswith(b"REJECTED")
        handshake.close()
        two.serves_again()
