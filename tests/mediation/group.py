"""In a guest that enforces SELinux: direct messages, and what another policy means for them.

    group.py POLICIES CHANGES

Two contexts exchange messages by the kernel's group. A changed boolean, a loaded policy and setenforce each
are in force when the system call that makes them returns: a message that is sent then is denied, or passes,
as they say. Each denial has its audit record, and no message that passes has one. Raises an exception if not.
"""

from __future__ import annotations

import select
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from support.daemon import config, start
from support.message import Message, Type
from support.raw import Client

from .clients import connect
from .compare import OMNIBUSD
from .counters import counters
from .records import Records
from .selinux import SELINUXFS, SELinux
from .values import ALL, INTERFACES, LABELS, MEMBERS, MUTE, PATHS, SWITCHED

PREVENTED = "An SELinux policy prevents this sender from sending this message to this recipient"
ATTEMPTS = 1000
Change = Callable[[], None]


class Talk:
    """A client that sends to another."""

    def __init__(self, sender: Client, receiver: Client) -> None:
        self.sender, self.receiver = sender, receiver

    def send(self) -> int:
        """Call a method of the other, which does not answer."""
        self.sender.serial += 1
        call = Message(
            type=Type.METHOD_CALL,
            serial=self.sender.serial,
            destination=self.receiver.unique,
            path=PATHS[0],
            interface=INTERFACES[0],
            member=MEMBERS[0],
        )
        self.sender.send_bytes(call.encode())
        return self.sender.serial

    def passes(self) -> None:
        """Send a message that arrives."""
        serial = self.send()
        received = self.receiver.receive()
        assert (received.sender, received.serial) == (self.sender.unique, serial), received

    def passes_directly(self) -> None:
        """Send messages until one does not pass through the bus."""
        for _ in range(ATTEMPTS):
            before = counters()["direct"]
            self.passes()
            if counters()["direct"] > before:
                return
        raise AssertionError(f"nothing goes directly: {counters()}")

    def is_denied(self) -> None:
        """Send a message that the bus denies, and that does not arrive."""
        serial = self.send()
        assert not self._has_received(), "a message went directly that is denied"
        answer = self.sender.receive()
        assert (answer.type, answer.reply_serial) == (Type.ERROR, serial), answer
        assert answer.body
        assert str(answer.body[0]).startswith(PREVENTED), answer
        assert not self._has_received(), "a message was relayed that is denied"

    def _has_received(self) -> bool:
        return bool(select.select([self.receiver.socket], [], [], 0)[0])


def write(file: str, text: str) -> None:
    """Write to a file of SELinux."""
    (SELINUXFS / file).write_text(text)


def switch(state: str) -> None:
    """Set the boolean of the policy."""
    write("booleans/talks", state)
    write("commit_pending_bools", "1")


class Check:
    """A bus, and the changes that it has to bear."""

    def __init__(self, directory: Path, changes: int) -> None:
        self.module = SELinux(directory)
        self.module.prove()
        self.module.load(ALL)
        self.records = Records()
        self.changes = changes
        self.daemon = start(OMNIBUSD, config("unix:path={dir}/bus"), ["--multicast=require"])
        one, two = (connect([self.daemon.address], label, self.module)[0] for label in LABELS[:2])
        self.talk, self.back = Talk(one, two), Talk(two, one)

    def denials(self, quiet: float = 0.0) -> int:
        """Count the records of denied messages since the last question; there are no others of messages."""
        found = self.records.take(quiet).get(self.daemon.pid, {})
        messages = {text: n for text, n in found.items() if "{ send_msg }" in text}
        assert all("denied" in text for text in messages), messages
        return sum(messages.values())

    def run(self, name: str, deny: Change, allow: Change, *, directly: bool = True) -> None:
        """Let a change deny the messages, and another allow them, many times."""
        self.denials(1.0)
        found = 0
        for _ in range(self.changes):
            if directly:
                self.talk.passes_directly()
            deny()
            self.talk.is_denied()
            allow()
            self.talk.passes()
            found += self.denials()
        found += self.denials(1.0)
        expected = self.changes if directly else 2 * self.changes  # also what is not enforced, once
        assert found == expected, (name, found, expected)
        print(f"{name}: {self.changes} changes, {counters()}", flush=True)

    def changes_of_booleans(self) -> None:
        """Deny by a boolean."""
        self.module.load(SWITCHED)
        self.run("booleans", partial(switch, "0"), partial(switch, "1"))

    def changes_of_policies(self) -> None:
        """Deny by a policy that is loaded."""
        self.module.load(ALL)
        self.run("policies", partial(self.module.load, MUTE), partial(self.module.load, ALL))

    def changes_of_enforcement(self) -> None:
        """Enforce and do not: what is allowed for that reason alone is recorded, and relayed."""
        self.module.load(MUTE)
        write("enforce", "0")
        self.run("enforcing", partial(write, "enforce", "1"), partial(write, "enforce", "0"), directly=False)
        write("enforce", "1")
        self.module.load(ALL)

    def one_way(self) -> None:
        """A pair of contexts is allowed in one direction; the other direction stays denied."""
        self.module.load(MUTE)
        self.denials(1.0)
        before = counters()["direct"]
        self.back.passes_directly()
        for _ in range(20):
            self.talk.is_denied()
            self.back.passes()
        assert counters()["direct"] > before + 1, counters()
        assert self.denials(1.0) == 20
        self.module.load(ALL)
        self.talk.passes_directly()


def main() -> int:
    """Check all; return an exit status."""
    check = Check(Path(sys.argv[1]), int(sys.argv[2]))
    check.talk.passes_directly()
    print(f"direct: {counters()}", flush=True)
    check.one_way()
    print(f"one way: {counters()}", flush=True)
    check.changes_of_booleans()
    check.changes_of_policies()
    check.changes_of_enforcement()
    # the kernel would record each delivery that it refuses
    assert "security" not in counters(), counters()
    check.daemon.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
