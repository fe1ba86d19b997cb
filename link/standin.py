"""A stand-in: the connection on this bus that stands for one connection on the other.

It has a unique name of its own, owns here the names that the remote one owns there, and is closed when that
goes. What comes for it is handed over as it is, so that replies, errors, agents, properties and introspection
need no code.

Invariants:

- All that concerns one remote connection passes its stand-in's socket in the order in which it was sent:
  names, match rules and messages one way, messages and changes of owners the other.
- A serial on this socket is the link's own, and is mapped back in the reply; serials cross as they were.
- Both tables of calls are bounded, and a reply is passed on only for a call that is in one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import listeners, message, rules
from .client import Client, bus_error
from .message import Frame

if TYPE_CHECKING:
    from .peer import Peer

BUS: Final = message.BUS.encode()
QUEUE, REPLACE = 0, 2  # flags of RequestName
NOT_OWNER: Final = (2, 3)  # its replies: in the queue, or the name is another's
FOLLOWED: Final = 64
"""Local connections with a rule each for their ends. For more there is one rule for all ends, since a system
bus allows a connection 512 rules by default, and those of the remote client are among them."""


class StandIn:
    """The connection that stands for ``remote``, an id on the bus of ``peer``."""

    def __init__(self, peer: Peer, remote: bytes) -> None:
        """Connect; raises OSError."""
        self.peer = peer
        self.remote = remote
        self.name = b""
        self.wanted: dict[str, bool] = {}
        """Names to be owned here, and whether each has precedence."""
        self.owned: set[str] = set()
        self.rules: frozenset[tuple[str, rules.Rule]] = frozenset()
        self.is_client = False
        """The remote one has sent a call or has rules: its end counts, not only that of its names."""
        self.is_ending = False
        self.known: set[bytes] = set()
        """Local connections that have to do with the remote one."""
        self.heard = listeners.Heard()
        """The rules of local connections, if the bus tells of them."""
        self._is_told = False
        self._followed: set[bytes] = set()
        """Those of ``known`` whose ends are heard by a rule of their own."""
        self._hears_all_ends = False
        self._calls: dict[int, tuple[int, bytes]] = {}
        self._owed: set[tuple[bytes, int]] = set()
        limits = peer.bus.limits
        self.client = Client(
            peer.bus.socket,
            peer.ids,
            self,
            max_message=limits.max_message,
            max_queued=limits.queue,
        )

    @property
    def names(self) -> frozenset[str]:
        """The names that its signals have as sender."""
        return frozenset({*self.owned, self.name.decode()})

    @property
    def calls(self) -> int:
        """Calls of the remote one without a reply."""
        return len(self._calls)

    def close(self) -> None:
        """End the connection: clients here see it as the end of the remote one."""
        self.client.close()
        self._calls.clear()
        self._owed.clear()

    def finish(self) -> None:
        """End the connection once the bus has handled all that was sent on it."""
        self.is_ending = True
        self.client.resume()
        self.client.call_bus("GetId", answer=lambda _: self.close())

    # From the other bus.

    def want(self, names: dict[str, bool]) -> None:
        """Request and release names until they are these."""
        if names and self.peer.is_told and not self._is_told:
            self._watch()
        for name in self.wanted.keys() - names.keys():
            self.owned.discard(name)
            self.client.call_bus("ReleaseName", name)
        for name in names.keys() - self.wanted.keys():
            flags = REPLACE if names[name] else QUEUE
            self.client.call_bus("RequestName", name, flags, answer=lambda reply: self._requested(reply))
        self.wanted = names

    def _requested(self, reply: Frame) -> None:
        if reply.type == message.ERROR:
            self.peer.report(f"a name is refused to the stand-in of {self.remote!r}: {bus_error(reply)}")
        elif message.body_number(reply) in NOT_OWNER:
            self.peer.report(f"the stand-in of {self.remote!r} waits for a name that has an owner here")

    def _watch(self) -> None:
        """Be told which rules concern this connection; what was told before is void."""
        self._is_told = True
        self.heard.clear()
        self.client.call_bus("Watch", interface=listeners.INTERFACE, answer=self._watching)

    def _watching(self, reply: Frame) -> None:
        if reply.type == message.ERROR:
            self.peer.fail(f"who listens to {message.bus_text(self.remote)} is not told: {bus_error(reply)}")
        else:
            self.peer.owned_changed()

    def listen(self, wanted: frozenset[tuple[str, rules.Rule]]) -> None:
        """Add and remove match rules until they are these, by the name of the sender."""
        for name in {name for name, _ in wanted} - {name for name, _ in self.rules}:
            # With the owner's signals comes who the owner is.
            self.client.call_bus("AddMatch", rules.owner_of(name))
        for name, rule in wanted - self.rules:
            self.client.call_bus("AddMatch", rules.text_of(name, rule), answer=self._listening)
        for name, rule in self.rules - wanted:
            self.client.call_bus("RemoveMatch", rules.text_of(name, rule))
        for name in {name for name, _ in self.rules} - {name for name, _ in wanted}:
            self.client.call_bus("RemoveMatch", rules.owner_of(name))
        self.rules = wanted
        self.is_client = self.is_client or bool(wanted)

    def _listening(self, reply: Frame) -> None:
        if reply.type == message.ERROR:
            self.peer.report(f"a rule of {self.remote!r} is refused: {bus_error(reply)}")

    def deliver(self, frame: Frame, destination: bytes, reply_serial: int) -> str:
        """Send what the remote one has sent; return why it could not be, "" if it was."""
        kind = frame.type
        serial = self.client.next_serial()
        if kind in (message.RETURN, message.ERROR):
            if (destination, reply_serial) not in self._owed:
                return "no such call"
            self._owed.discard((destination, reply_serial))
        else:
            self.is_client = self.is_client or kind == message.CALL
            if kind == message.CALL and not frame.flags & message.NO_REPLY_EXPECTED:
                if len(self._calls) >= self.peer.bus.limits.calls:
                    return "too many calls without a reply"
                while serial in self._calls:
                    serial = self.client.next_serial()
                self._calls[serial] = (frame.serial, destination)
        try:
            self.client.send(frame, serial, reply_serial, destination)
        except ValueError as error:
            self._calls.pop(serial, None)
            return str(error)
        return ""

    # From this bus: the methods of client.Receiver.

    def named(self, name: bytes) -> None:
        """Take the unique name."""
        self.name = name
        self.peer.named(self)

    def lost(self, why: str) -> None:
        """Hear that the bus has ended the connection."""
        self.peer.standin_lost(self, why)

    def receive(self, frame: Frame) -> None:
        """Hand over a message."""
        if self.is_ending:
            return
        kind = frame.type
        sender = message.text(frame.sender, frame.sender_size)
        if kind in (message.RETURN, message.ERROR):
            call = self._answered(sender, frame.reply_serial)
            if call:
                # An error of the bus itself crosses as if the callee had sent it.
                self.peer.put(call[1], self.remote, frame, call[0])
        elif sender == BUS:
            self._hear(frame)
        elif kind == message.SIGNAL and not frame.destination_size:
            self.peer.put_broadcast(sender, self.remote, frame)
        elif kind in (message.CALL, message.SIGNAL):
            self._take(kind, sender, frame)

    def _answered(self, sender: bytes, reply_serial: int) -> tuple[int, bytes] | None:
        """Return the call that a reply is for, and forget it; None: there is none to that connection.

        Session buses pass on replies that nothing has asked for. Of a name that is to be started the owner is
        unknown, so that there the policy of the bus alone counts.
        """
        call = self._calls.get(reply_serial)
        if call is None or (sender not in (call[1], BUS) and call[1].startswith(b":")):
            self.peer.counters.denied += 1
            return None
        return self._calls.pop(reply_serial)

    def _take(self, kind: int, sender: bytes, frame: Frame) -> None:
        peer = self.peer
        expects = kind == message.CALL and not frame.flags & message.NO_REPLY_EXPECTED
        if peer.is_standin(sender):
            self._refuse(sender, frame, message.ACCESS_DENIED, "a link does not pass on what came by a link")
            return
        if expects:
            if len(self._owed) >= peer.bus.limits.calls:
                self._refuse(sender, frame, message.LIMITS_EXCEEDED, "too many calls without a reply")
                return
            self._owed.add((sender, frame.serial))
        peer.catch_up()
        self.meet(sender)
        peer.put(peer.id_of(sender), self.remote, frame, 0)

    def _hear(self, frame: Frame) -> None:
        """Hear the bus: of names of its own, and of the owners of others."""
        member = message.text(frame.member, frame.member_size)
        if message.text(frame.interface, frame.interface_size) == listeners.INTERFACE.encode():
            self._hear_listeners(member, frame)
        elif member == b"NameAcquired":
            (name,) = message.body_strings(frame)
            if name in self.wanted:
                self.owned.add(name)
                self.peer.owned_changed()
        elif member == b"NameLost":
            (name,) = message.body_strings(frame)
            self.owned.discard(name)
            self.heard.lose_name(name)
            self.peer.owned_changed()
        elif member == b"NameOwnerChanged":
            name, old, new = message.body_strings(frame)
            if name.startswith(":"):
                if not new:
                    self.forget(name.encode())
            else:
                self.peer.owner_changed(name, old, new)

    def _hear_listeners(self, member: bytes, frame: Frame) -> None:
        """Hear by which rules local connections listen to this one."""
        if member == b"Lost":
            self._watch()
            return
        clients = set()
        for client, text, copies in listeners.changes(frame):
            rule = listeners.rule_of(text)
            if rules.about(rule, self.names) is None or self.peer.is_standin(client):
                continue
            self.heard.put(client, rule, copies)
            clients.add(client)
            self.meet(client)  # with its end its rules end
        for client in clients:
            self.peer.hear_rules(client)

    def too_long(self, frame: Frame) -> None:
        """Answer what is larger than a message may be."""
        if self.is_ending:
            return
        sender = message.text(frame.sender, frame.sender_size)
        why = f"the message has {frame.size} bytes, and {self.peer.bus.limits.max_message} can cross"
        if frame.type in (message.RETURN, message.ERROR):
            call = self._answered(sender, frame.reply_serial)
            if call:
                self.peer.refuse(call[1], self.remote, call[0], message.LIMITS_EXCEEDED, why)
        else:
            self._refuse(sender, frame, message.LIMITS_EXCEEDED, why)

    def _refuse(self, sender: bytes, frame: Frame, name: str, why: str) -> None:
        """Answer a message on this bus, if it wants an answer."""
        self.peer.counters.refused += 1
        if frame.type == message.CALL and not frame.flags & message.NO_REPLY_EXPECTED:
            reply = message.error(frame.serial, name, why).frame
            self.client.send(reply, self.client.next_serial(), frame.serial, sender)

    # Local connections.

    def meet(self, local: bytes) -> None:
        """Let a local connection and the remote one have to do with one another, until either is gone."""
        if local in self.known:
            return
        self.known.add(local)
        self.peer.met(local)
        text = local.decode()
        if len(self._followed) < FOLLOWED:
            self._followed.add(local)
            self.client.call_bus("AddMatch", rules.owner_of(text), answer=self._following)
        elif not self._hears_all_ends:
            self._hears_all_ends = True
            self.client.call_bus("AddMatch", rules.ALL_ENDS, answer=self._following)

        def answered(reply: Frame) -> None:
            if reply.type == message.RETURN and not message.body_number(reply):
                self.forget(local)  # it had gone before there was the rule

        self.client.call_bus("NameHasOwner", text, answer=answered)

    def _following(self, reply: Frame) -> None:
        if reply.type == message.ERROR:
            self.peer.report(f"the ends of clients of {self.remote!r} are not told: {bus_error(reply)}")

    def forget(self, local: bytes) -> None:
        """Take note that a local connection is gone: nothing more comes from it on this socket."""
        if local in self.known:
            self.known.discard(local)
            self.heard.forget(local)
            if local in self._followed:
                self._followed.discard(local)
                self.client.call_bus("RemoveMatch", rules.owner_of(local.decode()))
            self._owed = {one for one in self._owed if one[0] != local}
            self.peer.unmet(local)
