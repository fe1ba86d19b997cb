"""The thin façade over the native data plane; return codes become exceptions, nothing else happens here."""

import errno
import os
import time
from collections.abc import Sequence
from typing import Any, Final

from ...policy.settings import Limits
from ._relay import ffi, lib
from .credentials import Credentials
from .event import Event

ALL: Final = 0xFFFF_FFFF_FFFF_FFFF
TO_OWNER: Final = int(lib.RELAY_TO_OWNER)
TO_MONITORS: Final = int(lib.RELAY_TO_MONITORS)
ANONYMOUS: Final = 0xFFFF_FFFF
_EVENTS: Final = 256
_WHY: Final = 2048
_LIMITS: Final = {
    field: 2 ** (8 * ffi.sizeof(kind.type)) - 1 for field, kind in ffi.typeof("struct relay_limits").fields
}


def check(result: int) -> None:
    """Raises what a negative errno says."""
    if result == -errno.ENOMEM:
        raise MemoryError
    if result == -errno.EINVAL:
        raise ValueError("the data plane can't read this")
    if result < 0:
        raise OSError(-result, os.strerror(-result))


class MatchRuleError(ValueError):
    """A match rule is wrong, or longer than rules may be (`too_long`)."""

    def __init__(self, text: str, *, too_long: bool) -> None:
        super().__init__(text)
        self.too_long = too_long


class Relay:
    """The data plane: a thread that moves messages by the tables it was given.

    Commands collect until `commit`, which hands them over as one step.
    """

    def __init__(self, guid: str) -> None:
        out = ffi.new("struct relay **")
        check(lib.relay_new(out, guid.encode("ascii")))
        self._relay: Any = out[0]
        self._credentials = ffi.new("struct relay_credentials *")
        self._events = ffi.new("struct relay_event[]", _EVENTS)

    def start(self) -> None:
        """Starts the thread. Not before the process has forked and dropped its privileges.

        Raises OSError if none can be had: then somebody has to call `turn`.
        """
        check(lib.relay_start(self._relay))

    @property
    def poll_fd(self) -> int:
        """Readable when a turn is due, if there is no thread."""
        return int(lib.relay_poll_fd(self._relay))

    def turn(self) -> int:
        """Does in the caller's thread what waits; milliseconds until the next turn, -1: not by time."""
        return int(lib.relay_turn(self._relay))

    def set_group(self, fd: int, max_members: int, *, trust_everybody: bool) -> None:
        """Makes connections members of this group of unix_multicast(7); `fd` belongs to the data plane.

        To be called before `start`. Raises OSError: then everything is relayed.
        """
        check(lib.relay_set_group(self._relay, fd, max_members, trust_everybody))

    def close(self) -> None:
        """Stops the thread, closes every connection and frees everything."""
        if self._relay:
            lib.relay_free(self._relay)
            self._relay = None

    @property
    def event_fd(self) -> int:
        """Readable while events wait."""
        return int(lib.relay_event_fd(self._relay))

    def events(self) -> list[Event]:
        """The next events, the oldest first; an empty list when none waits."""
        n = lib.relay_events(self._relay, self._events, _EVENTS)
        events = self._events
        return [Event(events[i]) for i in range(n)]

    def set_limits(self, limits: Limits) -> None:
        """Puts new limits in force, for all connections."""
        values = {name: min(getattr(limits, name), most) for name, most in _LIMITS.items()}
        check(lib.relay_set_limits(self._relay, ffi.new("struct relay_limits *", values)))

    def load_policy(self, block: bytes) -> None:
        """Puts a policy in force. ValueError: not a block of omnibus.policy."""
        check(lib.relay_load_policy(self._relay, ffi.from_buffer(block), len(block)))

    def listen(self, fd: int, number: int, guid: str, *, simple: bool) -> None:
        """Accepts clients from a socket, of which it keeps a duplicate.

        `simple`: it is a Unix stream socket, and EXTERNAL is among the mechanisms; from another all are
        HANDED_UP. Who authenticates is told the `guid`.
        """
        check(lib.relay_listen(self._relay, fd, number, guid.encode("ascii"), simple))

    def stop_listening(self) -> None:
        """Accepts no more, and drops who has not authenticated yet."""
        check(lib.relay_stop_listening(self._relay))

    def settled(self) -> None:
        """States that one that was HANDED_UP has been attached or closed."""
        check(lib.relay_settled(self._relay))

    def next_id(self) -> int:
        """The id for the next connection that is attached; none is given twice."""
        return int(lib.relay_next_id(self._relay))

    def incomplete(self) -> int:
        """How many connections have not said Hello, those that were HANDED_UP among them."""
        return int(lib.relay_incomplete(self._relay))

    def attach(
        self,
        peer: int,
        fd: int,
        credentials: Credentials,
        leftover: bytes = b"",
        fds: Sequence[int] = (),
        *,
        listener: int = -1,
        began: float | None = None,
    ) -> None:
        """Hands an authenticated connection over; `fd` and `fds` belong to the data plane from here on,
        whatever it raises.

        `fds` came with the read that returned `leftover`. `listener` is the Unix
        socket that it was accepted from, which stays open. `began`: when that was, in the seconds of the
        monotonic clock, now if it is left out.
        """
        try:
            since = int(1000 * (time.monotonic() if began is None else began))
            native, kept = self._native(credentials)
            early = ffi.new("int[]", list(fds))
        except Exception:
            for one in (fd, *fds):
                os.close(one)
            raise
        size = len(leftover)
        check(
            lib.relay_attach(self._relay, peer, fd, listener, since, native, leftover, size, early, len(fds))
        )
        del kept

    def _native(self, credentials: Credentials) -> tuple[Any, tuple[Any, ...]]:
        """Returns credentials as C has them, and what has to be kept as long as they are used."""
        gids = ffi.new("uint32_t[]", credentials.gids)
        loginfo = ffi.from_buffer(credentials.loginfo.encode("utf-8", "replace") + b"\0")
        native = self._credentials
        native.uid = ANONYMOUS if credentials.uid is None else credentials.uid
        native.pid = credentials.pid or 0
        native.gids = gids
        native.n_gids = len(credentials.gids)
        native.at_console = credentials.at_console
        native.fd_passing = credentials.fd_passing
        native.privileged = credentials.privileged
        native.loginfo = ffi.cast("char *", loginfo)
        return native, (gids, loginfo)

    def welcome(self, peer: int, serial: int) -> None:
        """Answers Hello: the reply, NameOwnerChanged and NameAcquired; the sender goes on."""
        check(lib.relay_welcome(self._relay, peer, serial))

    def set_queue(self, name: str, peers: Sequence[int]) -> None:
        """States a name's queue, the owner first, and sends the signals of the change."""
        check(lib.relay_set_queue(self._relay, name.encode("ascii"), peers, len(peers)))

    def leave_queue(self, name: str, peer: int) -> None:
        """Takes a connection out of a name's queue, and sends the signals of the change."""
        check(lib.relay_leave_queue(self._relay, name.encode("ascii"), peer))

    def reply(self, peer: int, serial: int, signature: str, body: bytes, fds: Sequence[int] = ()) -> None:
        """Sends a method return of the bus; the body is little-endian. `fds` belong to the data plane."""
        check(
            lib.relay_reply(
                self._relay, peer, serial, signature.encode("ascii"), body, len(body), fds, len(fds)
            )
        )

    def error(self, peer: int, serial: int, name: str, text: str) -> None:
        """Sends an error of the bus."""
        check(lib.relay_error(self._relay, peer, serial, name.encode("ascii"), _utf8(text)))

    def signal(self, peer: int, path: str, interface: str, member: str, signature: str, body: bytes) -> None:
        """Sends a signal of the bus, to one connection or to ALL whose rules match."""
        texts = [text.encode("ascii") for text in (path, interface, member, signature)]
        check(lib.relay_signal(self._relay, peer, *texts, body, len(body)))

    def send(
        self,
        type: int,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str,
        body: bytes,
        serial: int = 0,
        audience: int = TO_OWNER | TO_MONITORS,
    ) -> None:
        """Sends a call or a signal of the bus to the owner of a name, to nobody if it has none.

        The reply to a call with a serial, 2**31 or more, comes as CALL; a connection owes one at a time.
        """
        texts = [text.encode("utf-8") for text in (destination, path, interface, member, signature)]
        check(lib.relay_send(self._relay, audience, type, serial, *texts, body, len(body)))

    def become_monitor(self, peer: int, serial: int, rules: Sequence[str]) -> None:
        """Makes a monitor of who is stopped for this call; MatchRuleError.

        The call is answered unless `serial` is 0, the unique name is given up. leave_queue for the other
        names and resume follow. No rules match everything.
        """
        texts = [ffi.new("char[]", rule.encode("utf-8", "replace")) for rule in rules]
        why = ffi.new("char[]", _WHY)
        result = lib.relay_become_monitor(self._relay, peer, serial, texts, len(texts), why, _WHY)
        if result in (-errno.EINVAL, -errno.E2BIG):
            text = str(ffi.string(why), "utf-8", "replace")
            raise MatchRuleError(text, too_long=result == -errno.E2BIG)
        check(result)

    def resume(self, peer: int) -> None:
        """Lets a sender go on whose CALL was answered."""
        check(lib.relay_resume(self._relay, peer))

    def show(self, parked: int) -> None:
        """Lets monitors see a parked message that goes on waiting: behind what was said because of it."""
        check(lib.relay_show(self._relay, parked))

    def deliver(self, parked: int) -> None:
        """Delivers a parked message to who owns the name now; without an owner it is PARKED again."""
        check(lib.relay_deliver(self._relay, parked))

    def reject(self, parked: int, name: str, text: str) -> None:
        """Answers a parked message with an error."""
        check(lib.relay_reject(self._relay, parked, name.encode("ascii"), _utf8(text)))

    def disconnect(self, peer: int) -> None:
        """Closes a connection once what was said to it was tried; GONE follows."""
        check(lib.relay_disconnect(self._relay, peer))

    def forget(self, peer: int) -> None:
        """Frees a connection that is GONE, after its names were given to others."""
        check(lib.relay_forget(self._relay, peer))

    def export(self, kind: int, peers: Sequence[int] = ()) -> None:
        """Asks for a table as JSON; EXPORT follows, in the order of the questions, empty without memory.

        `peers` are the connections that are wanted, of CONNECTIONS or MATCHES; without any, all are.
        """
        check(lib.relay_export(self._relay, kind, peers, len(peers)))

    def await_name(self, name: str, awaited: bool) -> None:
        """Says whether a service that will own the name is being started: then calls about it are CALLs."""
        check(lib.relay_await_name(self._relay, _utf8(name), awaited))

    def commit(self) -> None:
        """Hands over all commands since the last commit; they are applied as one step."""
        check(lib.relay_commit(self._relay))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace").replace(b"\0", b"?")
