"""The audit records of a guest: this process is its audit daemon."""

from __future__ import annotations

import re
import socket
import struct
import time
from collections import Counter

NETLINK_AUDIT = 9
AUDIT_SET = 1001
USER_TYPES = (range(1100, 1200), range(2100, 3000))
"""Those of records that processes write: all of them are compared."""
NAMES = {1107: "USER_AVC", 2310: "USER_MAC_POLICY_LOAD", 2311: "USER_MAC_STATUS"}
ENABLED, FAILURE, PID, RATE, BACKLOG = 1, 2, 4, 8, 16  # AUDIT_STATUS_*
MESSAGE = re.compile(r"pid=(\d+) .*?msg='(.*?)\s*(?:exe=.*)?'", re.DOTALL)


class Records:
    """What processes have sent to the audit subsystem since the last question."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_AUDIT)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind((0, 0))
        pid = self._socket.getsockname()[0]
        mask = ENABLED | FAILURE | PID | RATE | BACKLOG
        status = struct.pack("=11I", mask, 1, 0, pid, 0, 1 << 16, 0, 0, 0, 0, 0)
        header = struct.pack("=IHHII", 16 + len(status), AUDIT_SET, 1 | 4, 1, 0)
        self._socket.send(header + status)
        self._socket.settimeout(0.01)

    def take(self, quiet: float = 0.0) -> dict[int, Counter[str]]:
        """Return type and text of each record, by process, once none has come for that time in seconds."""
        found: dict[int, Counter[str]] = {}
        end = time.monotonic() + quiet
        while True:
            try:
                data = self._socket.recv(1 << 16)
            except TimeoutError:
                if time.monotonic() >= end:
                    return found
                continue
            kind = struct.unpack_from("=IH", data)[1]
            match = MESSAGE.search(data[16:].decode("utf-8", "replace"))
            if match and any(kind in types for types in USER_TYPES):
                pid, text = int(match[1]), match[2]
                found.setdefault(pid, Counter())[f"{NAMES.get(kind, kind)} {text}"] += 1
