"""Server addresses (spec, "Server Addresses")."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes


def fields(address: str) -> tuple[str, dict[str, bytes]]:
    """Split one address into its transport and its unescaped keys and values."""
    transport, _, rest = address.partition(":")
    pairs = (pair.partition("=") for pair in rest.split(",") if pair)
    return transport, {key: unquote_to_bytes(value) for key, _, value in pairs}


def socket_name(address: str) -> bytes:
    """Convert a connectable Unix address, the first of several, to the argument of ``connect``."""
    transport, keys = fields(address.split(";")[0])
    assert transport in ("unix", "unix-seqpacket"), address
    return keys["path"] if "path" in keys else b"\0" + keys["abstract"]


def guid(address: str) -> str:
    """Return the GUID in an address."""
    return fields(address.split(";")[0])[1]["guid"].decode()
