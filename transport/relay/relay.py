"""The thin façade over the native data plane, which turns return codes into exceptions."""

import errno
import os
import time
from collections.abc import Sequence
from typing import Any, Final

from ...policy.settings import Limits
from ._relay import ffi, lib
from .credentials import Credentials
from .event import Audience, Event
from .follower import Follower
from .mediation import MediationError, Module, Question, Texts, body_of, null_or
from .state import State, StateError

BROADCAST: Final = 0xFFFF_FFFF_FFFF_FFFF
"""In place of a connection's id: every connection with a matching rule."""
ANONYMOUS: Final = 0xFFFF_FFFF
_EVENTS: Final = 256
_MAX_REASON: Final = 2048
_LIMITS: Final = {
    field: 2 ** (8 * ffi.sizeof(kind.type)) - 1 for field, kind in ffi.typeof("struct relay_limits").fields
}


def check(result: int) -> None:
    """Raises the exception for a negative errno."""
    if result == -errno.ENOMEM:
        raise MemoryError
    if result == -errno.EINVAL:
        raise ValueError("the data plane can't read this")
    if result < 0:
        raise OSError(-result, os.strerror(-result))


class MatchRuleError(ValueError):
    """A match rule is invalid, or longer than allowed (`too_long`)."""

    def __init__(self, text: str, *, too_long: bool) -> None:
        super().__init__(text)
        self.too_long = too_long


class Relay:
    """The data plane: a thread that routes messages by the tables it was given.

    Commands are collected until `commit`, which applies them as one batch.
    """

    def __init__(self, guid: str) -> None:
        out = ffi.new("struct relay **")
        check(lib.relay_new(out, guid.encode("ascii")))
        self._own(out[0])

    @classmethod
    def restore(cls, state: State, *, rehearsal: bool = False) -> "Relay":
        """Returns a frozen data plane with this state; raises StateError, and leaves no trace then.

        It owns the descriptors of the state. Its first events are ADMITTED of all connections, by id, then
        the PARKED, CALL and HANDED_UP that were not answered. `start` it, and `thaw` it when all else is
        ready. `rehearsal`: all but the descriptors, which are none of this process's; it may only be closed.
        """
        out = ffi.new("struct relay **")
        why = ffi.new("char[]", _MAX_REASON)
        result = lib.relay_restore(out, state.native, state.size, rehearsal, why, _MAX_REASON)
        if result < 0:
            raise StateError(str(ffi.string(why), "utf-8", "replace"))
        relay = cls.__new__(cls)
        relay._own(out[0])
        return relay

    @classmethod
    def resumed(cls) -> tuple["Relay", float]:
        """Returns the data plane with the state that the command line names, and since when it serves.

        It serves by the policy and the limits of the state, from the first `turn` on if it has no thread.
        Its first events are as after `restore`. The time is in seconds of CLOCK_MONOTONIC. Raises StateError;
        then, and until `resumption.end`, `resumption.abandon` is the way back.
        """
        out = ffi.new("struct relay **")
        since = ffi.new("int64_t *")
        why = ffi.new("char[]", _MAX_REASON)
        if lib.relay_resumption(out, since, why, _MAX_REASON) < 0:
            raise StateError(str(ffi.string(why), "utf-8", "replace"))
        relay = cls.__new__(cls)
        relay._own(out[0])
        return relay, since[0] / 1e6

    def _own(self, relay: Any) -> None:
        self._relay: Any = relay
        self._credentials = ffi.new("struct relay_credentials *")
        self._events = ffi.new("struct relay_event[]", _EVENTS)

    def start(self) -> None:
        """Starts the thread, after the process has forked and dropped its privileges.

        Raises OSError if no thread can be created; then the caller has to call `turn`.
        """
        check(lib.relay_start(self._relay))

    @property
    def has_thread(self) -> bool:
        """Whether `start` has made a thread."""
        return bool(lib.relay_has_thread(self._relay))

    @property
    def poll_fd(self) -> int:
        """Readable when `turn` has work to do, if there is no thread."""
        return int(lib.relay_poll_fd(self._relay))

    def turn(self) -> int:
        """Runs one iteration in the caller's thread; returns the milliseconds to the next, -1: no timer."""
        return int(lib.relay_turn(self._relay))

    def set_group(self, fd: int, max_members: int, *, trust_everybody: bool) -> None:
        """Makes connections members of this group of unix_multicast(7); `fd` belongs to the data plane.

        To be called before `start`. If it raises OSError everything is relayed.
        """
        check(lib.relay_set_group(self._relay, fd, max_members, trust_everybody))

    def begin_group(self, fd: int, max_members: int, *, trust_everybody: bool) -> None:
        """The same later, while there is no group. If the data plane can't use it the log says so."""
        check(lib.relay_begin_group(self._relay, fd, max_members, trust_everybody))

    def dissolve_group(self) -> None:
        """Lets all members leave the group, which ends; what is under way between them is relayed."""
        check(lib.relay_dissolve_group(self._relay))

    def close(self) -> None:
        """Stops the thread, closes every connection and frees everything."""
        if self._relay:
            lib.relay_free(self._relay)
            self._relay = None

    @property
    def event_fd(self) -> int:
        """Readable while events are queued."""
        return int(lib.relay_event_fd(self._relay))

    def events(self) -> list[Event]:
        """Returns the next events, oldest first; an empty list if there are none."""
        n = lib.relay_events(self._relay, self._events, _EVENTS)
        events = self._events
        return [Event(events[i]) for i in range(n)]

    def set_limits(self, limits: Limits) -> None:
        """Applies new limits to all connections."""
        values = {name: min(getattr(limits, name), most) for name, most in _LIMITS.items()}
        check(lib.relay_set_limits(self._relay, ffi.new("struct relay_limits *", values)))

    def load_policy(self, block: bytes) -> None:
        """Applies a policy. Raises ValueError for anything but a block of omnibus.policy."""
        check(lib.relay_load_policy(self._relay, ffi.from_buffer(block), len(block)))

    def mediate(self, modules: Module, bus_type: str | None) -> None:
        """Lets security modules be asked, too; raises MediationError."""
        why = ffi.new("char[]", _MAX_REASON)
        result = lib.relay_mediate(self._relay, modules.value, null_or(bus_type), why, _MAX_REASON)
        if result < 0:
            text = str(ffi.string(why), "utf-8", "replace")
            raise MediationError(text, missing=result == -errno.ENOENT)

    @property
    def mediated(self) -> Module:
        """The modules that mediate this bus, also after `restore`."""
        return Module(lib.relay_mediated(self._relay))

    def set_texts(self, kind: Texts, texts: dict[str, str]) -> None:
        """Sets what the modules are told of names; without effect if the bus is not mediated."""
        body = body_of(texts)
        check(lib.relay_set_texts(self._relay, kind.value, body, len(body)))

    def explain(self, question: Question) -> None:
        """Asks the modules, for people; EXPORT follows: an element for each question to a module."""
        native, kept = question.native()
        check(lib.relay_explain(self._relay, native))
        del kept

    def listen(self, fd: int, number: int, guid: str, *, simple: bool, only_external: bool) -> None:
        """Accepts clients from a socket, of which it keeps a duplicate.

        `simple`: it is a Unix stream socket, and EXTERNAL is allowed; connections of other sockets are all
        HANDED_UP. `only_external`: there is no other mechanism. `guid` is sent with OK.
        """
        check(lib.relay_listen(self._relay, fd, number, guid.encode("ascii"), simple, only_external))

    def shut(self, number: int) -> None:
        """Closes the sockets with this number, whose connections were all HANDED_UP; some may follow."""
        check(lib.relay_shut(self._relay, number))

    def stop_listening(self) -> None:
        """Stops accepting, and closes connections that have not authenticated yet."""
        check(lib.relay_stop_listening(self._relay))

    def settled(self) -> None:
        """Reports that a connection that was HANDED_UP has been attached or closed."""
        check(lib.relay_settled(self._relay))

    def incomplete(self) -> int:
        """Returns the number of connections before Hello, including those that were HANDED_UP."""
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
        """Hands over an authenticated connection; `fd` and `fds` belong to the data plane, also on an error.

        `fds` came with the read that returned `leftover`. `listener` is the Unix socket that accepted it,
        which stays open. `began` is the time of accept(2), in seconds of CLOCK_MONOTONIC; by default now.
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
        """Returns the credentials as a C struct, and the objects that own its memory."""
        gids = ffi.new("uint32_t[]", credentials.gids or ())
        loginfo = _c_text(credentials.loginfo)
        native = self._credentials
        native.uid = ANONYMOUS if credentials.uid is None else credentials.uid
        native.pid = credentials.pid or 0
        native.gids = gids
        native.n_gids = len(gids)
        native.at_console = credentials.at_console
        native.fd_passing = credentials.fd_passing
        native.privileged = credentials.privileged
        native.loginfo = loginfo
        label = ffi.from_buffer(credentials.label)
        native.label = ffi.cast("char *", label)
        native.label_size = len(label)
        instance = ffi.NULL if credentials.instance is None else _c_text(credentials.instance)
        native.instance = instance
        return native, (gids, loginfo, label, instance)

    def welcome(self, peer: int, serial: int) -> None:
        """Answers Hello with the reply, NameOwnerChanged and NameAcquired; the sender is resumed."""
        check(lib.relay_welcome(self._relay, peer, serial))

    def set_queue(self, name: str, peers: Sequence[int], flags: Sequence[int] = ()) -> None:
        """Sets a name's queue, the primary owner first, and sends the signals of the change.

        `flags`: those of each request that still count, for a standby; none if it is empty.
        """
        known = flags if flags else ffi.NULL
        check(lib.relay_set_queue(self._relay, name.encode("ascii"), peers, known, len(peers)))

    def leave_queue(self, name: str, peer: int) -> None:
        """Takes a connection out of a name's queue, and sends the signals of the change."""
        check(lib.relay_leave_queue(self._relay, name.encode("ascii"), peer))

    def reply(self, peer: int, serial: int, signature: str, body: bytes, *, constant: bool = False) -> None:
        """Sends a method return of the bus; the body is little-endian.

        `constant`: the reply answers all equal calls from now on, which don't come up any more.
        """
        kind = signature.encode("ascii")
        check(lib.relay_reply(self._relay, peer, serial, kind, body, len(body), constant))

    def error(self, peer: int, serial: int, name: str, text: str) -> None:
        """Sends an error of the bus."""
        check(lib.relay_error(self._relay, peer, serial, name.encode("ascii"), _utf8(text)))

    def name_instances(self, peer: int) -> None:
        """Gives each later message for the connection the header field CONTAINER_INSTANCE."""
        check(lib.relay_name_instances(self._relay, peer))

    def signal(self, peer: int, path: str, interface: str, member: str, signature: str, body: bytes) -> None:
        """Sends a signal of the bus to one connection or as a BROADCAST."""
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
        audience: int = Audience.ALL,
    ) -> None:
        """Sends a call or a signal of the bus to the owner of a name; without an owner it is dropped.

        `serial` of a call that needs a reply is 2**31 or more; the reply is reported as CALL. A connection
        has at most one such call pending.
        """
        texts = [text.encode("utf-8") for text in (destination, path, interface, member, signature)]
        check(lib.relay_send(self._relay, audience, type, serial, *texts, body, len(body)))

    def become_monitor(self, peer: int, serial: int, rules: Sequence[str], *, stamped: bool = False) -> None:
        """Turns a connection, stopped for this call, into a monitor; raises MatchRuleError.

        `stamped`: it is told when the bus has routed each message.
        The call is answered unless `serial` is 0, and the unique name is released. The caller follows with
        leave_queue for the other names, and resume. An empty list of rules matches everything.
        """
        texts = [ffi.new("char[]", rule.encode("utf-8", "replace")) for rule in rules]
        why = ffi.new("char[]", _MAX_REASON)
        become = lib.relay_become_tracer if stamped else lib.relay_become_monitor
        result = become(self._relay, peer, serial, texts, len(texts), why, _MAX_REASON)
        if result in (-errno.EINVAL, -errno.E2BIG):
            text = str(ffi.string(why), "utf-8", "replace")
            raise MatchRuleError(text, too_long=result == -errno.E2BIG)
        check(result)

    def resume(self, peer: int) -> None:
        """Resumes a sender whose CALL was answered."""
        check(lib.relay_resume(self._relay, peer))

    def show(self, parked: int) -> None:
        """Shows monitors a parked message that stays parked, after the messages that it has caused."""
        check(lib.relay_show(self._relay, parked))

    def deliver(self, parked: int) -> None:
        """Delivers a parked message to the present owner of its name; it may be denied at this moment.

        Without an owner it is PARKED again, unless the policy denies it.
        """
        check(lib.relay_deliver(self._relay, parked))

    def reject(self, parked: int, name: str, text: str) -> None:
        """Answers a parked message with an error."""
        check(lib.relay_reject(self._relay, parked, name.encode("ascii"), _utf8(text)))

    def disconnect(self, peer: int) -> None:
        """Closes a connection after one attempt to flush its queue; GONE follows."""
        check(lib.relay_disconnect(self._relay, peer))

    def forget(self, peer: int) -> None:
        """Frees a connection that is GONE, after its names were released."""
        check(lib.relay_forget(self._relay, peer))

    def export(self, kind: int, peers: Sequence[int] = ()) -> None:
        """Requests a Table as JSON; EXPORT follows, in the order of the requests, empty if memory ran out.

        `peers` restricts CONNECTIONS and MATCHES; an empty sequence stands for all.
        """
        check(lib.relay_export(self._relay, kind, peers, len(peers)))

    def await_name(self, name: str, awaited: bool) -> None:
        """Says whether a service that will own the name is being started: then calls about it are CALLs."""
        check(lib.relay_await_name(self._relay, _utf8(name), awaited))

    def count_starts(self, n: int) -> None:
        """Says how many parties wait for services being started, which max_pending_service_starts limits."""
        check(lib.relay_count_starts(self._relay, n))

    def set_catalog(self, names: bytes, follower: Follower | None) -> None:
        """Sets the answer of ListActivatableNames, as marshalled; all names but the first can be started.

        The data plane uses it as long as `follower`, which it takes over, sees no change; None: not at all.
        """
        native = follower.native if follower is not None else ffi.NULL
        check(lib.relay_set_catalog(self._relay, native, names, len(names)))
        if native:
            ffi.gc(native, None)

    def freeze(self) -> None:
        """Stops reading, accepting and all timers; FROZEN follows, once the output was written."""
        check(lib.relay_freeze(self._relay))

    def thaw(self) -> None:
        """Ends a freeze; times that passed meanwhile count."""
        check(lib.relay_thaw(self._relay))

    def dump(self, fd: int, sections: bytes) -> None:
        """Writes the state to a file, which it truncates, and then `sections`, as `state.section` makes them.

        DUMPED follows; `fd` has to stay open until then. EAGAIN: events are to be handled first. Raises
        ValueError for anything but sections.
        """
        check(lib.relay_dump(self._relay, fd, sections, len(sections)))

    def keep(self, sections: bytes) -> None:
        """Sets the sections of the control plane that a standby writes into the state, as of `dump`."""
        check(lib.relay_keep(self._relay, sections, len(sections)))

    def standby(
        self, command: Sequence[bytes], environment: Sequence[bytes], fds: Sequence[int]
    ) -> tuple[int, int]:
        """Makes a standby, a child that executes `command` when this process ends otherwise than by `close`.

        The argument `--resume-fd=` gets the number of the state; `fds` stay open beside those of the state.
        Returns its pid, and a pidfd that the caller owns. Raises OSError.
        """
        how = ffi.new("struct relay_standby *")
        texts, kept = zip(*(_texts(one) for one in (command, environment)), strict=True)
        numbers = ffi.new("int[]", list(fds))
        how.command, how.environment = texts
        how.fds, how.n_fds = numbers, len(fds)
        pidfd = ffi.new("int *")
        pid = int(lib.relay_standby(self._relay, how, pidfd))
        check(pid)
        del kept
        return pid, int(pidfd[0])

    def dismiss(self) -> None:
        """Lets the standby end when this process does."""
        lib.relay_dismiss(self._relay)

    def commit(self) -> None:
        """Hands over the commands since the last commit, to be applied as one batch."""
        check(lib.relay_commit(self._relay))


def share_heap() -> None:
    """Lets a standby read what is allocated from now on; once, before a `Relay` is made. Raises OSError."""
    check(lib.relay_share_heap())


def _texts(texts: Sequence[bytes]) -> tuple[Any, list[Any]]:
    """Returns a NULL-terminated array of C strings, and the objects that own its memory."""
    strings = [ffi.new("char[]", text) for text in texts]
    array = ffi.new("char *[]", [*strings, ffi.NULL])
    return array, [array, *strings]


def _c_text(text: str) -> Any:
    return ffi.new("char[]", text.encode("utf-8", "replace"))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace").replace(b"\0", b"?")
