"""One client's authentication, on its socket."""

import array
import os
import socket
from collections.abc import Callable, Sequence
from typing import Final

from ..auth.server import Authenticated, Server
from .poller import Watch

READ_SIZE: Final = 4096
PACKET_SIZE: Final = 256 * 1024  # a packet is read as a whole, and may have a message behind BEGIN
MAX_FDS: Final = 253  # SCM_MAX_FD: what one sendmsg can carry
CONTROL_SIZE: Final = socket.CMSG_SPACE(MAX_FDS * 4)
# As plain numbers: an operation on flags of an enumeration takes longer than a system call.
RECEIVE_FLAGS: Final = int(socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT)
SEND_FLAGS: Final = int(socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
CONTROL_CUT: Final = int(socket.MSG_CTRUNC)
DATA_CUT: Final = int(socket.MSG_TRUNC)

EarlyFd = tuple[int, int]
"""A descriptor that came before its message was handed over, and the position of the bytes it came with."""


class Refused(Exception):
    """The connection is to be closed, and this is why."""


class Handshake:
    """Feeds the machine from the socket until there is an outcome.

    The caller watches the socket, and notes in ``watch`` for what.
    ``listener`` is the Unix socket that it was accepted from, -1 if it is of another family; ``began`` is
    when that was.
    """

    def __init__(
        self, sock: socket.socket, machine: Server, max_fds: int, listener: int = -1, began: float = 0.0
    ) -> None:
        self.sock = sock
        self.listener = listener
        self.began = began
        self.watch = Watch.NOTHING
        self._machine = machine
        self._max_fds = max_fds
        self._read_size = PACKET_SIZE if sock.type == socket.SOCK_SEQPACKET else READ_SIZE
        self._fds: list[EarlyFd] = []
        self._unsent = b""

    @property
    def wants_to_send(self) -> bool:
        """True while the client does not take what there is to say."""
        return bool(self._unsent)

    def receive(self) -> Authenticated | None:
        """Read once; return the outcome when there is one and all has been said. Raises Refused."""
        position = self._machine.received
        try:
            data, control, flags, _ = self.sock.recvmsg(self._read_size, CONTROL_SIZE, RECEIVE_FLAGS)
        except BlockingIOError:
            return None
        except OSError as error:
            raise Refused(error.strerror) from error
        self._keep(control, position)
        if flags & CONTROL_CUT or len(self._fds) > self._max_fds:
            raise Refused("too many descriptors")
        if flags & DATA_CUT:
            raise Refused("too long a packet")
        if not data:
            raise Refused("closed by the client")
        self._machine.receive_data(data)
        self._unsent += self._machine.data_to_send()
        return self.send()

    def adopt(self, fds: Sequence[int], position: int) -> None:
        """Own descriptors that came with the byte at ``position``."""
        self._fds += [(fd, position) for fd in fds]

    def take_over(self, data: bytes, said: int) -> Authenticated | None:
        """Go on where somebody else has read ``data``, and sent as much of the answers; see ``receive``."""
        if not data:
            return self.receive()
        self._machine.receive_data(data)
        self._unsent += self._machine.data_to_send()[said:]
        return self.send()

    def send(self) -> Authenticated | None:
        """Write what there is to say; see ``receive``."""
        if self._unsent:
            try:
                sent = self.sock.send(self._unsent, SEND_FLAGS)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                raise Refused(error.strerror) from error
            self._unsent = self._unsent[sent:]
        outcome = self._machine.outcome
        if outcome is None or self._unsent:
            return None
        if isinstance(outcome, Authenticated):
            return outcome
        raise Refused(outcome.reason)

    def take_fds(self, offset: Callable[[int], int]) -> Sequence[EarlyFd]:
        """Hand over the descriptors, their positions turned into offsets."""
        fds = [(fd, offset(position)) for fd, position in self._fds]
        self._fds = []
        return fds

    def close(self) -> None:
        """Close everything that is still in hand."""
        self.sock.close()
        while self._fds:
            os.close(self._fds.pop()[0])

    def _keep(self, control: Sequence[tuple[int, int, bytes]], position: int) -> None:
        for level, kind, data in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
                self._fds += [(fd, position) for fd in fds]
