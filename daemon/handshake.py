"""The SASL handshake of one client, on its socket."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..auth.server import Authenticated, Server
from .poller import Interest

if TYPE_CHECKING:
    from .containers.instance import Instance

READ_SIZE: Final = 4096
PACKET_SIZE: Final = 256 * 1024  # a packet is read as a whole, and may contain messages after BEGIN
MAX_HEARD: Final = 2**19  # bytes; messages after BEGIN may follow in the same packet
MAX_FDS: Final = 253  # SCM_MAX_FD: the limit of one sendmsg
CONTROL_SIZE: Final = socket.CMSG_SPACE(MAX_FDS * 4)
# Plain numbers: an operation on flags of an enumeration takes longer than a system call.
RECEIVE_FLAGS: Final = int(socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT)
SEND_FLAGS: Final = int(socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
CONTROL_CUT: Final = int(socket.MSG_CTRUNC)
DATA_CUT: Final = int(socket.MSG_TRUNC)


class Refused(Exception):
    """The connection is to be closed; the text is the reason."""


class Handshake:
    """Feeds the state machine from the socket until there is an outcome.

    The caller polls the socket, and keeps the event in ``interest``. ``listener`` is the Unix socket that
    accepted the connection, -1 for another family, ``place`` its number; ``began`` is the time of accept(2);
    ``peer`` is the id that the connection will have; ``instance`` the container instance that it belongs to.
    ``heard`` is all that was received, from the first byte,
    and ``n_sent`` how much of the answers was sent.
    """

    def __init__(
        self,
        sock: socket.socket,
        machine: Server,
        max_fds: int,
        listener: int = -1,
        began: float = 0.0,
        peer: int = 0,
        place: int = 0,
    ) -> None:
        self.sock = sock
        self.listener = listener
        self.began = began
        self.peer = peer
        self.place = place
        self.interest = Interest.NOTHING
        self.instance: Instance | None = None
        self._machine = machine
        self._max_fds = max_fds
        self._read_size = PACKET_SIZE if sock.type == socket.SOCK_SEQPACKET else READ_SIZE
        self._fds: Sequence[int] = ()  # came with the read that returned BEGIN
        self._unsent = b""
        self.heard = bytearray()
        self.n_sent = 0

    @property
    def repeatable(self) -> bool:
        """True if another instance can ``take_over`` by what was ``heard``."""
        return self._machine.repeatable and len(self.heard) <= MAX_HEARD

    @property
    def fds(self) -> Sequence[int]:
        """The descriptors that came with the latest read."""
        return self._fds

    @property
    def wants_to_send(self) -> bool:
        """True while replies wait for room in the socket."""
        return bool(self._unsent)

    def receive(self) -> Authenticated | None:
        """Read once; return the outcome once there is one and all replies are sent. Raises Refused."""
        try:
            data, control, flags, _ = self.sock.recvmsg(self._read_size, CONTROL_SIZE, RECEIVE_FLAGS)
        except BlockingIOError:
            return None
        except OSError as error:
            raise Refused(error.strerror) from error
        self._fds = _descriptors(control)
        if flags & CONTROL_CUT or len(self._fds) > self._max_fds:
            raise Refused("too many descriptors")
        if flags & DATA_CUT:
            raise Refused("the packet is too long")
        if not data:
            raise Refused("closed by the client")
        return self._feed(data)

    def adopt(self, fds: Sequence[int]) -> None:
        """Take ownership of descriptors from the data plane's latest read."""
        self._fds = fds

    def take_over(self, data: bytes, n_sent: int) -> Authenticated | None:
        """Continue for the data plane, which read ``data`` and sent ``n_sent`` bytes; see ``receive``."""
        return self._feed(data, n_sent) if data else self.receive()

    def send(self) -> Authenticated | None:
        """Send the replies; see ``receive``."""
        if self._unsent:
            try:
                sent = self.sock.send(self._unsent, SEND_FLAGS)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                raise Refused(error.strerror) from error
            self._unsent = self._unsent[sent:]
            self.n_sent += sent
        outcome = self._machine.outcome
        if outcome is None or self._unsent:
            return None
        if isinstance(outcome, Authenticated):
            return outcome
        raise Refused(outcome.reason)

    def take_fds(self) -> Sequence[int]:
        """Hand over the descriptors that came with the read that returned BEGIN."""
        fds, self._fds = self._fds, ()
        return fds

    def close(self) -> None:
        """Close the socket, and descriptors without another owner."""
        self.sock.close()
        self._close_fds()

    def _feed(self, data: bytes, n_sent: int = 0) -> Authenticated | None:
        self._machine.receive_data(data)
        # What is too long is not repeated, so it need not be kept.
        self.heard += data[: MAX_HEARD + 1 - len(self.heard)]
        outcome = self._machine.outcome
        if not isinstance(outcome, Authenticated) or not outcome.fd_passing:
            # These bytes begin no message, or one that can't have descriptors.
            self._close_fds()
        self._unsent += self._machine.data_to_send()[n_sent:]
        self.n_sent += n_sent
        return self.send()

    def _close_fds(self) -> None:
        for fd in self.take_fds():
            os.close(fd)


def _descriptors(control: Sequence[tuple[int, int, bytes]]) -> Sequence[int]:
    fds = array.array("i")
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return fds
