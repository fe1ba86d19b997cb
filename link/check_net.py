"""What is missing for a link by Zenoh: the library, certificates, other hosts.

Hosts are tried by a handshake with Python's own TLS: it says what Zenoh would say only in its log.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import ssl
from typing import Final

from . import certificates
from .zenoh_config import Zenoh

PATIENCE: Final = 5.0  # seconds
REFUSAL_DELAY: Final = 0.5


async def findings(zenoh: Zenoh) -> list[str]:
    """Return what is wrong."""
    found = []
    if importlib.util.find_spec("zenoh") is None:
        found.append("eclipse-zenoh is not installed: install omnibus-dbus[link]")
    if zenoh.is_secure:
        found += certificates.findings(zenoh)
    if not found:
        tries = await asyncio.gather(*(reach(zenoh, endpoint) for endpoint in zenoh.connect))
        found += [line for line in tries if line]
    return found


async def reach(zenoh: Zenoh, endpoint: str) -> str:
    """Connect to a host; return what is wrong, "" if nothing is."""
    protocol, _, place = endpoint.partition("/")
    host, _, port = place.rpartition(":")
    host = host.strip("[]")
    if protocol == "quic":
        return ""  # nothing here speaks it
    secure = certificates.context(dict(zenoh.files), ssl.PROTOCOL_TLS_CLIENT) if protocol == "tls" else None
    if secure:
        secure.check_hostname = True
    name = host if secure else None
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host, int(port), ssl=secure, server_hostname=name)
            with contextlib.closing(writer):
                refusal = await _refusal(reader, writer) if secure else ""
                return f"{endpoint}: {refusal}" if refusal else ""
    except ssl.SSLError as error:
        return f"{endpoint}: {certificates.why(error)}"
    except (OSError, TimeoutError) as error:
        return f"{endpoint}: not reachable: {error or 'no answer'}"


async def _refusal(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """Return why a host that has answered is none to be linked with, "" if it is one."""
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    if certificates.is_authority(shown):
        return "it shows the certificate of an authority (CA:TRUE), which is not accepted"
    try:
        # A server that refuses this host's certificate says so after the handshake.
        async with asyncio.timeout(REFUSAL_DELAY):
            await reader.read(1)
    except TimeoutError:
        pass
    return ""
