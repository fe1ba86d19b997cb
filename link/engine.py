"""Zenoh: which hosts are there, and packets between them. Nothing else knows of it.

Blocking calls are made by threads. What Zenoh calls runs in threads of its own, and only hands over to the
loop.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from .lane import Lane
from .zenoh_config import alive, flow

STOP_DELAY: Final = 2.0  # seconds


class Engine:
    """A session of Zenoh, in which ``host`` has lanes to others.

    ``settings`` are those of ``zenoh_config``; ``there`` takes a host, and whether it is there. What is
    received may be called until ``stop`` has returned.
    """

    def __init__(
        self,
        host: str,
        lanes: Mapping[str, Lane],
        settings: Mapping[str, Any],
        there: Callable[[str, bool], None],
    ) -> None:
        self._host = host
        self._lanes = lanes
        self._settings = settings
        self._there = there
        self._loop = asyncio.get_running_loop()
        self._session: Any = None
        self._declared: list[Any] = []

    async def start(self) -> None:
        """Listen, and connect for as long as it takes; raises OSError."""
        try:
            import zenoh
        except ImportError as error:
            raise OSError(f"{error}: install omnibus-dbus[link]") from error
        zenoh.try_init_log_from_env()  # type: ignore[no-untyped-call]
        try:
            await self._loop.run_in_executor(None, self._open, zenoh)
        except zenoh.ZError as error:
            raise OSError(f"Zenoh: {error}") from error

    def _open(self, zenoh: Any) -> None:
        config = zenoh.Config()
        for key, value in self._settings.items():
            config.insert_json5(key, json.dumps(value))
        session = self._session = zenoh.open(config)
        for other, lane in self._lanes.items():
            publisher = session.declare_publisher(
                flow(self._host, other),
                congestion_control=zenoh.CongestionControl.BLOCK,
                reliability=zenoh.Reliability.RELIABLE,
                express=True,
            )
            lane.start(publisher.put)
            # In Zenoh's own thread: between it and another one there would be a queue without a bound.
            callback = zenoh.handlers.Callback(_arrival(lane), indirect=False)
            self._declared += [publisher, session.declare_subscriber(flow(other, self._host), callback)]
        live = session.liveliness()
        for other in self._lanes:
            changed = self._change(other, zenoh.SampleKind.PUT)
            self._declared.append(live.declare_subscriber(alive(other), changed, history=True))
        self._declared.append(live.declare_token(alive(self._host)))

    def _change(self, other: str, put: Any) -> Callable[[Any], None]:
        def changed(sample: Any) -> None:
            self._loop.call_soon_threadsafe(self._there, other, sample.kind == put)

        return changed

    async def stop(self) -> None:
        """Disconnect. Hosts that take nothing are not waited for."""
        for lane in self._lanes.values():
            lane.stop()
        session, self._session = self._session, None
        if session is not None:
            closing = self._loop.run_in_executor(None, session.close)
            await asyncio.wait({closing}, timeout=STOP_DELAY)
        self._declared.clear()


def _arrival(lane: Lane) -> Callable[[Any], None]:
    arrive = lane.arrive
    return lambda sample: arrive(sample.payload.to_bytes())
