"""What is missing for a link by Zenoh: the library, certificates, other hosts.

Certificates are tried by a handshake in memory, and hosts by one over the network, with Python's own TLS: it
says what Zenoh would say only in its log.
"""

from __future__ import annotations

import asyncio
import importlib.util
import ssl
from collections.abc import Iterator
from typing import Final

from .zenoh_config import Zenoh

PATIENCE: Final = 5.0  # seconds


async def findings(zenoh: Zenoh) -> list[str]:
    """Return what is wrong."""
    found = []
    if importlib.util.find_spec("zenoh") is None:
        found.append("eclipse-zenoh is not installed: install omnibus-dbus[link]")
    if zenoh.is_secure:
        found += list(_certificates(zenoh))
    if not found:
        tries = await asyncio.gather(*(_reach(zenoh, endpoint) for endpoint in zenoh.connect))
        found += [line for line in tries if line]
    return found


def _certificates(zenoh: Zenoh) -> Iterator[str]:
    """Yield which files can't be read, and what this host's own certificate is not good for."""
    readable = True
    for field, path in zenoh.files:
        try:
            path.read_bytes()
        except OSError as error:
            readable = False
            yield f"zenoh.{field}: {path}: {error.strerror}"
    if readable:
        try:
            _shake_hands(context(zenoh, ssl.PROTOCOL_TLS_SERVER), context(zenoh, ssl.PROTOCOL_TLS_CLIENT))
        except ssl.SSLError as error:
            yield f"zenoh.certificate: {_why(error)}"


def context(zenoh: Zenoh, protocol: int) -> ssl.SSLContext:
    """Return how one side of a connection shows and demands certificates; raises SSLError."""
    found = ssl.SSLContext(protocol)
    found.load_verify_locations(str(zenoh.ca))
    found.load_cert_chain(str(zenoh.certificate), str(zenoh.key))
    found.check_hostname = False
    found.verify_mode = ssl.CERT_REQUIRED
    return found


def _shake_hands(one: ssl.SSLContext, two: ssl.SSLContext) -> None:
    """Let this host show its certificate to itself, as server and as client; raises SSLError."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server, client = one.wrap_bio(up, down, server_side=True), two.wrap_bio(down, up)
    waiting = [client, server]
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass


async def _reach(zenoh: Zenoh, endpoint: str) -> str:
    """Connect to a host; return what is wrong, "" if nothing is."""
    protocol, _, place = endpoint.partition("/")
    host, _, port = place.rpartition(":")
    host = host.strip("[]")
    if protocol == "quic":
        return ""  # nothing here speaks it
    secure = context(zenoh, ssl.PROTOCOL_TLS_CLIENT) if protocol == "tls" else None
    if secure:
        secure.check_hostname = True
    name = host if secure else None
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host, int(port), ssl=secure, server_hostname=name)
            try:
                if secure:
                    # A server that refuses this host's certificate says so after the handshake.
                    async with asyncio.timeout(0.5):
                        await reader.read(1)
            except TimeoutError:
                pass
            writer.close()
    except ssl.SSLError as error:
        return f"{endpoint}: {_why(error)}"
    except (OSError, TimeoutError) as error:
        return f"{endpoint}: not reachable: {error or 'no answer'}"
    return ""


def _why(error: ssl.SSLError) -> str:
    return getattr(error, "verify_message", "") or str(error.reason or error)
