"""What one bus knows of the host on the other end of a link: its stand-ins, and what crosses.

The two peers of a pair call one another directly. Between hosts, a flow calls the same methods of ``Remote``
in the same order.

An id is how a local connection is called on the other host: its unique name, or, of a service that may be
absent, its well-known name, since its unique name changes with each start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from . import message, metadata, rules
from .config import Bus, exported, ids_of, imported, started
from .counters import Counters
from .listeners import Told
from .message import Frame
from .standin import StandIn

Wanted = frozenset[tuple[str, rules.Rule]]
"""Names of the other host, with what is wanted of their signals."""


class ClientRules(Protocol):
    """The match rules of local clients, as far as they are known."""

    def clients(self) -> Iterable[bytes]:
        """Return all clients that have rules."""

    def of(self, standin: StandIn, client: bytes) -> Iterable[rules.Parsed]:
        """Return the rules of a client, or those of them that are about a stand-in."""


REOPEN_DELAY: Final = 1.0  # seconds


class Remote(Protocol):
    """The other host."""

    def take(self, source: bytes, destination: bytes, frame: Frame, reply_serial: int) -> None:
        """Take a message of one id for another. ``reply_serial``: of a reply, in place of the one in it."""

    def take_names(self, names: dict[bytes, frozenset[str]]) -> None:
        """Take all exported names by their owner's id."""

    def take_rules(self, client: bytes, wanted: Wanted) -> None:
        """Take all rules of a client."""

    def take_gone(self, client: bytes) -> None:
        """Hear that a connection is gone, of which all that it has sent has crossed."""


class Peer:
    """The other host as this bus sees it.

    ``report`` writes a line to the log; ``catch_up`` makes the rules known that clients have added up to now;
    ``owner_changed`` takes name, old and new owner; ``later`` calls a function after a delay in seconds;
    ``standins`` are those of all hosts on this bus by their unique names: nothing passes from one to another.
    """

    def __init__(
        self,
        bus: Bus,
        host: str,
        standins: dict[bytes, StandIn],
        report: Callable[[str], None],
        catch_up: Callable[[], None],
        owner_changed: Callable[[str, str, str], None],
        later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        """Look up the user of the host; raises ConfigError."""
        self.bus = bus
        self.host = host
        self.ids = ids_of(bus, host)
        self.report = report
        self.catch_up = catch_up
        self.owner_changed = owner_changed
        self.counters = Counters()
        self.remote: Remote | None = None
        self.is_paused = False
        """Whether stand-ins read nothing, as the other host does not keep up."""
        self._later = later
        self._standins: dict[bytes, StandIn] = {}
        self._by_name = standins
        self._exported: dict[bytes, frozenset[str]] = {}
        self._ids: dict[bytes, bytes] = {}
        self._met: dict[bytes, int] = {}
        self._told: dict[bytes, Wanted] = {}
        self._imported: dict[bytes, frozenset[str]] = {}
        self._client_rules: ClientRules | None = None
        self.is_told = False
        """The bus tells stand-ins which rules concern their signals."""
        self.describes = False
        """Stand-ins say for which connections they stand."""
        self.fail = report
        """Is told why all has to begin anew."""
        self._unnamed: set[StandIn] = set()
        self.export_again: Callable[[], None] = lambda: None
        """Is called when the names may be exported that were held back."""

    @property
    def standins(self) -> Iterable[StandIn]:
        """All stand-ins of the host."""
        return self._standins.values()

    def begin(self, remote: Remote) -> None:
        """Hear that the other host is there."""
        self.remote = remote
        self.counters.links += 1
        remote.take_names(self._exported)

    def end(self) -> None:
        """Drop all that came from the other host: to clients here all its connections have ended."""
        self.remote = None
        self.is_paused = False
        for one in list(self._standins.values()):
            one.close()
            self._forget_soon(one)
        for table in (self._standins, self._met, self._told, self._imported):
            table.clear()

    def pause(self) -> None:
        """Read nothing more that would cross; the bus holds back those who send it."""
        if not self.is_paused:
            self.is_paused = True
            for one in self._standins.values():
                one.client.pause()

    def resume(self) -> None:
        """Read again."""
        self.is_paused = False
        for one in self._standins.values():
            one.client.resume()

    def reconfigured(self) -> None:
        """Import what a new configuration says."""
        self.take_names(self._imported)

    # Local names and clients.

    @property
    def requested(self) -> set[str]:
        """The names that were requested by stand-ins whose unique name is not known yet."""
        return {name for standin in self._unnamed for name in standin.wanted}

    def export(self, owners: dict[str, str], requested: set[str]) -> None:
        """Take the owners of all names that the configuration exports; tell the other host.

        ``requested`` is that of all hosts on this bus. What a stand-in does is written at once, so that its
        name may be heard of before its Hello is answered; a new owner of such a name waits for that.
        """
        found: dict[bytes, set[str]] = {name.encode(): {name} for name in started(self.bus, self.host)}
        ids: dict[bytes, bytes] = {}
        known = self._exported.keys() | self._ids.keys()
        for name, owner in sorted(owners.items()):
            if not exported(self.bus, name, self.host) or self.is_standin(owner.encode()):
                continue
            if name in requested and owner.encode() not in known:
                continue
            if name.encode() in found:
                ids.setdefault(owner.encode(), name.encode())
            else:
                found.setdefault(owner.encode(), set()).add(name)
        names = {one: frozenset(some) for one, some in found.items()}
        self._ids = ids
        if names != self._exported:
            self._exported = names
            if self.remote:
                self.remote.take_names(names)

    def id_of(self, local: bytes) -> bytes:
        """Return how a local connection is called on the other host."""
        return local if local in self._exported else self._ids.get(local, local)

    def is_standin(self, local: bytes) -> bool:
        """Tell whether a connection on this bus is a stand-in, of this host or another."""
        return local in self._by_name

    def hear_rules(self, client: bytes) -> None:
        """Hear that rules of a local client have changed; tell the other host those about its names."""
        if not self.remote or not self._client_rules or self.is_standin(client):
            return
        found: set[tuple[str, rules.Rule]] = set()
        for standin in self._standins.values():
            if standin.owned and (about := _about(self._client_rules.of(standin, client), standin)):
                standin.meet(client)
                # Under any one of its names: they have one owner.
                name = min(self._imported[standin.remote])
                found |= {(name, rule) for rule in about}
        if len(found) > self.bus.limits.rules:
            self.counters.widened += 1
            found = {(name, frozenset()) for name, _ in found}
        wanted = frozenset(found)
        if wanted != self._told.get(client, frozenset()):
            self._told[client] = wanted
            self.remote.take_rules(client, wanted)

    def listen_to(self, client_rules: ClientRules) -> None:
        """Set where the rules of local clients are known."""
        self._client_rules = client_rules
        self.is_told = isinstance(client_rules, Told)

    def owned_changed(self) -> None:
        """Tell the other host the rules anew, after a stand-in has acquired or lost a name."""
        known = self._client_rules.clients() if self._client_rules else ()
        for client in {*known, *self._told}:
            self.hear_rules(client)

    def met(self, local: bytes) -> None:
        """Count a stand-in that a local connection has to do with."""
        self._met[local] = self._met.get(local, 0) + 1

    def unmet(self, local: bytes) -> None:
        """Hear of a stand-in that a local connection is gone.

        With the last of them all that the connection has sent has crossed.
        """
        left = self._met.pop(local, 1) - 1
        if left:
            self._met[local] = left
            return
        self._told.pop(local, None)
        if self.remote:
            self.remote.take_gone(local)

    def put(self, source: bytes, destination: bytes, frame: Frame, reply_serial: int) -> None:
        """Hand a message to the other host."""
        if self.remote:
            self.counters.sent += 1
            self.counters.bytes_sent += frame.size
            self.remote.take(source, destination, frame, reply_serial)

    def put_broadcast(self, sender: bytes, client: bytes, frame: Frame) -> None:
        """Hand a signal that a rule of a remote client has matched to that client."""
        source = self.id_of(sender)
        if source in self._exported:
            self.put(source, client, frame, 0)
        else:
            self.counters.denied += 1

    def refuse(self, source: bytes, destination: bytes, reply_serial: int, name: str, why: str) -> None:
        """Answer a call from the other host with an error, as if the callee had."""
        self.counters.refused += 1
        self.put(source, destination, message.error(reply_serial, name, why).frame, reply_serial)

    # Stand-ins.

    def named(self, standin: StandIn) -> None:
        """Hear of the unique name of a stand-in."""
        self._by_name[standin.name] = standin
        self._identified(standin)

    def _identified(self, standin: StandIn) -> None:
        self._unnamed.discard(standin)
        if standin.wanted:
            self.export_again()

    def standin_lost(self, standin: StandIn, why: str) -> None:
        """Hear that the bus has ended a stand-in, which to clients is the end of the remote connection."""
        self.report(f"the stand-in of {message.bus_text(standin.remote)} is lost: {why}")
        self.counters.lost += 1
        self._drop(standin)
        # A service that is still there gets another one.
        self._later(REOPEN_DELAY, lambda: self._settle(standin.remote))

    def _wanted(self, remote: bytes) -> dict[str, bool]:
        """Return what is imported of the names of an id, and whether each has precedence."""
        names = self._imported.get(remote, frozenset())
        return dict(pair for name in names for pair in imported(self.bus, name, self.host))

    def _settle(self, remote: bytes) -> None:
        """Let the stand-in of an id own what is imported of its names; later, if there can be none now."""
        wanted = self._wanted(remote)
        standin = self._standin(remote) if wanted else self._standins.get(remote)
        if standin and wanted != standin.wanted:
            standin.want(wanted)
        elif wanted and not standin:
            self._later(REOPEN_DELAY, lambda: self._settle(remote))

    def _drop(self, standin: StandIn, *, finish: bool = False) -> None:
        if self._standins.get(standin.remote) is standin:
            del self._standins[standin.remote]
        if finish:
            standin.finish()
        else:
            standin.close()
        for local in list(standin.known):
            standin.known.discard(local)
            self.unmet(local)
        had_names = bool(standin.owned)
        standin.owned.clear()
        if had_names:
            self.owned_changed()
        self._forget_soon(standin)

    def _forget_soon(self, standin: StandIn) -> None:
        """Leave its name in the table for now: what it has sent may still be read."""
        self._later(REOPEN_DELAY, lambda: self._forget(standin))

    def _forget(self, standin: StandIn) -> None:
        self._by_name.pop(standin.name, None)
        if standin in self._unnamed:
            self._identified(standin)

    def _standin(self, remote: bytes) -> StandIn | None:
        """Return the stand-in of an id, and connect it if there is none; None: that is not possible."""
        found = self._standins.get(remote)
        if found:
            return found
        if len(self._standins) >= self.bus.limits.stand_ins:
            self.counters.refused += 1
            return None
        try:
            made = StandIn(self, remote)
        except OSError as error:
            self.report(f"no stand-in for {message.bus_text(remote)}: {error}")
            self.counters.lost += 1
            return None
        if self.describes:
            said = metadata.of(self.host, remote)
            made.client.call_bus(metadata.SET, said, interface=metadata.INTERFACE)
        self._standins[remote] = made
        self._unnamed.add(made)
        if self.is_paused:
            made.client.pause()
        return made

    # From the other host: the methods of Remote.

    def take(self, source: bytes, destination: bytes, frame: Frame, reply_serial: int) -> None:
        """Take a message for the owner of exported names, or for a connection that has begun."""
        self.counters.received += 1
        self.counters.bytes_received += frame.size
        standin = self._standins.get(source)
        if destination not in self._exported and not (standin and destination in standin.known):
            self.counters.denied += 1
            if frame.type == message.CALL and not frame.flags & message.NO_REPLY_EXPECTED:
                why = f"this is not exported to {self.host}"
                self.refuse(destination, source, frame.serial, message.ACCESS_DENIED, why)
            return
        if not standin and frame.type in (message.CALL, message.SIGNAL):
            standin = self._standin(source)
        why = standin.deliver(frame, destination, reply_serial) if standin else "too many connections"
        if why:
            if frame.type == message.CALL and not frame.flags & message.NO_REPLY_EXPECTED:
                self.refuse(destination, source, frame.serial, message.LIMITS_EXCEEDED, why)
            else:
                self.counters.denied += 1

    def take_names(self, names: dict[bytes, frozenset[str]]) -> None:
        """Own here what is imported of these names, each by the stand-in of its owner."""
        self._imported = dict(names)
        for standin in list(self._standins.values()):
            if standin.wanted and not self._wanted(standin.remote):
                if standin.is_client:
                    standin.want({})
                else:
                    self._drop(standin)
        for remote in names:
            self._settle(remote)
        self.owned_changed()

    def take_rules(self, client: bytes, wanted: Wanted) -> None:
        """Let the stand-in of a client listen."""
        valid = frozenset(
            (name, rule)
            for name, rule in wanted
            if exported(self.bus, name, self.host) and rules.is_valid(rule)
        )
        self.counters.denied += len(wanted) - len(valid)
        if len(valid) > self.bus.limits.rules:
            self.counters.widened += 1
            valid = frozenset((name, frozenset()) for name, _ in valid)
        standin = self._standin(client) if valid else self._standins.get(client)
        if standin:
            standin.listen(valid)

    def take_gone(self, client: bytes) -> None:
        """Close the stand-in of a client that is gone."""
        standin = self._standins.get(client)
        if standin:
            self._drop(standin, finish=True)


def _about(client_rules: Iterable[rules.Parsed], standin: StandIn) -> set[rules.Rule]:
    """Return what rules demand of signals of a stand-in."""
    names = standin.names
    return {one for rule in client_rules if (one := rules.about(rule, names)) is not None}
