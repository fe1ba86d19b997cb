"""A dbus-daemon with random rules, and clients of it that compare its behaviour with what is expected."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import strategies as st

from omnibus.policy.evaluate import Verdict
from omnibus.policy.question import Header, Identity
from omnibus.policy.rules import Kind
from support.daemon import Daemon, config, private_directory, start
from support.message import Message
from support.raw import BUS_PATH, DEADLINE, BusError, Client

from .strategies import BUS, METHOD_CALL, NAMES, headers

REFERENCE = shutil.which("dbus-daemon")
needs_reference = pytest.mark.skipif(REFERENCE is None, reason="dbus-daemon is not installed")

# Keeps the bus itself accessible, and concerns nothing else.
ALWAYS = f"""<policy context="mandatory">
<allow send_destination="{BUS}"/> <allow receive_sender="{BUS}"/> <allow user="*"/>
</policy>"""
# A name without an owner, with a service that fails at once.
ACTIVATABLE = NAMES[-1]

ME = os.geteuid()
USERS = {user.pw_uid: user for user in pwd.getpwall()}
# Users, and groups known only from their sockets, as different as permitted; else only our own.
UIDS = (0, *sorted(USERS)[1:3]) if ME == 0 else (ME,)
GIDS = tuple(sorted(group.gr_gid for group in grp.getgrall())[:4]) if ME == 0 else (os.getegid(),)


def identity(uid: int, gids: tuple[int, ...] = ()) -> Identity:
    """Return what dbus-daemon knows of a client with these groups, the primary group first."""
    seats = Path(f"/run/systemd/users/{uid}")
    at_console = seats.exists() and bool(re.search(r"^ONLINE_SEATS=.", seats.read_text(), re.MULTILINE))
    return Identity(uid, tuple(sorted(gids)), at_console)


@contextlib.contextmanager
def being(one: Identity) -> Iterator[None]:
    """Assume another identity temporarily: the kernel records user and groups on connect."""
    if ME != 0:
        yield
        return
    groups, gid = os.getgroups(), os.getegid()
    os.setgroups(one.gids)
    os.setegid(one.gids[0])
    os.seteuid(one.uid or 0)
    try:
        yield
    finally:
        os.seteuid(ME)
        os.setegid(gid)
        os.setgroups(groups)


MESSAGE_KINDS = (Kind.SEND, Kind.SEND, Kind.RECEIVE, Kind.RECEIVE, Kind.OWN)


@contextlib.contextmanager
def running(policy: str) -> Iterator[Daemon]:
    """A dbus-daemon with these <policy> elements."""
    assert REFERENCE is not None
    directory = private_directory()
    (directory / f"{ACTIVATABLE}.service").write_text(
        f"[D-BUS Service]\nName={ACTIVATABLE}\nExec=/bin/false\n"
    )
    text = config("unix:path={dir}/bus", policy=policy, extra="<servicedir>{dir}</servicedir>")
    daemon = start(REFERENCE, text, directory=directory)
    try:
        yield daemon
    finally:
        daemon.stop()


class ClientRules(Protocol):
    """The expected decisions for one client: a ClientPolicy, or one that also asks other evaluators."""

    def can_own(self, name: str) -> Verdict: ...
    def can_send(
        self, message: Header, receiver_names: Collection[str] | None, requested_reply: bool = False
    ) -> Verdict: ...
    def can_receive(
        self,
        message: Header,
        sender_names: Collection[str] | None,
        requested_reply: bool = False,
        eavesdropping: bool = False,
    ) -> Verdict: ...


class Rules(Protocol):
    """The expected decisions of the whole bus: a Policy, or one that also asks other evaluators."""

    def for_identity(self, identity: Identity) -> ClientRules: ...


@dataclass
class Peer:
    """A client of the bus, its policy, and the names that it owns or waits for."""

    client: Client
    policy: ClientRules
    names: set[str] = field(default_factory=set)

    def ask(self, member: str, signature: str = "", *body: object) -> Message:
        """Call the bus and return its reply, which an eavesdropper finds among the replies to others."""
        serial = self.client.start_call(BUS, member, signature, *body, path=BUS_PATH, interface=BUS)
        while True:
            message = self.client.read_message(time.monotonic() + DEADLINE)
            found = message.sender, message.destination, message.reply_serial
            if found == (BUS, self.client.unique, serial):
                return message
            self.client.inbox.append(message)

    def request(self, name: str) -> bool:
        """Request a name and compare; return True if we own it or are queued."""
        verdict = self.policy.can_own(name)
        refused = self.ask("RequestName", "su", name, 0).error_name
        assert refused == (None if verdict else f"{BUS}.Error.AccessDenied"), verdict.reason
        if verdict:
            self.names.add(name)
        return verdict.allowed

    def received(self, mark: str) -> list[Message]:
        """Read the messages received until now, and return those with this mark."""
        self.ask("GetId")
        found = [message for message in self.client.inbox if message.body == (mark,)]
        self.client.inbox.clear()
        self.client.close_fds()
        return found


class Bus:
    """Two peers that communicate, and one that listens to everything."""

    def __init__(self, daemon: Daemon, policy: Rules) -> None:
        # Only the owner of the bus may eavesdrop.
        identities = [
            identity(UIDS[-1], GIDS[1:]),
            identity(UIDS[-2:][0], GIDS[:2]),
            identity(ME, GIDS[:1]),
        ]
        if ME != 0:
            identities = [identity(ME, (*os.getgroups(), os.getegid()))] * 3
        self.peers = []
        for one in identities:
            with being(one):
                self.peers.append(Peer(daemon.connect(), policy.for_identity(one)))
        for peer in self.peers:
            peer.names.add(peer.client.unique)
        self.spy = self.peers[2]
        self.peers[1].client.match("type='signal'")
        self.spy.client.match("eavesdrop='true'")
        self.owners: dict[str, Peer] = {}
        self.count = 0

    def request(self, peer: Peer, name: str) -> None:
        if peer.request(name):
            self.owners.setdefault(name, peer)

    def send(self, sender: Peer, header: Header, reply_serial: int | None) -> tuple[str, int]:
        """Send the message of the header; return its mark and serial."""
        self.count += 1
        mark = f"message {self.count}"
        fds = [0] * header.n_fds
        message = sender.client.message(
            header.type,
            "s",
            mark,
            path=header.path,
            interface=header.interface,
            member=header.member,
            error_name=header.error_name,
            destination=header.destination,
            reply_serial=reply_serial if header.is_reply else None,
            fds=fds,
        )
        serial = sender.client.send(message, fds)
        sender.ask("GetId")
        return mark, serial

    def refusal(self, sender: Peer, serial: int) -> str:
        """Return the error text for the sender's message; "" if none."""
        for message in sender.client.inbox:
            if message.error_name and message.reply_serial == serial and message.sender == BUS:
                return str(message.body[0])
        return ""

    def unicast(self, sender: Peer, receiver: Peer, header: Header, call: int | None = None) -> int | None:
        """Send to one peer and compare; return the serial if it was delivered.

        call: the serial of the receiver's call that this message replies to.
        """
        requested = call is not None
        send = sender.policy.can_send(header, receiver.names, requested)
        receive = receiver.policy.can_receive(header, sender.names, requested)
        mark, serial = self.send(sender, header, call or 4711)
        told = self.refusal(sender, serial)
        if not send:
            assert f"Rejected send message, {send.matched} matched rules;" in told, send.reason
        elif not receive:
            assert f"Rejected receive message, {receive.matched} matched rules;" in told, receive.reason
        delivered = bool(send and receive)
        assert bool(told) != delivered, (send.reason, receive.reason)
        assert len(receiver.received(mark)) == delivered
        if receiver is not self.spy:
            overheard = (
                delivered
                and sender.policy.can_send(header, self.spy.names)
                and self.spy.policy.can_receive(header, sender.names, eavesdropping=True)
            )
            assert len(self.spy.received(mark)) == bool(overheard)
        return serial if delivered else None

    def broadcast(self, sender: Peer, header: Header) -> None:
        """Send to all subscribers and compare."""
        mark, _ = self.send(sender, header, 4711)
        expected = [
            bool(sender.policy.can_send(header, peer.names) and peer.policy.can_receive(header, sender.names))
            for peer in self.peers[1:]
        ]
        # The sender's own messages were put into its inbox while it synchronised.
        assert [bool(peer.received(mark)) for peer in self.peers[1:]] == expected

    def activate(self, sender: Peer, header: Header) -> None:
        """Call an absent service: only the header decides whether it may be activated."""
        verdict = sender.policy.can_send(header, None)
        _, serial = self.send(sender, header, 4711)
        with pytest.raises(BusError) as caught:
            sender.client.reply_to(serial)
        assert (caught.value.name == f"{BUS}.Error.AccessDenied") != verdict.allowed, verdict.reason
        if not verdict:
            assert f"Rejected send message, {verdict.matched} matched rules;" in caught.value.text
        self.spy.received("")


@st.composite
def scripts(draw: st.DrawFn) -> list[tuple[int, Header, bool]]:
    """Messages: the number of the sender, the header, and whether a call gets a reply."""
    return draw(st.lists(st.tuples(st.integers(0, 1), headers(), st.booleans()), min_size=8, max_size=24))


def play(bus: Bus, number: int, header: Header, answer: Header | None) -> None:
    sender = bus.peers[number]
    if header.destination is None:
        bus.broadcast(sender, header)
        return
    if header.destination == ACTIVATABLE:
        if header.type == METHOD_CALL:
            bus.activate(sender, header)
        return
    receiver = bus.owners.get(header.destination, bus.peers[1 - number])
    if header.destination not in receiver.names:
        header = header.replace(destination=receiver.client.unique)
    serial = bus.unicast(sender, receiver, header)
    if serial is not None and header.type == METHOD_CALL and answer is not None and receiver is not sender:
        bus.unicast(receiver, sender, answer.replace(destination=sender.client.unique), call=serial)
