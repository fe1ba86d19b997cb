"""ANONYMOUS: the client is nobody (spec, "ANONYMOUS"; RFC 4505).

It always succeeds; whether somebody without identity may use the bus is for ``<allow_anonymous/>`` to say.
"""

from __future__ import annotations

from .mechanism import Accepted, Answer, Refused


class Anonymous:
    """One attempt. The only response is trace information: UTF-8 without NUL, of which nothing is made."""

    def __init__(self, uid: int | None) -> None:
        """``uid`` is what the mechanism is there to forget."""

    def respond(self, response: bytes) -> Answer:
        """Accept any trace information that is text."""
        try:
            text = response.decode()
        except UnicodeDecodeError:
            return Refused("the trace information is not UTF-8")
        if "\0" in text:
            return Refused("the trace information contains NUL")
        return Accepted(None)
