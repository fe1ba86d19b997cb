"""Each step of an upgrade fails: the bus goes on as it was, and the next upgrade works."""

from __future__ import annotations

import errno
import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.installation import install, is_in_environment
from support.raw import BUS, BUS_PATH, DEADLINE, BusError, Client
from support.sandbox import sandboxed

from .conftest import CONTROL, Bus, StartBus

NAME = "org.example.Name"


class Watched:
    """A bus with clients in the middle of something."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.caller, self.service, self.asking = (bus.connect() for _ in range(3))
        self.service.own(NAME)
        self.serial = self.caller.start_call(NAME, "M")
        self.call = self.service.take(member="M")

    def check(self) -> None:
        """All goes on."""
        self.service.reply(self.call, "s", "yes")
        assert self.caller.reply_to(self.serial).body == ("yes",)
        assert self.bus.connect().driver("NameHasOwner", "s", NAME)
        assert self.bus.daemon.process.poll() is None
        self.serial = self.caller.start_call(NAME, "M")
        self.call = self.service.take(member="M")

    def refused(self) -> str:
        text = self.bus.refuses(self.asking)
        assert f"Not upgraded: {text.removeprefix('Not upgraded: ')}" in self.bus.daemon.stderr
        self.check()
        return text

    def works_again(self) -> None:
        self.bus.install(self.bus.executable)
        self.bus.upgrade(self.asking)
        self.check()


@pytest.fixture
def watched(start_bus: StartBus) -> Watched:
    return Watched(start_bus())


def children(bus: Bus) -> list[str]:
    return Path(f"/proc/{bus.pid}/task/{bus.pid}/children").read_text().split()


class TestProgram:
    def test_none(self, watched: Watched) -> None:
        watched.bus.program.unlink()
        assert "No such file" in watched.refused()
        watched.works_again()

    def test_not_a_program(self, watched: Watched) -> None:
        watched.bus.program.unlink()
        watched.bus.program.write_bytes(b"\x7fELF" + b"\0" * 100)
        watched.bus.program.chmod(0o755)
        assert "Exec format error" in watched.refused()
        watched.works_again()

    def test_not_executable(self, watched: Watched) -> None:
        watched.bus.program.unlink()
        watched.bus.program.write_text("#!/bin/sh\n")
        watched.bus.program.chmod(0o644)
        assert "not a program" in watched.refused()
        watched.works_again()

    @pytest.mark.parametrize(
        "text, why",
        [
            ("kill -SEGV $$", "signal 11"),
            ("exit 3", "exit status 3"),
            ("echo '{}'", "did not answer"),
            ("yes", "did not answer"),
            ('echo \'{"version": "9", "error": "no room"}\'', "(9) can't go on: no room"),
        ],
        ids=["crashes", "fails", "says nothing", "says too much", "refuses"],
    )
    def test_rehearsal(self, watched: Watched, text: str, why: str) -> None:
        watched.bus.script(text)
        assert why in watched.refused()
        assert children(watched.bus) == []
        watched.works_again()

    def test_rehearsal_that_hangs(self, start_bus: StartBus) -> None:
        watched = Watched(start_bus("--rehearsal-seconds=8"))
        watched.bus.script("exec sleep 1000")
        assert "took too long" in watched.refused()
        assert children(watched.bus) == []
        watched.works_again()

    def test_it_disappears_after_the_rehearsal(self, watched: Watched) -> None:
        """execve(2) fails, and all descriptors are close-on-exec again."""
        watched.bus.script('$real "$@"; rm "$0"')
        assert "No such file" in watched.refused()
        for fd in os.listdir(f"/proc/{watched.bus.pid}/fdinfo"):
            flags = Path(f"/proc/{watched.bus.pid}/fdinfo/{fd}").read_text().split("flags:\t")[1].split()[0]
            assert int(fd) < 3 or int(flags, 8) & os.O_CLOEXEC
        watched.works_again()

    def test_two_at_once(self, watched: Watched) -> None:
        """The second one is refused, and the first one works."""
        other = watched.bus.connect()
        serial = watched.bus.start_upgrade(watched.asking)
        assert "under way" in watched.bus.refuses(other)
        assert watched.asking.reply_to(serial).body[1] == 4
        watched.check()

    def test_no_reply_expected(self, watched: Watched) -> None:
        """The caller gets none, of success or failure."""
        for number in (1, 2):
            watched.asking.start_call(BUS, "Upgrade", interface=CONTROL, path=BUS_PATH, flags=1)
            watched.bus.wait_for("Upgraded" if number == 1 else "Not upgraded")
            watched.asking.driver("GetId")
            assert watched.asking.inbox == []
            watched.bus.program.unlink(missing_ok=True)
            watched.check()

    def test_the_caller_goes(self, watched: Watched) -> None:
        """Its upgrade goes on; there is no reply to send."""
        leaving = watched.bus.connect()
        watched.bus.start_upgrade(leaving)
        leaving.close()
        watched.bus.daemon.clients.remove(leaving)
        watched.bus.wait_for("Upgraded")
        watched.check()


class TestConfiguration:
    def test_broken(self, watched: Watched) -> None:
        file = watched.bus.directory / "bus.conf"
        before = file.read_text()
        file.write_text("<busconfig><nonsense/></busconfig>")
        assert "nonsense" in watched.refused()
        file.write_text(before)
        watched.works_again()

    def test_broken_meanwhile(self, watched: Watched) -> None:
        """After the rehearsal the settings of the state are used, and a reload finds the file again."""
        file = watched.bus.directory / "bus.conf"
        before = file.read_text()
        watched.bus.script(f'case $1 in --rehearse) $real "$@"; echo >{file};; *) exec $real "$@";; esac')
        watched.bus.upgrade(watched.asking)
        assert "Still with the old configuration" in watched.bus.daemon.stderr
        watched.check()
        with pytest.raises(BusError):
            watched.asking.driver("ReloadConfig")
        file.write_text(before)
        watched.asking.driver("ReloadConfig")
        watched.check()

    def test_changed(self, watched: Watched) -> None:
        """What the file says by then is in force."""
        denied = '<policy context="mandatory"><deny own="org.example.Denied"/></policy></busconfig>'
        file = watched.bus.directory / "bus.conf"
        file.write_text(file.read_text().replace("</busconfig>", denied))
        watched.bus.upgrade(watched.asking)
        with pytest.raises(BusError):
            watched.asking.own("org.example.Denied")


class TestResources:
    def test_no_descriptors(self, start_bus: StartBus) -> None:
        """There are too few for a start; once clients have left it works."""
        limit = 160
        bus = start_bus(
            options={"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))}
        )
        watched = Watched(bus)
        clients: list[Client] = []
        while len(os.listdir(f"/proc/{bus.pid}/fd")) < limit - 50:
            clients.append(bus.connect())
        assert "descriptors are free" in watched.refused()
        for client in clients:
            client.close()
            bus.daemon.clients.remove(client)
        watched.check()
        watched.works_again()

    def test_no_process(self, start_bus: StartBus, unprivileged: int) -> None:
        """Nor a thread: the data plane is frozen and thawed in the loop, and there is no rehearsal."""
        options = {"user": unprivileged, "group": unprivileged, "extra_groups": [], "shell": "ulimit -u 1"}
        bus = start_bus(options=options)
        watched = Watched(bus)
        bus.wait_for("share the thread")
        for _ in range(3):
            assert "Resource temporarily unavailable" in watched.refused()

    @pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS], ids=["EPERM", "ENOSYS"])
    def test_no_memfd(self, start_bus: StartBus, tmp_path: Path, error: int) -> None:
        """A sandbox forbids what the state is written into."""
        bus = start_bus(program=sandboxed(start_bus.executable, tmp_path / "daemon", "memfd_create", error))
        assert os.strerror(error) in Watched(bus).refused()

    def test_no_pidfd(self, start_bus: StartBus, tmp_path: Path) -> None:
        """What an upgrade does not need may be missing."""
        bus = start_bus(
            program=sandboxed(start_bus.executable, tmp_path / "daemon", "pidfd_open", errno.EPERM)
        )
        watched = Watched(bus)
        bus.upgrade(watched.asking)
        watched.check()

    def test_a_reload_that_hangs(self, watched: Watched) -> None:
        """An upgrade waits for five seconds, and is refused then."""
        reloading = watched.bus.connect()
        while not (child := self.stopped_child(watched.bus, reloading)):
            pass
        assert "A reload of the configuration is under way" in watched.refused()
        os.kill(child, signal.SIGCONT)
        reloading.reply_to(reloading.serial)
        watched.works_again()

    def stopped_child(self, bus: Bus, client: Client) -> int:
        """Begin a reload, and stop the process that reads; 0 if it was faster."""
        serial = client.start_call(BUS, "ReloadConfig", interface=BUS)
        end = time.monotonic() + DEADLINE
        while not (found := children(bus)):
            assert time.monotonic() < end
        pid = int(found[0])
        # Before its execve(2) the bus waits for it, as after vfork(2).
        own = Path(f"/proc/{bus.daemon.pid}/cmdline").read_bytes()
        while (line := Path(f"/proc/{pid}/cmdline")).exists() and line.read_bytes() == own:
            assert time.monotonic() < end
        os.kill(pid, signal.SIGSTOP)
        stat = Path(f"/proc/{pid}/stat")
        while stat.exists() and (state := stat.read_text().rpartition(")")[2].split()[0]) != "Z":
            if state == "T":
                return pid
        client.reply_to(serial)
        return 0


class Installations:
    """Two installed versions, and a link to the present one."""

    def __init__(self, bus: Bus, old: Path, new: Path) -> None:
        self.bus = bus
        self.old, self.new = old, new
        self.watched = Watched(bus)

    def break_resume(self, package: Path) -> None:
        """Let the start fail after the rehearsal has worked."""
        file = package / "daemon/upgrade/resume.py"
        text = file.read_text()
        assert text.count("        self._adopt(control)\n") == 1
        broken = '        raise ValueError("broken")\n'
        file.write_text(text.replace("        self._adopt(control)\n", broken))


@pytest.fixture
def installations(start_bus: StartBus, executable: str, tmp_path: Path) -> Iterator[Installations]:
    if not is_in_environment(executable):
        pytest.skip("not in a Python environment")
    tmp_path.chmod(0o755)
    packages = [install(tmp_path / name, executable) for name in ("1", "2")]
    start_bus.executable = str(tmp_path / "1/bin/omnibusd")
    yield Installations(start_bus(), *packages)


class TestReturn:
    """What can't be restored is restored by the previous program, which was kept beside the new one."""

    def test_upgrade(self, installations: Installations, tmp_path: Path) -> None:
        """The other installation serves."""
        bus = installations.bus
        bus.install(str(tmp_path / "2/bin/omnibusd"))
        bus.upgrade(installations.watched.asking)
        assert str(tmp_path / "2/") in os.readlink(f"/proc/{bus.pid}/exe") or (
            str(tmp_path / "2/bin/python3").encode() in Path(f"/proc/{bus.pid}/cmdline").read_bytes()
        )
        installations.watched.check()

    def test_previous_program(self, installations: Installations, tmp_path: Path) -> None:
        bus, watched = installations.bus, installations.watched
        installations.break_resume(installations.new)
        bus.install(str(tmp_path / "2/bin/omnibusd"))
        assert "can't go on" in bus.refuses(watched.asking)
        assert "broken; going back to" in bus.daemon.stderr
        assert "Returned from omnibus" in bus.daemon.stderr
        watched.check()
        bus.install(str(tmp_path / "1/bin/omnibusd"))
        bus.upgrade(watched.asking)
        watched.check()

    def test_no_previous_program(self, installations: Installations) -> None:
        """Where the files were replaced in place, nothing is started empty."""
        installations.break_resume(installations.old)
        installations.bus.start_upgrade(installations.watched.asking)
        assert installations.bus.daemon.process.wait(60) == 1
        assert "can't go on with the state of the bus: broken" in installations.bus.daemon.stderr

    def test_neither_works(self, installations: Installations, tmp_path: Path) -> None:
        """The way back is taken once."""
        for package in (installations.old, installations.new):
            installations.break_resume(package)
        installations.bus.install(str(tmp_path / "2/bin/omnibusd"))
        installations.bus.start_upgrade(installations.watched.asking)
        assert installations.bus.daemon.process.wait(60) == 1
        assert installations.bus.daemon.stderr.count("can't go on with the state") == 2
