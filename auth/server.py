"""The server side of SASL authentication (specification: "Authentication Protocol"), without input or output.

Pass received bytes to ``receive_data`` and send what ``data_to_send`` returns, until there is an ``outcome``.

The common handshake, EXTERNAL on a Unix socket, is done in C (``transport/relay/accept``); everything else is
handed up, and replayed here from the first byte. Invariants:

- Transitions are tables of commands per state, as in the specification; texts and limits are the reference's.
- Mechanisms never see the socket: the peer's uid is an argument, so that the protocol is tested without one.
- The first byte after BEGIN belongs to the message stream, and is never parsed here.
- All input is bounded: the length of a line, unsent replies, and the number of rejections.

Rejected: one implementation only (``docs/understanding/decisions/sasl-twice.md``).

"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Callable, Mapping
from typing import TypeAlias

from ..record import Record
from .mechanism import Accepted, Challenge, Mechanism, Mechanisms

MAX_LINE = 16 * 1024  # bytes of one command, its \r\n included; the three limits are the reference's
MAX_UNSENT = 16 * 1024  # bytes of replies that the client doesn't read
MAX_REJECTIONS = 6


class Authenticated(Record):
    """The client said BEGIN after OK.

    ``uid`` is None for an anonymous client, which the caller may still have to refuse. ``leftover`` is the
    part of the message stream that has already arrived.
    """

    uid: int | None
    fd_passing: bool
    leftover: bytes


class Rejected(Record):
    """The client is to be disconnected after pending output is sent; ``reason`` is for the log."""

    reason: str


class Server:
    """One client's authentication.

    ``guid`` is that of the listening address, ``uid`` the peer's according to the kernel (None: unknown, as
    with TCP), ``fd_passing`` whether the transport can pass descriptors, ``nonce`` the bytes with which a
    nonce-tcp client must begin. ``outcome`` is None while the conversation continues.
    """

    def __init__(
        self,
        guid: str,
        mechanisms: Mechanisms,
        uid: int | None,
        *,
        fd_passing: bool = True,
        nonce: bytes = b"",
    ) -> None:
        self.outcome: Authenticated | Rejected | None = None
        self._guid = guid
        self._mechanisms = mechanisms
        self._credentials = uid
        self._fd_possible = fd_passing
        self._preamble = nonce + b"\0"
        self._state = _WAITING_FOR_AUTH
        self._incoming = b""
        self._outgoing = b""
        self._mechanism: Mechanism | None = None
        self._identity: int | None = None
        self._fd_passing = False
        self._rejections = 0
        self._challenged = False

    @property
    def repeatable(self) -> bool:
        """True if another instance would answer the same to the same bytes: no challenge was random."""
        return not self._challenged

    def receive_data(self, data: bytes) -> None:
        """Take the client's next bytes, in pieces of any size.

        After a rejection they are ignored. Raises RuntimeError after success: they are the message stream's.
        """
        if self.outcome is not None:
            if isinstance(self.outcome, Rejected):
                return
            raise RuntimeError("authentication is over")
        buffer = self._incoming + data
        position = self._skip_preamble(buffer)
        while self.outcome is None and not self._preamble:
            end = buffer.find(b"\r\n", position)
            if (len(buffer) if end < 0 else end + 2) - position > MAX_LINE:
                self.outcome = Rejected("a command is too long")
            elif end < 0:
                break
            else:
                self._receive_line(buffer[position:end])
                position = end + 2
                if self._state is _AUTHENTICATED:
                    self.outcome = Authenticated(self._identity, self._fd_passing, buffer[position:])
                elif len(self._outgoing) > MAX_UNSENT:
                    self.outcome = Rejected("replies are not read")
        self._incoming = buffer[position:] if self.outcome is None else b""

    def data_to_send(self) -> bytes:
        """Return the replies since the last call."""
        data, self._outgoing = self._outgoing, b""
        return data

    def _skip_preamble(self, buffer: bytes) -> int:
        """Check nonce and nul byte once they are complete; return where the protocol begins."""
        size = len(self._preamble)
        if size == 0 or len(buffer) < size:
            return 0
        if not buffer.startswith(self._preamble):
            self.outcome = Rejected("the first byte is not nul" if size == 1 else "the nonce is wrong")
        self._preamble = b""
        return size

    def _receive_line(self, line: bytes) -> None:
        if not line.isascii() or b"\0" in line:
            self._error("Command contained non-ASCII")
            return
        command, _, arguments = line.decode().replace("\t", " ").partition(" ")
        reaction = self._state.get(command, "Unknown command")
        if isinstance(reaction, str):
            self._error(reaction)
        else:
            reaction(self, arguments.lstrip(" "))

    def _auth(self, arguments: str) -> None:
        name, _, response = arguments.partition(" ")
        new_mechanism = self._mechanisms.get(name)
        if new_mechanism is None:
            self._reject(reason="no such mechanism")
            return
        self._mechanism = new_mechanism(self._credentials)
        self._data(response.lstrip(" "))

    def _data(self, response: str) -> None:
        """Pass the response to the mechanism and send its answer to the client."""
        assert self._mechanism is not None
        try:
            # An odd digit at the end is a high nibble, as in the reference.
            decoded = unhexlify(response + "0" if len(response) % 2 else response)
        except ValueError:
            self._error("Invalid hex encoding")
            return
        answer = self._mechanism.respond(decoded)
        if isinstance(answer, Accepted):
            self._identity = answer.uid
            self._state = _WAITING_FOR_BEGIN
            self._send("OK " + self._guid)
        elif isinstance(answer, Challenge):
            self._state = _WAITING_FOR_DATA
            self._challenged = self._challenged or bool(answer.data)
            self._send("DATA " + answer.data.hex() if answer.data else "DATA")
        else:
            self._reject(reason=answer.reason)

    def _negotiate_unix_fd(self, _arguments: str) -> None:
        if self._fd_possible:
            self._fd_passing = True
            self._send("AGREE_UNIX_FD")
        else:
            self._error("Unix FD passing not supported, not authenticated or otherwise not possible")

    def _begin(self, _arguments: str) -> None:
        self._state = _AUTHENTICATED

    def _disconnect(self, _arguments: str) -> None:
        self.outcome = Rejected("BEGIN before the end of authentication")

    def _reject(self, _arguments: str = "", *, reason: str = "cancelled") -> None:
        self._mechanism = None
        self._identity = None
        self._state = _WAITING_FOR_AUTH
        self._send(" ".join(("REJECTED", *self._mechanisms)))
        self._rejections += 1
        if self._rejections == MAX_REJECTIONS:
            self.outcome = Rejected(f"rejected too often, at last because: {reason}")

    def _error(self, text: str) -> None:
        self._send(f'ERROR "{text}"')

    def _send(self, line: str) -> None:
        self._outgoing += line.encode() + b"\r\n"


_Reaction: TypeAlias = Callable[[Server, str], None] | str
_State: TypeAlias = Mapping[str, _Reaction]

# The specification's "Server states". A state maps each command to its reaction: a method, which gets the
# arguments, or the text of an ERROR.
_WAITING_FOR_AUTH: _State = {
    "AUTH": Server._auth,
    "CANCEL": "Not currently in an auth conversation",
    "DATA": "Not currently in an auth conversation",
    "BEGIN": Server._disconnect,
    "ERROR": Server._reject,
    "NEGOTIATE_UNIX_FD": "Need to authenticate first",
}
_WAITING_FOR_DATA: _State = {
    "AUTH": "Sent AUTH while another AUTH in progress",
    "CANCEL": Server._reject,
    "DATA": Server._data,
    "BEGIN": Server._disconnect,
    "ERROR": Server._reject,
    "NEGOTIATE_UNIX_FD": "Need to authenticate first",
}
_WAITING_FOR_BEGIN: _State = {
    "AUTH": "Sent AUTH while expecting BEGIN",
    "CANCEL": Server._reject,
    "DATA": "Sent DATA while expecting BEGIN",
    "BEGIN": Server._begin,
    "ERROR": Server._reject,
    "NEGOTIATE_UNIX_FD": Server._negotiate_unix_fd,
}
_AUTHENTICATED: _State = {}
