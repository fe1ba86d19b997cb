"""What all links have: buses that are connected, again whenever one of them comes back."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Final

from .config import Config
from .host import Host, Refused
from .peer import Peer

RETRY_DELAY: Final = 1.0  # seconds


class Link(ABC):
    """A link. ``report`` writes a line to the log, ``changed`` takes a line about the state.

    A kind of link says in ``_begin`` and ``_end`` what connects the peers of its buses with others.
    """

    def __init__(
        self, config: Config, report: Callable[[str], None], changed: Callable[[str], None] = lambda _: None
    ) -> None:
        self.config = config
        self._report = report
        self._changed = changed
        self._hosts: list[Host] = []
        self._state = ""
        self._reload = asyncio.Event()

    @property
    def peers(self) -> Iterable[tuple[str, Peer]]:
        """The host of each bus, and what it knows of another."""
        return [(host.name, peer) for host in self._hosts for peer in host.peers]

    @abstractmethod
    async def _begin(self) -> None:
        """Link the buses, all of which are connected; raises OSError."""

    @abstractmethod
    async def _end(self) -> None:
        """Undo ``_begin``, also if it has failed."""

    async def run(self) -> None:
        """Link the buses, again whenever one of them comes back; raises ConfigError."""
        try:
            while True:
                await self._connect()
                await self._wait()
                await self._disconnect()
                await asyncio.sleep(RETRY_DELAY)
        finally:
            await self._disconnect()

    async def _connect(self) -> None:
        """Connect to all buses and begin, however long that takes."""
        while True:
            try:
                for name in self.config.bus:
                    await self._connect_bus(name)
                await self._begin()
            except (OSError, Refused) as error:
                self._tell(str(error))
                await self._disconnect()
                await asyncio.sleep(RETRY_DELAY)
            else:
                return

    async def _connect_bus(self, name: str) -> None:
        host = Host(name, self.config.others(name), self.config.bus[name], self._report)
        self._hosts.append(host)
        try:
            await host.connect()
        except (OSError, Refused) as error:
            raise OSError(f"{name}: no bus: {error}") from error

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
        """Use another configuration from now on; raises ConfigError if it can't be used."""
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
                for peer in host.peers:
                    peer.reconfigured()
        except (OSError, Refused) as error:
            self._report(str(error))
            return False
        return True

    async def _disconnect(self) -> None:
        # The buses first: to clients the others' connections end at once, however long the rest takes.
        for host in self._hosts:
            host.close()
        await self._end()
        self._hosts = []

    def _tell(self, text: str) -> None:
        """Report a state once."""
        if text != self._state:
            self._state = text
            self._report(text)
            self._changed(text)
