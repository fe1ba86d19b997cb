"""The probe, with system calls that fail one by one."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from omnibus.transport.multicast import group as group_module
from omnibus.transport.multicast import probe as module
from omnibus.transport.multicast.group import Group, Unavailable, find_group
from omnibus.transport.multicast.probe import MESSAGE, probe
from omnibus.transport.multicast.uapi import EGRESS, Uapi

CALLS = ("open", "version", "create", "add", "set_filter", "release", "remove", "forget")


class Kernel(Uapi):
    """A kernel in which every call succeeds, except those that a test changes.

    ``most`` is the limit of members; ``delivered`` is what a member gets that sends to itself, None: its
    message asks.
    """

    def __init__(self) -> None:
        self.failures: dict[str, int] = {}
        self.kernel_version = 1
        self.most = 4096
        self.clean = True
        self.watches = True
        self.delivered: bytes | None = MESSAGE
        self.calls: list[str] = []
        self.asked_for: list[tuple[int, int]] = []
        self.filter: tuple[Any, ...] = ()
        self._accepted = -1

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.failures:
            raise OSError(self.failures[name], os.strerror(self.failures[name]))

    def open(self) -> int:
        self._called("open")
        return os.open(os.devnull, os.O_RDWR)

    def version(self, device: int) -> int:
        self._called("version")
        return self.kernel_version

    def create(self, device: int, *, max_members: int, max_pending: int) -> int:
        self._called("create")
        self.asked_for.append((max_members, max_pending))
        if max_members > self.most:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        return os.open(os.devnull, os.O_RDWR)

    def can_watch(self, group: int) -> bool:
        self._called("can_watch")
        return self.watches

    def add(self, group: int, index: int, *, listener: int, accepted: int) -> None:
        self._called("add")
        with socket.socket(fileno=os.dup(listener)) as listening:
            assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        self._accepted = accepted

    def set_filter(self, group: int, index: int, which: int, verdicts: Any) -> None:
        self._called("set_filter")
        self.filter = (index, which, *verdicts)

    def release(self, group: int, index: int) -> bool:
        self._called("release")
        if self.delivered is not None:
            os.write(self._accepted, self.delivered)
        return self.clean

    def remove(self, group: int, index: int) -> None:
        self._called("remove")

    def forget(self, group: int, index: int) -> None:
        self._called("forget")


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    """A kernel; checks that no descriptor is left open."""
    before = open_fds()
    yield Kernel()
    assert open_fds() == before


def refusal(kernel: Kernel, *, selinux: bool = False) -> str:
    with pytest.raises(Unavailable) as caught:
        probe(128, kernel, selinux=selinux)
    return str(caught.value)


class TestGroup:
    def test_found(self, kernel: Kernel) -> None:
        """Every step succeeds, and the trial member is removed."""
        found = probe(128, kernel)
        assert os.get_inheritable(found.fd) is False
        os.close(found.fd)
        assert found == Group(found.fd, version=1, max_members=4096)
        assert kernel.asked_for == [(4096, 128)]
        assert kernel.calls == list(CALLS)
        assert kernel.filter == (0, EGRESS, 0x10000000)

    @pytest.mark.parametrize(("most", "got"), [(4095, 1024), (1024, 1024), (1000, 256), (64, 64)])
    def test_fewer_members(self, kernel: Kernel, most: int, got: int) -> None:
        """EPERM: more members than the user's limit."""
        kernel.most = most
        found = probe(128, kernel)
        os.close(found.fd)
        assert found.max_members == got

    def test_more_pending_than_the_kernel_has(self, kernel: Kernel) -> None:
        os.close(probe(50_000_000, kernel).fd)
        assert kernel.asked_for == [(4096, 65536)]


class TestSELinux:
    """A bus that SELinux mediates needs a group that another policy stops."""

    def test_found(self, kernel: Kernel) -> None:
        """No message is sent: the policy may deny that."""
        kernel.delivered = None
        os.close(probe(128, kernel, selinux=True).fd)
        assert kernel.calls == ["open", "version", "create", "can_watch", *CALLS[3:]]

    def test_earlier_module(self, kernel: Kernel) -> None:
        kernel.watches = False
        reason = "this unix_multicast is not stopped by another SELinux policy"
        assert refusal(kernel, selinux=True) == reason
        assert kernel.calls[-1] == "can_watch"

    def test_failure(self, kernel: Kernel) -> None:
        kernel.failures["can_watch"] = errno.ENOMEM
        reason = "The group does not tell what can stop it: Cannot allocate memory"
        assert refusal(kernel, selinux=True) == reason

    @pytest.mark.parametrize(
        ("number", "found"), [(errno.EBADF, True), (errno.ENOTTY, False), (errno.EPERM, None)]
    )
    def test_question(self, monkeypatch: pytest.MonkeyPatch, number: int, found: bool | None) -> None:
        """A module that knows the call refuses this descriptor."""

        def ioctl(fd: int, request: int, argument: object, mutate: bool) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr("fcntl.ioctl", ioctl)
        if found is None:
            with pytest.raises(PermissionError):
                Uapi().can_watch(0)
        else:
            assert Uapi().can_watch(0) == found


class TestReasons:
    """The logged reason; no descriptor is left open."""

    def test_no_device(self, kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(group_module, "DEVICE", str(tmp_path / "nothing"))
        with pytest.raises(Unavailable, match="this system has no unix_multicast"):
            find_group(128)

    def test_not_the_device(self, kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another file has its name."""
        monkeypatch.setattr(group_module, "DEVICE", os.devnull)
        monkeypatch.setattr("omnibus.transport.multicast.uapi.DEVICE", os.devnull)
        with pytest.raises(Unavailable, match="does not tell its version: Inappropriate ioctl for device"):
            find_group(128)

    @pytest.mark.parametrize(
        ("call", "number", "reason"),
        [
            ("open", errno.ENOENT, "/dev/unix_multicast can't be opened: No such file or directory"),
            ("open", errno.EACCES, "/dev/unix_multicast can't be opened: Permission denied"),
            ("open", errno.ENXIO, "/dev/unix_multicast can't be opened: No such device or address"),
            ("version", errno.ENOTTY, "/dev/unix_multicast does not tell its version: Inappropriate ioctl"),
            ("create", errno.EPROTONOSUPPORT, "No group can be made: Protocol not supported"),
            ("create", errno.EMFILE, "No group can be made: Too many open files"),
            ("create", errno.EPERM, "No group can be made: Operation not permitted"),
            ("create", errno.ENOMEM, "No group can be made: Cannot allocate memory"),
            ("add", errno.EPERM, "A connection can't be added to the group: Operation not permitted"),
            ("add", errno.EDQUOT, "A connection can't be added to the group: Disk quota exceeded"),
            ("set_filter", errno.EINVAL, "A filter is refused: Invalid argument"),
            ("release", errno.EFAULT, "A member can't be released: Bad address"),
            ("remove", errno.ENOENT, "A member can't be removed from the group: No such file"),
            ("forget", errno.EBUSY, "A member can't be removed from the group: Device or resource busy"),
        ],
    )
    def test_failing_call(self, kernel: Kernel, call: str, number: int, reason: str) -> None:
        kernel.failures[call] = number
        assert refusal(kernel).startswith(reason)
        assert kernel.calls[-1] == call

    @pytest.mark.parametrize("version", [0, 2])
    def test_version(self, kernel: Kernel, version: int) -> None:
        kernel.kernel_version = version
        assert refusal(kernel) == f"unix_multicast has version {version}, and version 1 is needed"

    def test_too_few_members(self, kernel: Kernel) -> None:
        kernel.most = 63
        assert refusal(kernel) == "No group can be made: Operation not permitted"

    def test_busy(self, kernel: Kernel) -> None:
        kernel.clean = False
        assert refusal(kernel) == "A member that has sent nothing can't be released"

    def test_message_that_asks(self, kernel: Kernel) -> None:
        kernel.delivered = None
        assert refusal(kernel) == "A message that should go directly does not"

    @pytest.mark.parametrize("bytes", [MESSAGE[:-1], MESSAGE + b"x", MESSAGE.swapcase()])
    def test_message_that_changes(self, kernel: Kernel, bytes: bytes) -> None:
        kernel.delivered = bytes
        assert refusal(kernel) == "A message that goes directly arrives as another"

    @pytest.mark.parametrize("call", ["__init__", "bind", "listen", "connect", "accept", "getsockopt"])
    def test_no_sockets(self, kernel: Kernel, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
        def fail(self: socket.socket, *arguments: Any) -> None:
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))

        monkeypatch.setattr(socket.socket, call, fail)
        assert refusal(kernel) == "A connection to try it with can't be made: No buffer space available"

    @pytest.mark.parametrize(
        ("strangers", "reason"),
        [(1, None), (16, "A connection to try it with can't be made: others are in the way")],
    )
    def test_others_connect(
        self, kernel: Kernel, monkeypatch: pytest.MonkeyPatch, strangers: int, reason: str | None
    ) -> None:
        """Any process may connect to the address."""
        pids = iter([1] * strangers + [os.getpid()])
        clients: list[socket.socket] = []
        connect = socket.socket.connect

        def crowd(self: socket.socket, address: Any) -> None:
            for _ in range(strangers):
                clients.append(socket.socket(socket.AF_UNIX))
                connect(clients[-1], address)
            connect(self, address)

        monkeypatch.setattr(module, "_pid_of_peer", lambda accepted: next(pids))
        monkeypatch.setattr(socket.socket, "connect", crowd)
        if reason is None:
            os.close(probe(128, kernel).fd)
        else:
            assert refusal(kernel) == reason
        for one in clients:
            one.close()
