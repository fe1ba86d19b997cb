"""Two buses that one process can reach, linked while both are there."""

from __future__ import annotations

from .link import Link


class Pair(Link):
    """A link whose peers call one another directly."""

    async def _begin(self) -> None:
        first, second = self._hosts
        if first.lost.is_set() or second.lost.is_set():
            return
        (one,), (two,) = first.peers, second.peers
        one.begin(two)
        two.begin(one)
        self._tell(f"{first.name} and {second.name} are linked")

    async def _end(self) -> None:
        """Do nothing: the peers end with their buses."""
