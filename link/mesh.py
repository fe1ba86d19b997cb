"""A bus and those of other hosts, each linked while it is there."""

from __future__ import annotations

import functools
from collections.abc import Callable

from .config import Config
from .engine import Engine
from .flow import Flow
from .lane import Lane
from .link import Link
from .zenoh_config import Zenoh, settings


class Mesh(Link):
    """A link whose peers reach others by Zenoh."""

    def __init__(
        self, config: Config, report: Callable[[str], None], changed: Callable[[str], None] = lambda _: None
    ) -> None:
        super().__init__(config, report, changed)
        self.flows: dict[str, Flow] = {}
        self._engine: Engine | None = None
        self._used: object = None

    async def _begin(self) -> None:
        (host,) = self._hosts
        zenoh = self.config.zenoh
        assert zenoh is not None
        limits = host.bus.limits
        lanes = {peer.host: Lane(peer.host, limits.queue + limits.max_message) for peer in host.peers}
        for peer in host.peers:
            lane = lanes[peer.host]
            one = Flow(peer, lane, self._changed_flow, zenoh.lease)
            overflow = functools.partial(one.fail, "it has sent more than there was room for", True)
            lane.connect(one.receive, overflow)
            self.flows[peer.host] = one
        self._used = _used(zenoh)
        found = settings(zenoh, host.name, lanes, limits.max_message)
        self._engine = Engine(host.name, lanes, found, self._set_there)
        await self._engine.start()
        self._tell(f"{host.name} waits for {', '.join(lanes)}")

    async def _end(self) -> None:
        flows, self.flows = self.flows, {}
        for one in flows.values():
            one.close()
        engine, self._engine = self._engine, None
        if engine:
            await engine.stop()

    def _set_there(self, host: str, is_there: bool) -> None:
        if host in self.flows:
            self.flows[host].set_there(is_there)

    def _changed_flow(self, text: str) -> None:
        self._report(text)
        self._changed("; ".join(one.state for one in self.flows.values()))

    async def _apply(self) -> bool:
        try:
            is_same = self.config.zenoh is not None and self._used == _used(self.config.zenoh)
        except OSError:
            is_same = False  # reported when it begins anew
        return is_same and await super()._apply()


def _used(zenoh: Zenoh) -> object:
    """Return what differs if there has to be another session: settings, certificates. Raises OSError."""
    return zenoh, [path.read_bytes() for _, path in zenoh.files]
