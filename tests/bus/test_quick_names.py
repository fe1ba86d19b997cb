"""Names requested and released without waiting: all clients must have seen the same events at the end.

Requests for an undisputed name are answered by the data plane, disputed ones by the control plane. Clients
must not see the difference.
"""

from __future__ import annotations

import random

import pytest

from support.claimants import ALLOW_REPLACEMENT, IN_QUEUE, PRIMARY_OWNER, RELEASED, REPLACE_EXISTING
from support.daemon import OPEN_POLICY, Daemon, config
from support.message import Message, Type
from support.raw import BUS, BUS_PATH, ERROR, BusError, Client

from .conftest import Connect, StartDaemon

NAMES = tuple(f"org.example.Wanted{letter}" for letter in "ABC")
CHANGES = f"type='signal',sender='{BUS}',member='NameOwnerChanged'"


def ask(client: Client, member: str, signature: str, *body: object) -> Message:
    return client.message(
        Type.METHOD_CALL,
        signature,
        *body,
        destination=BUS,
        path=BUS_PATH,
        interface=BUS,
        member=member,
    )


def request(client: Client, name: str, flags: int = 0) -> Message:
    return ask(client, "RequestName", "su", name, flags)


def release(client: Client, name: str) -> Message:
    return ask(client, "ReleaseName", "s", name)


def send_together(client: Client, *messages: Message) -> None:
    client.send_bytes(b"".join(bytes(message.encode()) for message in messages))


class TestTogether:
    """Calls in one write are answered one after the other."""

    def test_order(self, client: Client, other: Client, name: str) -> None:
        """NameAcquired and NameLost come before the replies, and later calls see the change."""
        other.match(f"{CHANGES},arg0='{name}'")
        calls = [
            request(client, name),
            ask(client, "GetNameOwner", "s", name),
            release(client, name),
            ask(client, "NameHasOwner", "s", name),
        ]
        send_together(client, *calls)
        client.expect(member="NameAcquired", body=(name,))
        client.expect(reply_serial=calls[0].serial, body=(PRIMARY_OWNER,))
        client.expect(reply_serial=calls[1].serial, body=(client.unique,))
        client.expect(member="NameLost", body=(name,))
        client.expect(reply_serial=calls[2].serial, body=(RELEASED,))
        client.expect(reply_serial=calls[3].serial, body=(False,))
        other.expect(member="NameOwnerChanged", body=(name, "", client.unique))
        other.expect(member="NameOwnerChanged", body=(name, client.unique, ""))

    def test_many(self, client: Client, other: Client, name: str) -> None:
        """More claims than the data plane keeps before it has reported them."""
        count = 1500
        other.match(f"{CHANGES},arg0='{name}'")
        for _ in range(count // 50):
            send_together(
                client, *(one for _ in range(50) for one in (request(client, name), release(client, name)))
            )
            for _ in range(50):
                client.expect(member="NameAcquired")
                client.expect(type=Type.METHOD_RETURN, body=(PRIMARY_OWNER,))
                client.expect(member="NameLost")
                client.expect(type=Type.METHOD_RETURN, body=(RELEASED,))
        for _ in range(count):
            other.expect(member="NameOwnerChanged", body=(name, "", client.unique))
            other.expect(member="NameOwnerChanged", body=(name, client.unique, ""))

    def test_flags_count_at_once(self, client: Client, other: Client, name: str) -> None:
        """The next claimant finds an owner with the flags of its request."""
        for flags, result in ((0, IN_QUEUE), (ALLOW_REPLACEMENT, PRIMARY_OWNER)):
            client.driver("RequestName", "su", name, flags)
            assert other.driver("RequestName", "su", name, REPLACE_EXISTING) == result
            other.driver("ReleaseName", "s", name)
            client.driver("ReleaseName", "s", name)


class TestOthers:
    def test_after_a_disconnect(self, connect: Connect, client: Client, name: str) -> None:
        """The name is ours at the end, whether the old owner's disconnect comes before or after."""
        for _ in range(20):
            owner = connect()
            owner.own(name)
            owner.close()
            client.driver("RequestName", "su", name, 0)
            client.take(member="NameAcquired", body=(name,))
            client.driver("ReleaseName", "s", name)

    def test_refused(self, start_daemon: StartDaemon) -> None:
        """The policy is evaluated each time, also right after an allowed request."""
        policy = OPEN_POLICY.replace('own="*"', f'own="{NAMES[0]}"')
        client = start_daemon(config("unix:path={dir}/bus", policy=policy)).connect()
        assert client.own(NAMES[0]) == PRIMARY_OWNER
        with pytest.raises(BusError) as caught:
            client.driver("RequestName", "su", NAMES[1], 0)
        assert caught.value.name == ERROR + "AccessDenied"

    def test_limit(self, limited: StartDaemon) -> None:
        """max_names_per_connection, the unique name among them."""
        client = limited(max_names_per_connection=3).connect()
        calls = [request(client, name) for name in NAMES]
        send_together(client, *calls, release(client, NAMES[0]), request(client, NAMES[2]))
        for name in NAMES[:2]:
            client.expect(member="NameAcquired", body=(name,))
            client.expect(body=(PRIMARY_OWNER,))
        assert client.receive().error_name == ERROR + "LimitsExceeded"
        client.expect(member="NameLost", body=(NAMES[0],))
        client.expect(body=(RELEASED,))
        client.expect(member="NameAcquired", body=(NAMES[2],))
        client.expect(body=(PRIMARY_OWNER,))

    def test_monitor(self, bus: Daemon, name: str) -> None:
        """A monitor sees a call before its consequences."""
        client, monitor = bus.connect(), bus.connect()
        monitor.driver("BecomeMonitor", "asu", [], 0, interface=f"{BUS}.Monitoring")
        client.own(name)
        monitor.take(member="RequestName", sender=client.unique)
        monitor.inbox.clear()
        monitor.expect(member="NameOwnerChanged", body=(name, "", client.unique))
        monitor.expect(member="NameAcquired", body=(name,))
        monitor.expect(type=Type.METHOD_RETURN, body=(PRIMARY_OWNER,))


class TestChaos:
    """Clients that request, release and disconnect without reading the replies."""

    CLIENTS, ROUNDS = 6, 12

    def step(self, chance: random.Random, client: Client) -> Message:
        name = chance.choice(NAMES)
        if chance.random() < 0.5:
            return release(client, name)
        return request(client, name, chance.choice([0, 0, 1, 2, 3, 4, 5]))

    def follow(self, watcher: Client, owners: dict[str, str]) -> None:
        """Each change begins with the owner of the previous one."""
        watcher.sync()
        for message in watcher.inbox:
            if message.member == "NameOwnerChanged" and message.body[0] in owners:
                name, old, new = message.body
                assert owners[name] == old
                owners[name] = new
        watcher.inbox.clear()

    def compare(self, watcher: Client, owners: dict[str, str]) -> None:
        """Both planes report the same owners as the signals that a client received."""
        for name, owner in owners.items():
            assert watcher.driver("NameHasOwner", "s", name) == bool(owner)
            if owner:
                assert watcher.driver("GetNameOwner", "s", name) == owner
                assert watcher.driver("ListQueuedOwners", "s", name)[0] == owner

    @pytest.mark.parametrize("seed", range(4))
    def test_random(self, start_daemon: StartDaemon, seed: int) -> None:
        chance = random.Random(seed)
        daemon = start_daemon(config("unix:path={dir}/bus"))
        watcher = daemon.connect()
        watcher.match(CHANGES)
        owners = dict.fromkeys(NAMES, "")
        clients = [daemon.connect() for _ in range(self.CLIENTS)]
        for _ in range(self.ROUNDS):
            for _ in range(4):
                for client in clients:
                    send_together(client, *(self.step(chance, client) for _ in range(chance.randrange(1, 9))))
            for place in chance.sample(range(self.CLIENTS), 2):
                clients[place].close()
                clients[place] = daemon.connect()
            for client in clients:
                client.sync()
                client.inbox.clear()
            self.follow(watcher, owners)
        gone = [client.unique for client in clients]
        for client in clients:
            client.close()
        while any(watcher.driver("NameHasOwner", "s", unique) for unique in gone):
            pass
        self.follow(watcher, owners)
        assert owners == dict.fromkeys(NAMES, "")
        assert "wrong about the owners" not in daemon.stderr

    def test_planes_agree(self, bus: Daemon) -> None:
        """After any random sequence the planes agree."""
        chance = random.Random(7)
        watcher, *clients = (bus.connect() for _ in range(4))
        watcher.match(CHANGES)
        owners = dict.fromkeys(NAMES, "")
        for _ in range(40):
            for client in clients:
                send_together(client, *(self.step(chance, client) for _ in range(3)))
            for client in clients:
                client.sync()
                client.inbox.clear()
            self.follow(watcher, owners)
            self.compare(watcher, owners)
