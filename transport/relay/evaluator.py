"""The control plane's own handle on the policy evaluation in C."""

from typing import Any, NamedTuple

from ...policy.question import Header, Identity
from ._relay import ffi, lib
from .relay import ANONYMOUS, check


class Verdict(NamedTuple):
    """The decision about a message.

    `matched`: how many rules matched; dbus-daemon puts it into its error messages. `log`: the deciding
    rule requests a log line. `file` and `line`: the place of that rule; None and 0 if none matched.
    """

    allowed: bool
    matched: int
    log: bool
    file: str | None
    line: int


class Evaluator:
    """The policy of the whole bus, compiled from a block of omnibus.policy. It belongs to one thread.

    Raises ValueError for anything but a block, and MemoryError, as can_own and can_send do.
    """

    def __init__(self, block: bytes) -> None:
        out = ffi.new("struct policy **")
        check(lib.relay_policy_new(out, ffi.from_buffer(block), len(block)))
        self._policy: Any = ffi.gc(out[0], lib.relay_policy_free)

    def can_connect(self, uid: int, gids: tuple[int, ...], bus_owner_uid: int) -> bool:
        """Decides if a user may connect; the groups are those of the uid by name, not the process's."""
        return bool(lib.relay_policy_can_connect(self._policy, uid, gids, len(gids), bus_owner_uid))

    def can_own(self, identity: Identity, name: str) -> bool:
        """Decides if a connection may ask for a well-known name."""
        result = lib.relay_policy_can_own(self._policy, *_native(identity), name.encode())
        check(result)
        return bool(result)

    def can_send(self, identity: Identity, message: Header) -> Verdict:
        """Decides if a connection may send a message, of whose recipient only the destination is known."""
        fields = {
            name: ffi.new("char[]", value.encode()) if isinstance(value, str) else value
            for name, value in vars(message).items()
            if name != "sender" and value is not None
        }
        header = ffi.new("struct relay_header *", fields)
        verdict = ffi.new("struct relay_verdict *")
        check(lib.relay_policy_can_send(self._policy, *_native(identity), header, verdict))
        file = str(ffi.string(verdict.file), "utf-8", "surrogateescape") if verdict.file else None
        return Verdict(verdict.allow, verdict.matched, verdict.log, file, verdict.line)


def _native(identity: Identity) -> tuple[int, tuple[int, ...], int, bool]:
    uid = ANONYMOUS if identity.uid is None else identity.uid
    return uid, identity.gids, len(identity.gids), identity.at_console
