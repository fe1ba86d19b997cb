"""A bus and those of other hosts, each linked while it is there."""

from __future__ import annotations

import functools
from collections.abc import Callable

from .certificates import Certificates, Unusable
from .config import Config, ConfigError
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
        self._used: Zenoh | None = None
        self._certificates: Certificates | None = None
        self._next: Certificates | None = None

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
        self._used = zenoh
        paths = self._begin_with(zenoh).paths
        found = settings(zenoh, host.name, lanes, limits.max_message, paths)
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

    def _begin_with(self, zenoh: Zenoh) -> Certificates:
        """Return the certificates of the next session, which are those of the last one but after a reload."""
        if self._next is None and self._certificates is None:
            try:
                self._next = Certificates(zenoh)
            except Unusable as error:
                raise OSError(str(error)) from error
        if self._next:
            if self._certificates:
                self._certificates.close()
            self._certificates, self._next = self._next, None
        assert self._certificates
        return self._certificates

    def _set_there(self, host: str, is_there: bool) -> None:
        if host in self.flows:
            self.flows[host].set_there(is_there)

    def _changed_flow(self, text: str) -> None:
        self._report(text)
        self._changed("; ".join(one.state for one in self.flows.values()))

    def reload(self, config: Config) -> None:
        """Use another configuration from now on; raises ConfigError if its certificates can't be used.

        Zenoh reads those of a port that listens once: if they have changed there has to be another session.
        """
        assert config.zenoh is not None
        try:
            found = Certificates(config.zenoh)
        except (Unusable, OSError) as error:
            raise ConfigError(str(error)) from error
        if self._next:
            self._next.close()
        is_same = self._certificates is not None and found.contents == self._certificates.contents
        self._next = None if is_same else found
        if is_same:
            found.close()
        super().reload(config)

    async def _apply(self) -> bool:
        return not self._next and self._used == self.config.zenoh and await super()._apply()
