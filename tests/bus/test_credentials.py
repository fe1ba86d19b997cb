"""Specification, "GetConnectionCredentials" and the methods that each return a part of it."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from support.daemon import Daemon
from support.driver import refused
from support.raw import BUS, BUS_PATH, Client
from support.wire import Variant

from .conftest import Connect

SO_PEERSEC, SO_PEERPIDFD = 31, 77


def knows(option: int) -> bool:
    """Return whether the kernel supports this socket option for the credentials of a peer."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        try:
            told = ours.getsockopt(socket.SOL_SOCKET, option, 1024)
        except OSError:
            return False
    if option == SO_PEERPIDFD:
        os.close(int.from_bytes(told, sys.byteorder))
    return bool(told)


class TestCredentials:
    def test_user(self, client: Client, name: str) -> None:
        """GetConnectionUnixUser: the uid of the peer."""
        client.own(name)
        for one in (client.unique, name, BUS):
            assert client.driver("GetConnectionUnixUser", "s", one) == os.geteuid()

    def test_another_user(self, bus: Daemon, client: Client, unprivileged: int) -> None:
        stranger = bus.connect(uid=unprivileged)
        assert client.driver("GetConnectionUnixUser", "s", stranger.unique) == unprivileged
        credentials = client.driver("GetConnectionCredentials", "s", stranger.unique)
        assert credentials["UnixUserID"] == Variant("u", unprivileged)

    def test_process(self, bus: Daemon, client: Client) -> None:
        """GetConnectionUnixProcessID: the process ID of the peer, and that of the bus."""
        assert client.driver("GetConnectionUnixProcessID", "s", client.unique) == os.getpid()
        assert client.driver("GetConnectionUnixProcessID", "s", BUS) == bus.pid

    def test_credentials(self, client: Client, name: str) -> None:
        """GetConnectionCredentials: UnixUserID, ProcessID, UnixGroupIDs in numerical order."""
        client.own(name)
        for one in (client.unique, name):
            credentials = client.driver("GetConnectionCredentials", "s", one)
            assert credentials["UnixUserID"] == Variant("u", os.geteuid())
            assert credentials["ProcessID"] == Variant("u", os.getpid())
            assert credentials["UnixGroupIDs"] == Variant("au", sorted({os.getegid(), *os.getgroups()}))

    def test_credentials_of_the_bus(self, bus: Daemon, client: Client) -> None:
        credentials = client.driver("GetConnectionCredentials", "s", BUS)
        assert credentials["UnixUserID"] == Variant("u", os.geteuid())
        assert credentials["ProcessID"] == Variant("u", bus.pid)

    def test_security_label(self, client: Client) -> None:
        """LinuxSecurityLabel: bytes with a terminating NUL, if the kernel has a label."""
        there = knows(SO_PEERSEC)
        credentials = client.driver("GetConnectionCredentials", "s", client.unique)
        assert ("LinuxSecurityLabel" in credentials) == there
        if there:
            assert credentials["LinuxSecurityLabel"].value.endswith(b"\0")

    @pytest.mark.deviation("process-fd")
    def test_process_descriptor(self, client: Client) -> None:
        """ProcessFD: a pidfd, if the kernel supports it and the client can receive it."""
        if not knows(SO_PEERPIDFD):
            pytest.skip("the kernel is older than 6.5")
        reply = client.call(BUS, "GetConnectionCredentials", "s", client.unique, interface=BUS, path=BUS_PATH)
        credentials = reply.body[0]
        assert credentials["ProcessFD"].signature == "h"
        descriptor = reply.fds[credentials["ProcessFD"].value]
        assert f"Pid:\t{os.getpid()}\n" in Path(f"/proc/self/fdinfo/{descriptor}").read_text()

    def test_no_descriptor_without_negotiation(self, connect: Connect) -> None:
        client = connect(unix_fds=False)
        reply = client.call(BUS, "GetConnectionCredentials", "s", client.unique, interface=BUS, path=BUS_PATH)
        assert "ProcessFD" not in reply.body[0]
        assert not reply.unix_fds

    def test_selinux(self, client: Client) -> None:
        """GetConnectionSELinuxSecurityContext: an error without SELinux."""
        if Path("/sys/fs/selinux/enforce").exists():
            pytest.skip("SELinux is there")
        for one in (client.unique, BUS):
            text = refused(
                client, "SELinuxSecurityContextUnknown", "GetConnectionSELinuxSecurityContext", "s", one
            )
            assert text == f"Could not determine security context for '{one}'"

    def test_audit(self, client: Client) -> None:
        """GetAdtAuditSessionData exists on Solaris only."""
        for one in (client.unique, BUS):
            text = refused(client, "AdtAuditDataUnknown", "GetAdtAuditSessionData", "s", one)
            assert text == f"Could not determine audit session data for '{one}'"

    @pytest.mark.deviation("unknown-user")
    def test_user_without_an_account(self, bus: Daemon, client: Client, unprivileged: int) -> None:
        stranger = bus.connect(uid=54321)
        assert client.driver("GetConnectionUnixUser", "s", stranger.unique) == 54321
