"""EXTERNAL: the client's identity is its socket credentials (spec, "EXTERNAL"; RFC 4422, appendix A)."""

from __future__ import annotations

from .mechanism import Accepted, Answer, Challenge, Refused, parse_uid


class External:
    """One attempt. The authorization identity is a uid in ASCII decimal, or empty for the credentials' uid.

    Login names are refused, as in the reference since 1.13: looking them up may block.
    """

    def __init__(self, uid: int | None) -> None:
        self._uid = uid
        self._asked = False

    def respond(self, response: bytes) -> Answer:
        """Compare the identity with the credentials; ask once if it is empty."""
        if self._uid is None:
            return Refused("no credentials")
        if not response:
            if self._asked:
                return Accepted(self._uid)
            self._asked = True
            return Challenge()
        claimed = parse_uid(response)
        if claimed is None:
            return Refused("the identity is not a numeric uid")
        if claimed != self._uid:
            return Refused("the identity is not that of the credentials")
        return Accepted(claimed)
