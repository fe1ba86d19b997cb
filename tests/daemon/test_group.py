"""The mode of direct messages chosen at the start, and the reason."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from omnibus.daemon.group import begin_again, choose_group, finder, hand_over
from omnibus.daemon.options import Options
from omnibus.daemon.startup import Startup
from omnibus.policy.settings import Multicast, Settings
from omnibus.transport.multicast.group import Group, Unavailable
from omnibus.transport.relay import Module

GROUP = Group(fd=99, version=1, max_members=1024)


class Lines(list[str]):
    """A log."""

    def warning(self, text: str) -> None:
        self.append(f"warning: {text}")


def available(max_pending: int) -> Group:
    assert max_pending == 128
    return GROUP


def unavailable(max_pending: int) -> Group:
    raise Unavailable("this system has no unix_multicast")


@pytest.mark.parametrize("mode", ["auto", "require"])
def test_available(mode: str) -> None:
    how = "directly between clients: unix_multicast version 1, up to 1024 members"
    assert choose_group(mode, 128, available) == (GROUP, how)


def test_unavailable() -> None:
    expected = "through the relay: this system has no unix_multicast"
    assert choose_group("auto", 128, unavailable) == (None, expected)


def test_off() -> None:
    """The module is not even probed."""
    assert choose_group("off", 0, available) == (None, "through the relay: multicast is off")


def test_required() -> None:
    with pytest.raises(Unavailable, match=r"^multicast is required: this system has no unix_multicast$"):
        choose_group("require", 128, unavailable)


@pytest.mark.parametrize(
    ("modules", "selinux"),
    [
        (Module(0), False),
        (Module.AppArmor, False),
        (Module.SELinux, True),
        (Module.SELinux | Module.AppArmor, True),
    ],
)
def test_mediated(monkeypatch: pytest.MonkeyPatch, modules: Module, selinux: bool) -> None:
    """Another policy of SELinux has to stop the group."""

    def find(max_pending: int, *, selinux: bool) -> Group:
        return Group(fd=max_pending, version=1, max_members=int(selinux))

    monkeypatch.setattr("omnibus.daemon.group.find_group", find)
    assert finder(modules)(128) == Group(fd=128, version=1, max_members=int(selinux))


class TestHandOver:
    @pytest.mark.parametrize(("trust", "all_users"), [("same-user", False), ("everybody", True)])
    def test_trust(self, trust: str, all_users: bool) -> None:
        class Plane:
            def set_group(self, fd: int, max_members: int, *, trust_everybody: bool) -> None:
                assert (fd, max_members, trust_everybody) == (99, 1024, all_users)

        lines = Lines()
        settings = Settings(multicast=Multicast(trust=trust))
        assert hand_over(GROUP, Plane(), settings, lines, required=True) is None
        assert lines == []

    class RefusingPlane:
        """A data plane that can't use the group."""

        def set_group(self, fd: int, max_members: int, *, trust_everybody: bool) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

    def test_refused(self) -> None:
        """The bus continues with the relay."""
        lines = Lines()
        way = hand_over(GROUP, self.RefusingPlane(), Settings(), lines, required=False)
        assert way == "through the relay: Operation not permitted"
        assert lines == ["warning: Messages go through the relay after all: Operation not permitted"]

    def test_refused_but_required(self) -> None:
        """The bus does not start."""
        lines = Lines()
        with pytest.raises(Unavailable, match=r"^multicast is required: Operation not permitted$"):
            hand_over(GROUP, self.RefusingPlane(), Settings(), lines, required=True)
        assert lines == []


class TestAgain:
    """A bus that is serving gets another group, after an upgrade has dissolved the first."""

    class Plane:
        def __init__(self) -> None:
            self.begun: list[tuple[int, int, bool]] = []

        def begin_group(self, fd: int, max_members: int, *, trust_everybody: bool) -> None:
            self.begun.append((fd, max_members, trust_everybody))

    def test_begun(self) -> None:
        plane, lines = self.Plane(), Lines()
        found = begin_again("auto", Settings(), plane, lines, lambda max_pending: GROUP)
        assert found == (GROUP, "directly between clients: unix_multicast version 1, up to 1024 members")
        assert plane.begun == [(99, 1024, False)]
        assert lines == []

    def test_unavailable(self) -> None:
        """Clients are connected, so they are relayed, also if a group is required; the log says so."""
        plane, lines = self.Plane(), Lines()

        def find(max_pending: int) -> Group:
            raise Unavailable("it is full")

        group, way = begin_again("require", Settings(), plane, lines, find)
        assert (group, way) == (None, "through the relay: multicast is required: it is full")
        assert lines == ["warning: Messages go through the relay: multicast is required: it is full"]
        assert plane.begun == []


class TestPackets:
    """With a group the bus also listens for packets beside its Unix sockets."""

    def listen(self, monkeypatch: pytest.MonkeyPatch, group: Group | None, *addresses: str) -> Startup:
        monkeypatch.setattr("omnibus.daemon.startup.take_listen_fds", list)
        startup = Startup(Options(config_file="/c"))
        startup.group = group
        startup._listen(Settings(listen=addresses))
        return startup

    def test_beside(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """The address is not published: some clients can't parse a list of addresses."""
        startup = self.listen(monkeypatch, GROUP, f"unix:path={tmp_path}/bus", "tcp:host=127.0.0.1")
        try:
            found = [one.addresses[0].transport for one in startup.listeners]
            assert found == ["unix", "tcp", "unix-seqpacket"]
            assert [one.partition(":")[0] for one in startup.address.split(";")] == ["tcp", "unix"]
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                client.connect(f"{tmp_path}/bus.seqpacket")
        finally:
            startup._clean()
        assert list(tmp_path.iterdir()) == []

    def test_existing_file(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The bus works without it."""
        (tmp_path / "bus.seqpacket").touch()
        startup = self.listen(monkeypatch, GROUP, f"unix:path={tmp_path}/bus")
        assert len(startup.listeners) == 1
        startup._clean()
        assert "Not listening for packets: Failed to bind socket" in capfd.readouterr().err

    def test_no_group(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Only configured packet sockets are used, after the other addresses."""
        addresses = f"unix:path={tmp_path}/bus", f"unix-seqpacket:path={tmp_path}/packets"
        startup = self.listen(monkeypatch, None, *addresses)
        assert len(startup.listeners) == 2
        assert [one.partition(",")[0] for one in startup.address.split(";")] == list(addresses)
        startup._clean()
