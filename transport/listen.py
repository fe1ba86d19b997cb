"""Listening on an address, whatever its transport."""

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

    Raises AddressError if the text is not a list of addresses, no transport in it is known, or an address
    that is tried lacks a key or has too many; the first ListenError if no address works.
    """
    surroundings = Surroundings(environment, take_inherited)
    failures: list[ListenError] = []
    for address in parse_listenable(text):
        try:
            return _TRANSPORTS[address.transport](address, surroundings)
        except ListenError as error:
            failures.append(error)
    raise failures[0]


def parse_listenable(text: str) -> list[Address]:
    """Return the addresses of the list whose transport is listenable, at least one.

    Raises AddressError as ``listen`` does, except for keys, which are checked when an address is tried.
    """
    addresses = parse(text)
    found = [one for one in addresses if one.transport in _TRANSPORTS]
    if not found:
        raise AddressError(f"Unknown address type '{addresses[0].transport}'")
    return found
