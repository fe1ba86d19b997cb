"""Who may upgrade a bus, what is executed, and which state is believed."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
from pathlib import Path

import pytest

from omnibus.daemon.upgrade import memfd
from omnibus.daemon.upgrade.program import (
    Program,
    ProgramError,
    check_trust,
    installed,
    is_about_upgrades,
    without_resume,
)
from omnibus.transport.relay.state import StateError

from .conftest import Bus

DENIED = "org.freedesktop.DBus.Error.AccessDenied"
OWNER = 1000
OTHER = 1001


class TestCallers:
    def test_another_user(self, bus: Bus, unprivileged: int) -> None:
        """A client that the policy lets in is not one that may upgrade."""
        stranger = bus.connect(uid=unprivileged)
        assert "Upgrade" in bus.refuses(stranger, DENIED)
        assert "rejected attempt to call Upgrade" in bus.daemon.stderr
        bus.upgrade()

    def test_another_path(self, bus: Bus) -> None:
        client = bus.connect()
        serial = client.start_call(
            "org.freedesktop.DBus", "Upgrade", interface="org.omnibus.Control1", path="/"
        )
        client.expect_error(serial, "org.freedesktop.DBus.Error.UnknownInterface")

    def test_arguments(self, bus: Bus) -> None:
        client = bus.connect()
        serial = client.start_call(
            "org.freedesktop.DBus",
            "Upgrade",
            "s",
            "x",
            interface="org.omnibus.Control1",
            path="/org/freedesktop/DBus",
        )
        client.expect_error(serial, "org.freedesktop.DBus.Error.InvalidArgs")

    def test_a_signal_of_another_user(self, bus: Bus, unprivileged: int) -> None:
        """The kernel refuses SIGUSR2 from all but root and the bus's own user: kill(2)."""
        code = f"import os, signal\nos.setresuid(*[{unprivileged}] * 3)\nos.kill({bus.pid}, signal.SIGUSR2)\n"
        done = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True)
        assert "PermissionError" in done.stderr
        assert bus.connect().driver("GetId")
        assert "pgraded" not in bus.daemon.stderr


class Tree:
    """A program in directories of a user, who is not the one that runs the test."""

    def __init__(self, path: Path) -> None:
        self.top = path / "top"
        self.directory = self.top / "bin"
        self.directory.mkdir(parents=True)
        self.file = self.directory / "program"
        self.file.write_text("#!/bin/sh\n")
        self.file.chmod(0o755)
        for one in (self.top, self.directory):
            one.chmod(0o755)


@pytest.fixture
def tree(unprivileged: int, tmp_path: Path) -> Tree:
    """Needs root, to give files away."""
    for one in (tmp_path, tmp_path.parent):
        one.chmod(0o755)
    return Tree(tmp_path)


class TestProgram:
    """It and all directories on its way belong to root or the bus's user, and no other can write there."""

    def test_of_root(self, tree: Tree) -> None:
        check_trust(str(tree.file), OWNER)

    def test_of_the_owner(self, tree: Tree) -> None:
        for one in (tree.top, tree.directory, tree.file):
            os.chown(one, OWNER, OWNER)
        check_trust(str(tree.file), OWNER)
        with pytest.raises(ProgramError, match=f"belongs to uid {OWNER}"):
            check_trust(str(tree.file), OTHER)

    @pytest.mark.parametrize("which", ["top", "directory", "file"])
    @pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
    def test_writable(self, tree: Tree, which: str, mode: int) -> None:
        path = getattr(tree, which)
        path.chmod(mode)
        if mode & stat.S_IWGRP:
            os.chown(path, 0, OTHER)
        with pytest.raises(ProgramError, match="can write to it"):
            check_trust(str(tree.file), OWNER)

    def test_writable_for_the_group_of_root(self, tree: Tree) -> None:
        tree.directory.chmod(0o775)
        check_trust(str(tree.file), OWNER)

    @pytest.mark.parametrize("which", ["top", "directory", "file"])
    def test_of_another_user(self, tree: Tree, which: str) -> None:
        os.chown(getattr(tree, which), OTHER, OTHER)
        with pytest.raises(ProgramError, match=f"belongs to uid {OTHER}"):
            check_trust(str(tree.file), OWNER)

    def test_sticky_directory(self, tree: Tree) -> None:
        """As /tmp: others can't replace what is in it."""
        tree.top.chmod(0o1777)
        check_trust(str(tree.file), OWNER)

    def test_links(self, tree: Tree) -> None:
        """Each of them, and where it leads."""
        link = tree.top / "link"
        link.symlink_to("bin/../bin/program")
        check_trust(str(link), OWNER)
        os.chown(link, OTHER, OTHER, follow_symlinks=False)
        with pytest.raises(ProgramError, match="link: belongs to uid"):
            check_trust(str(link), OWNER)
        link.unlink()
        (tree.top / "there").symlink_to(tree.directory)
        link.symlink_to(tree.top / "there" / "program")
        check_trust(str(link), OWNER)
        tree.directory.chmod(0o777)
        with pytest.raises(ProgramError, match="can write to it"):
            check_trust(str(link), OWNER)

    def test_a_loop_of_links(self, tree: Tree) -> None:
        (tree.top / "a").symlink_to("b")
        (tree.top / "b").symlink_to("a")
        with pytest.raises(ProgramError, match="too many links"):
            check_trust(str(tree.top / "a"), OWNER)

    def test_what_is_no_program(self, tree: Tree) -> None:
        for path in (tree.directory, tree.top / "none"):
            with pytest.raises(ProgramError):
                check_trust(str(path), OWNER)

    def test_in_a_running_bus(self, bus: Bus) -> None:
        client = bus.connect()
        bus.program.parent.chmod(0o777)
        assert "can write to it" in bus.refuses(client)
        bus.program.parent.chmod(0o755)
        bus.upgrade(client)

    def test_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is that of omnibusd, which may be a link, or of the interpreter if that was executed."""
        assert installed({"OMNIBUS_PROGRAM": "/usr/bin/omnibusd"}).command("-x") == [
            "/usr/bin/omnibusd",
            "-x",
        ]
        monkeypatch.chdir(tmp_path)
        assert installed({"OMNIBUS_PROGRAM": "bin/omnibusd"}) == Program(str(tmp_path / "bin/omnibusd"))
        assert installed({}).command()[1:] == ["-I", "-m", "omnibus.daemon.main"]


class TestState:
    """A sealed memfd of root or of the bus's user, and nothing else."""

    def test_sealed(self) -> None:
        fd = memfd.make()
        os.write(fd, b"x")
        memfd.seal(fd)
        memfd.check(fd, os.geteuid())
        with pytest.raises(PermissionError):
            os.write(fd, b"y")
        os.close(fd)

    @pytest.mark.parametrize(
        "seals", [0, memfd.SEALS & ~fcntl.F_SEAL_WRITE, memfd.SEALS & ~fcntl.F_SEAL_SEAL]
    )
    def test_not_sealed(self, seals: int) -> None:
        fd = memfd.make()
        if seals:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        with pytest.raises(StateError, match="not sealed"):
            memfd.check(fd, os.geteuid())
        os.close(fd)

    def test_another_name(self) -> None:
        fd = os.memfd_create("other", os.MFD_ALLOW_SEALING)
        memfd.seal(fd)
        with pytest.raises(StateError, match="leads to /memfd:other"):
            memfd.check(fd, os.geteuid())
        os.close(fd)

    def test_a_file(self, tmp_path: Path) -> None:
        with open(tmp_path / "memfd:omnibus-state", "wb") as file, pytest.raises(StateError):
            memfd.check(file.fileno(), os.geteuid())

    def test_of_another_user(self, unprivileged: int) -> None:
        fd = memfd.make()
        memfd.seal(fd)
        os.fchown(fd, unprivileged, unprivileged)
        with pytest.raises(StateError, match=f"belongs to uid {unprivileged}"):
            memfd.check(fd, 0)
        os.close(fd)

    @pytest.mark.parametrize(
        "option", ["--resume-fd=9", "--resume-fd=x", "--resume-fd=", "--resume-fd=99999"]
    )
    def test_command_line(self, bus: Bus, option: str) -> None:
        """Nothing is started without a state."""
        done = bus.run(option, f"--config-file={bus.directory}/bus.conf", "--nofork")
        assert done.returncode == 1
        assert "state" in done.stderr or "descriptor" in done.stderr

    @pytest.mark.parametrize("state", ["none", "not sealed", "of another user"])
    def test_what_comes_with_another_state(self, bus: Bus, tmp_path: Path, state: str) -> None:
        """Neither a previous program is executed nor a library loaded."""
        executed, loaded = tmp_path / "executed", tmp_path / "library.so"
        program = tmp_path / "previous"
        program.write_text(f"#!/bin/sh\n: >{executed}\n")
        program.chmod(0o755)
        loaded.write_text("broken")
        fd = memfd.make()
        if state == "of another user":
            if os.geteuid() != 0:
                pytest.skip("needs root, to give files away")
            memfd.seal(fd)
            os.fchown(fd, OTHER, OTHER)
        number = 99 if state == "none" else fd
        done = bus.run(
            f"--resume-fd={number}",
            f"--previous={program}",
            f"--library={loaded}",
            f"--config-file={bus.directory}/bus.conf",
            pass_fds=[fd],
        )
        os.close(fd)
        assert done.returncode == 1
        assert "state" in done.stderr
        assert "library.so" not in done.stderr
        assert not executed.exists()

    def test_an_empty_state(self, bus: Bus) -> None:
        fd = memfd.make()
        memfd.seal(fd)
        for options in ([f"--resume-fd={fd}"], ["--rehearse", f"--resume-fd={fd}"]):
            done = bus.run(*options, f"--config-file={bus.directory}/bus.conf", pass_fds=[fd])
            assert done.returncode == 1
        os.close(fd)
        assert bus.connect().driver("GetId")

    def test_place_in_the_command_line(self) -> None:
        """A state is taken from the front, where no administrator's arguments are."""
        assert is_about_upgrades(["--resume-fd=3", "--session"])
        assert not is_about_upgrades(["--session", "--resume-fd=3"])
        assert without_resume(["--resume-fd=3", "--previous=/x", "--returned", "--session"]) == ("--session",)
