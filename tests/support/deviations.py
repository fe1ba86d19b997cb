"""Intended differences between omnibus and the reference, each with a name and a reason.

``@pytest.mark.deviation("name")`` marks a test of behaviour that the reference does not have. Run
against the reference such a test must fail, so that no difference is listed longer than it exists.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Deviation:
    """A difference; ``until`` is the first release of the reference that behaves like omnibus, if any."""

    reason: str
    until: tuple[int, int] | None = None


DEVIATIONS = {
    "nonce-file": Deviation("the file with the nonce is removed at the end"),
    "remote-process": Deviation("a TCP client has no process ID; the reference says 0"),
    "foreign-process": Deviation("a client of another PID namespace has no process ID; the reference says 0"),
    "entities": Deviation("a configuration that declares entities of its own is refused"),
    "journal": Deviation("the log goes to the journal with fields, not through syslog(3)"),
    "denial-place": Deviation("a denial in a log without fields ends with the place of the rule"),
    "multicast": Deviation("messages may go directly between clients, with options and a file of our own"),
    "containers": Deviation("Containers1 is there if it is switched on; builds of the reference lack it"),
    "listeners": Deviation("the owner of a name can learn who listens to it"),
    "metadata": Deviation("a connection can say something of itself"),
    "own-statistics": Deviation("Debug.Stats counts more"),
    "metrics-socket": Deviation("a passed socket that is named as that of the metrics is no bus's"),
    "unread-log": Deviation(
        "lines that a log has no room for are lost and counted; the reference waits until there is room"
    ),
    "unread-monitor": Deviation(
        "what waits for a monitor is charged to the monitor, and bounded; the reference charges the senders, "
        "from which it then stops to read"
    ),
    "denied-broadcast": Deviation(
        "a broadcast of the bus that a client must not have is seen as an error; the reference aborts"
    ),
    "error-location": Deviation(
        "every error in a configuration names file and line; the reference: only bad XML"
    ),
    "early-descriptors": Deviation(
        "descriptors that arrive before the end of authentication belong to the message they were sent with; "
        "the reference loses them or gives them to another message"
    ),
    "stray-descriptors": Deviation(
        "descriptors are for the messages that begin in the bytes that they were sent with, and what no "
        "message claims ends the connection; the reference gives them to the next message that claims some"
    ),
    "unknown-user": Deviation("a user without an entry in the user database may connect, if policy allows"),
    "unit-failure": Deviation(
        "a unit that was started for a name and fails, or whose condition is not met, is reported at once"
    ),
    "transient-unit": Deviation(
        "with --systemd-activation a service without a unit is run by systemd, in a transient one"
    ),
    "watched-files": Deviation(
        "a change of any file that the configuration was read from means a reload, and a directory made "
        "later is watched too; the reference watches the directories that are there"
    ),
    "orphans": Deviation(
        "what waits for a service goes with its sender; the reference keeps it to the time-out"
    ),
    "service-files": Deviation(
        "every change of a service file counts with the next start; the reference looks for new files only"
    ),
    "own-account": Deviation("a user without an entry in the user database may start a bus"),
    "refused-reply": Deviation(
        "a call stays pending if the policy denies its reply; with the reference the caller waits for ever"
    ),
    "linked-keyring": Deviation("a directory of cookies that is a symbolic link is refused"),
    "no-descriptors": Deviation(
        "without a descriptor for a connection it accepts none for a second; the reference tries all the time"
    ),
    "no-incomplete-connections": Deviation(
        "max_incomplete_connections=0 counts as 1; the reference accepts one connection and no more"
    ),
    "process-fd": Deviation("GetConnectionCredentials has ProcessFD", until=(1, 16)),
}


def differs(name: str, reference: tuple[int, int]) -> bool:
    """Return whether this release of the reference differs from omnibus in this."""
    until = DEVIATIONS[name].until
    return until is None or reference < until
