"""The control plane's own handle on the policy evaluation in C."""

from typing import Any

from ._relay import ffi, lib
from .relay import check


class Evaluator:
    """The rules about connections, compiled from a block of omnibus.policy. It belongs to one thread.

    The data plane has another copy, and judges everything else. Raises ValueError for anything but a block,
    and MemoryError.
    """

    def __init__(self, block: bytes) -> None:
        out = ffi.new("struct policy **")
        check(lib.policy_new(out, ffi.from_buffer(block), len(block), 1))
        self._policy: Any = ffi.gc(out[0], lib.policy_free)

    def can_connect(self, uid: int, gids: tuple[int, ...], bus_owner_uid: int) -> bool:
        """Decides if a user may connect; the groups are those of the uid by name, not the process's."""
        return bool(lib.policy_can_connect(self._policy, uid, gids, len(gids), bus_owner_uid))
