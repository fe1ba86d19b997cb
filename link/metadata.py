"""What a stand-in says of itself on a bus that lets it: for which connection it stands.

omnibusd has that for others to ask, by org.omnibus.Metadata1. It is said before anything else, so that it is
there when the first message arrives.
"""

from __future__ import annotations

from typing import Final

from . import message

INTERFACE: Final = "org.omnibus.Metadata1"
SET: Final = "SetMetadata"
HOST: Final = "org.omnibus.Link.Host"
NAME: Final = "org.omnibus.Link.Name"


def of(host: str, remote: bytes) -> dict[str, str]:
    """Return what the stand-in of an id of a host says."""
    return {HOST: host, NAME: message.bus_text(remote)}
