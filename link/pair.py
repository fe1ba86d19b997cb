"""Two buses that one process can reach, linked while both are there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from .config import Config, other
from .host import Host, Refused
from .peer import Peer

RETRY_DELAY: Final = 1.0  # seconds


class Pair:
    """A link. ``report`` writes a line to the log, ``changed`` takes a line about the state."""

    def __init__(
        self, config: Config, report: Callable[[str], None], changed: Callable[[str], None] = lambda _: None
    ) -> None:
        self.config = config
        self.links = 0
        """How often the two were linked."""
        self._report = report
        self._changed = changed
        self._hosts: list[Host] = []
        self._why = ""
        self._reload = asyncio.Event()

    @property
    def peers(self) -> Iterable[tuple[str, Peer]]:
        """The host of each bus, and what it knows of the other."""
        return [(host.name, host.peer) for host in self._hosts]

    @property
    def is_up(self) -> bool:
        """Whether names cross now."""
        return bool(self._hosts) and all(host.peer.remote for host in self._hosts)

    async def run(self) -> None:
        """Link the buses, again whenever one of them comes back; raises ConfigError."""
        try:
            while True:
                await self._connect()
                await self._wait()
                self._disconnect()
                await asyncio.sleep(RETRY_DELAY)
        finally:
            self._disconnect()

    async def _connect(self) -> None:
        """Connect to both buses, however long that takes."""
        names = list(self.config.bus)
        while len(self._hosts) < len(names):
            name = names[len(self._hosts)]
            host = Host(name, other(names, name), self.config.bus[name], self._report)
            self._hosts.append(host)
            try:
                await host.connect()
            except (OSError, Refused) as error:
                self._tell(f"{name}: no bus: {error}")
                self._disconnect()
                await asyncio.sleep(RETRY_DELAY)
        first, second = self._hosts
        if first.lost.is_set() or second.lost.is_set():
            return
        first.peer.begin(second.peer)
        second.peer.begin(first.peer)
        self.links += 1
        self._tell(f"{first.name} and {second.name} are linked")

    async def _wait(self) -> None:
        """Wait until a bus is lost; apply changes of the configuration meanwhile."""
        lost = {asyncio.ensure_future(host.lost.wait()) for host in self._hosts}
        try:
            while not any(one.done() for one in lost):
                change = asyncio.ensure_future(self._reload.wait())
                done, _ = await asyncio.wait({*lost, change}, return_when=asyncio.FIRST_COMPLETED)
                change.cancel()
                if change in done and not await self._apply():
                    return
        finally:
            for one in lost:
                one.cancel()
        gone = [host.name for host in self._hosts if host.lost.is_set()]
        self._tell(f"{' and '.join(gone)}: the bus is lost")

    def reload(self, config: Config) -> None:
        """Use another configuration from now on."""
        self.config = config
        self._reload.set()

    async def _apply(self) -> bool:
        """Apply the configuration to a link that is up; return False if all has to begin anew."""
        self._reload.clear()
        for host in self._hosts:
            new = self.config.bus.get(host.name)
            if new is None or (new.address, new.user) != (host.bus.address, host.bus.user):
                return False
            if bool(new.imports) != bool(host.bus.imports):
                return False
        try:
            for host in self._hosts:
                host.reconfigure(self.config.bus[host.name])
                await host.watch_names()
            for host in self._hosts:
                host.peer.reconfigured()
        except (OSError, Refused) as error:
            self._report(str(error))
            return False
        return True

    def _disconnect(self) -> None:
        for host in self._hosts:
            host.close()
        self._hosts = []

    def _tell(self, text: str) -> None:
        """Report a state once."""
        if text != self._why:
            self._why = text
            self._report(text)
            self._changed(text)
