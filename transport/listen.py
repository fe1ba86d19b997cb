"""From an address to a listener: the one entry of all listenable transports."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from . import inherited, tcp, unix
from .address import Address, AddressError, parse
from .listener import Listener, ListenError, Surroundings

_TRANSPORTS: Mapping[str, Callable[[Address, Surroundings], Listener]] = {
    "unix": unix.listen,
    unix.PACKETS: unix.listen,
    "tcp": tcp.listen,
    "nonce-tcp": tcp.listen_with_nonce,
    "systemd": inherited.listen,
}


def listen(
    text: str,
    *,
    environment: Mapping[str, str] = os.environ,
    take_inherited: Callable[[], Sequence[int]] = tuple,
) -> Listener:
    """Listen on the first address of the list that works.

    ``take_inherited`` hands over the descriptors that the service manager passed, for ``systemd:``.

    Raises AddressError if the text is no list of addresses, no transport in it is known, or one that it comes
    to lacks a key or has too many; ListenError, the first one, if nothing works.
    """
    addresses = parse(text)
    surroundings = Surroundings(environment, take_inherited)
    failure: ListenError | None = None
    for address in addresses:
        open_listener = _TRANSPORTS.get(address.transport)
        if open_listener is None:
            continue
        try:
            return open_listener(address, surroundings)
        except ListenError as error:
            failure = failure or error
    if failure is None:
        raise AddressError(f"Unknown address type '{addresses[0].transport}'")
    raise failure
