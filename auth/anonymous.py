"""ANONYMOUS: the client has no identity (spec, "ANONYMOUS"; RFC 4505).

It always succeeds; ``<allow_anonymous/>`` decides whether a client without identity may use the bus.
"""

from __future__ import annotations

from .mechanism import Accepted, Answer, Refused


class Anonymous:
    """One attempt. The only response is trace information: UTF-8 without NUL, which is ignored."""

    def __init__(self, uid: int | None) -> None:
        """Ignore ``uid``: the mechanism discards the client's identity."""

    def respond(self, response: bytes) -> Answer:
        """Accept any trace information that is text."""
        try:
            text = response.decode()
        except UnicodeDecodeError:
            return Refused("the trace information is not UTF-8")
        if "\0" in text:
            return Refused("the trace information contains NUL")
        return Accepted(None)
