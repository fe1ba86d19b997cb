"""One bus of a link: its names and its clients' rules, and the peers that stand for the other hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import AuthError

from . import listeners, message, metadata, rules
from .config import Bus, covers
from .listeners import Told
from .monitor import SNAPSHOT, STATS, Monitor
from .peer import Peer
from .policy import imports_of
from .standin import StandIn
from .trial import Trial

CALL_TIMEOUT: Final = 25.0  # seconds
PROPERTIES: Final = "org.freedesktop.DBus.Properties"


class Refused(Exception):
    """The bus has answered with an error."""


class Host:
    """A bus that is connected, until ``lost`` is set.

    ``others`` are the hosts that it is linked with; ``report`` writes a line to the log.
    """

    def __init__(self, name: str, others: Iterable[str], bus: Bus, report: Callable[[str], None]) -> None:
        """Look up the users; raises ConfigError."""
        self.name = name
        self.bus = bus
        self.lost = asyncio.Event()
        self._write = report
        self._owners: dict[str, str] = {}
        self._touched: set[str] | None = None
        self._watched: set[str] = set()
        self._monitor: Monitor | None = None
        self._began = asyncio.Event()
        self._control: MessageBus | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._standins: dict[bytes, StandIn] = {}
        self.peers = [
            Peer(
                bus,
                other,
                self._standins,
                self._report,
                self._catch_up,
                self._owner_changed,
                asyncio.get_running_loop().call_later,
            )
            for other in others
        ]
        for peer in self.peers:
            peer.fail = self._fail
            peer.export_again = self._export

    def _report(self, text: str) -> None:
        self._write(f"{self.name}: {text}")

    def _fail(self, why: str) -> None:
        self._report(why)
        self.lost.set()

    async def connect(self) -> None:
        """Connect, and learn names and rules; raises OSError and Refused."""
        control = MessageBus(bus_address=self.bus.address, bus_type=BusType.SYSTEM)
        try:
            await asyncio.wait_for(control.connect(), CALL_TIMEOUT)
        except (AuthError, EOFError) as error:
            raise OSError(str(error) or "the bus has refused the authentication") from error
        self._control = control
        control.add_message_handler(self._hear)
        self._watch_end(control)
        await self.watch_names()
        interfaces = await self._interfaces()
        if metadata.INTERFACE in interfaces:
            await self._let_describe()
        if self.bus.imports:
            await self._learn_rules(listeners.INTERFACE in interfaces)

    def _watch_end(self, control: Any) -> None:
        async def wait() -> None:
            try:
                await control.wait_for_disconnect()
            except (OSError, EOFError, asyncio.CancelledError):
                pass
            self.lost.set()

        task = asyncio.get_running_loop().create_task(wait())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Disconnect."""
        for peer in self.peers:
            peer.end()
        if self._monitor:
            self._monitor.close()
        if self._control:
            self._control.disconnect()
        self.lost.set()

    async def call(self, member: str, *values: Any, signature: str = "", interface: str = message.BUS) -> Any:
        """Call a method of the bus; return the first value. Raises Refused and OSError."""
        assert self._control is not None
        try:
            reply = await asyncio.wait_for(
                self._control.call(
                    Message(
                        destination=message.BUS,
                        path=message.BUS_PATH,
                        interface=interface,
                        member=member,
                        signature=signature,
                        body=list(values),
                    )
                ),
                CALL_TIMEOUT,
            )
        except (EOFError, TimeoutError) as error:
            raise OSError(f"{member}: the bus has not answered") from error
        if reply is None or reply.message_type is MessageType.ERROR:
            why = f"{reply.error_name}: {reply.body[0] if reply.body else ''}" if reply else "no reply"
            raise Refused(f"{member}: {why}")
        return reply.body[0] if reply.body else None

    # Names.

    async def watch_names(self) -> None:
        """Follow the owners of exported names, also those of a new configuration; raises as ``call``."""
        wanted = {_watch(pattern) for pattern in self.bus.exports}
        self._touched = set()
        for rule in wanted - self._watched:
            await self.call("AddMatch", rule, signature="s")
        for rule in self._watched - wanted:
            await self.call("RemoveMatch", rule, signature="s")
        self._watched = wanted
        names = await self.call("ListNames")
        found: dict[str, str] = {}
        for name in names:
            if any(covers(pattern, name) for pattern in self.bus.exports):
                try:
                    found[name] = await self.call("GetNameOwner", name, signature="s")
                except Refused:
                    pass  # it has gone
        # What was heard meanwhile is newer than the answers.
        heard = {name: self._owners[name] for name in self._touched if name in self._owners}
        self._owners = {name: owner for name, owner in found.items() if name not in self._touched} | heard
        self._touched = None
        self._export()

    def _hear(self, heard: Message) -> None:
        is_change = heard.message_type is MessageType.SIGNAL and heard.member == "NameOwnerChanged"
        if is_change and heard.sender == message.BUS and heard.signature == "sss":
            self._owner_changed(*heard.body)

    def _owner_changed(self, name: str, old: str, new: str) -> None:
        """Take a change, which comes by several connections: only the first one to tell it counts."""
        if not any(covers(pattern, name) for pattern in self.bus.exports):
            return
        if self._touched is not None:
            self._touched.add(name)
        elif self._owners.get(name, "") != old:
            return
        if new:
            self._owners[name] = new
        else:
            self._owners.pop(name, None)
        self._export()

    def _export(self) -> None:
        if self._touched is not None:
            return  # not all names are known yet
        requested = set().union(*(peer.requested for peer in self.peers))
        for peer in self.peers:
            peer.export(self._owners, requested)

    # What omnibusd does for stand-ins.

    async def _interfaces(self) -> list[str]:
        """Return the interfaces of the bus, as far as it tells them; raises OSError."""
        try:
            found = await self.call("Get", message.BUS, "Interfaces", signature="ss", interface=PROPERTIES)
        except Refused:
            return []
        return list(found.value)

    async def _let_describe(self) -> None:
        """Let stand-ins say for which connections they stand, if the bus allows it; raises OSError."""
        for peer in self.peers:
            trial = Trial(self.bus, peer.ids, metadata.SET, {}, interface=metadata.INTERFACE)
            why = await trial.refusal(CALL_TIMEOUT)
            peer.describes = not why
            if why:
                self._report(f"stand-ins of {peer.host} do not say for which connections they stand: {why}")

    async def _is_told(self) -> bool:
        """Find out whether the bus tells stand-ins who listens to them; raises OSError."""
        for ids in {peer.ids for peer in self.peers if any(imports_of(self.bus, peer.host))}:
            why = await Trial(self.bus, ids, "Watch", interface=listeners.INTERFACE).refusal(CALL_TIMEOUT)
            if why:
                self._report(f"needs a monitor, as the bus does not tell who listens: {why}")
                return False
        return True

    # Rules of clients.

    async def _learn_rules(self, can_tell: bool) -> None:
        """Begin to follow the rules of clients; report what can't be known."""
        if can_tell and await self._is_told():
            for peer in self.peers:
                peer.listen_to(Told(peer))
            return

        def end(why: str) -> None:
            if self._began.is_set():
                # Rules would be missed: all begins anew.
                self._report(f"the monitor is lost: {why}")
                self.lost.set()
            else:
                self._report(f"signals for clients here do not cross: no monitor: {why}")
                self._monitor = None
                self._began.set()

        self._monitor = Monitor(self.bus.socket, self._is_ours, self._rules_changed, end, self._began.set)
        await asyncio.wait_for(self._began.wait(), CALL_TIMEOUT)
        if not self._monitor:
            return
        for peer in self.peers:
            peer.listen_to(self._monitor)
        try:
            found = await self.call(SNAPSHOT, interface=STATS)
        except Refused as error:
            self._report(f"rules that clients have by now are unknown: {error}")
            return
        self._monitor.add_snapshot(found)

    def _is_ours(self, client: bytes) -> bool:
        control = self._control.unique_name if self._control else None
        return client == (control or "").encode() or client in self._standins

    def _rules_changed(self, client: bytes) -> None:
        for peer in self.peers:
            peer.hear_rules(client)

    def _catch_up(self) -> None:
        if self._monitor:
            self._monitor.catch_up()

    def reconfigure(self, bus: Bus) -> None:
        """Take a configuration that differs in names and limits only; ``watch_names`` has to follow."""
        self.bus = bus
        for peer in self.peers:
            peer.bus = bus


def _watch(pattern: str) -> str:
    if pattern.endswith(".*"):
        space = pattern.removesuffix(".*")
        return (
            f"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0namespace='{space}'"
        )
    return rules.owner_of(pattern)
