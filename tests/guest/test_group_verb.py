"""omnibusctl group, and what the other verbs say of messages that the bus does not see."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.daemon import Daemon
from support.direct import GROUP, echo, needs_group, wait_until_direct

from .conftest import Tell

pytestmark = [needs_group, pytest.mark.deviation("multicast")]
PROGRAM = Path(__file__).parents[2] / ".venv/bin/omnibusctl"
CALLS = 20


def ctl(bus: Daemon, *arguments: str) -> Any:
    done = subprocess.run(
        [PROGRAM, "--json", "--address", bus.address, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done
    return json.loads(done.stdout)["data"]


def test_group(bus: Daemon, way: str, tell: Tell) -> None:
    """Members, and messages that went directly or came to the bus all the same, each with its reason."""
    asker, caller, callee = bus.connect(), bus.connect(), bus.connect()
    if way == GROUP:
        wait_until_direct(asker, caller, callee, by=lambda: echo(caller, callee))
    before = ctl(bus, "group")
    for number in range(CALLS):
        echo(caller, callee, number)
    caller.driver("GetId")
    after = ctl(bus, "group")
    passed = after["direct_messages"] - before["direct_messages"]
    if way == GROUP:
        assert after["way"].startswith("directly"), after
        assert after["members"] >= 2
        assert CALLS <= passed <= 2 * CALLS
        assert after["asked"]["verdict"] > before["asked"]["verdict"], "a call to the bus asks"
    else:
        assert (after["members"], passed, after["asked"]) == (0, 0, {})
    text = subprocess.run(
        [PROGRAM, "--address", bus.address, "group"], capture_output=True, text=True, check=True
    )
    assert text.stdout.startswith(f"messages go {after['way']}\n")
    tell(text.stdout)


def test_other_verbs(bus: Daemon, way: str) -> None:
    """Counters have what went directly, and a monitor sees everything, since with one nothing does."""
    asker, caller, callee = bus.connect(), bus.connect(), bus.connect()
    if way == GROUP:
        wait_until_direct(asker, caller, callee, by=lambda: echo(caller, callee))
    rows = {one["name"]: one for one in ctl(bus, "list")}
    for number in range(CALLS):
        echo(caller, callee, number)
    later = {one["name"]: one for one in ctl(bus, "list")}
    sent = later[caller.unique]["messages_in"] - rows[caller.unique]["messages_in"]
    assert sent == CALLS
    found = {one["name"]: one["samples"] for one in ctl(bus, "metrics")}
    (direct,) = found["omnibus_messages_direct"]
    assert (direct["value"] > 0) == (way == GROUP)
    (members,) = found["omnibus_group_members"]
    assert (members["value"] > 0) == (way == GROUP)
    assert ctl(bus, "status")["status"]["Way"].startswith("directly") == (way == GROUP)
