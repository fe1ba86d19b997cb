"""The keys of the JSON objects: those in schema.json stay, with their types; new ones may come.

SCHEMA=write .venv/bin/pytest tests/ctl/test_schema.py      adds the new ones
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from .conftest import Ctl
from .world import World

FILE = Path(__file__).with_name("schema.json")
ECHO = "com.example.Echo"
OBJECTS = {
    "why": ["why", "--user=daemon", ECHO, "com.example.Read.Get"],
    "why denied": ["why", "--user=daemon", ECHO, "com.example.Write.Set"],
    "why --own": ["why", "--own", ECHO],
    "why --connect": ["why", "--connect"],
    "why --last": ["why", "--last"],
    "policy show": ["policy", "show"],
    "policy map": ["policy", "map", ECHO],
    "policy diff": ["policy", "diff"],
    "check": ["check", "--strict", "--config={dir}/bus.conf"],
    "reload": ["reload"],
    "status": ["status"],
    "list": ["list"],
    "list --by": ["list", "--by=uid"],
    "list --gone": ["list", "--gone"],
    "show": ["show", ECHO],
    "pending": ["pending", "--min=0"],
    "activation": ["activation"],
    "names": ["names"],
    "matches": ["matches"],
    "matches --costly": ["matches", "--costly"],
    "group": ["group"],
    "graph": ["graph", "-t", "1"],
    "latency": ["latency", "com.example.Clock", "-t", "1"],
    "metrics": ["metrics"],
    "log-level": ["log-level"],
    "capture": ["capture", "-w", "capture.pcapng", "-t", "0.3"],
}
STREAMS = {
    "top": ["top", "--once", "-d", "0.1"],
    "monitor": ["monitor", "com.example.Clock", "-n", "4"],
    "log": ["log"],
}
OPEN = {
    *("status.status.Limits", "status.totals", "status.status.Closed", "status.users", "top.totals"),
    *("group.asked", "policy map.access[].call", "policy map.access[].exceptions"),
    *("metrics[].samples[].labels", "monitor.body"),
}
"""Objects whose keys are no part of the schema: names of limits, counters, users; and arguments."""


NAMES = {bool: "boolean", int: "number", float: "number", str: "string", dict: "object", list: "array"}
Types = dict[str, set[str]]
"""The types of all values by their paths; the elements of an array share one."""


def shape(path: str, value: Any) -> Types:
    found: Types = {path: {NAMES.get(type(value), "null")}}
    if path in OPEN:
        return found
    if isinstance(value, dict):
        for key, one in value.items():
            found = join(found, shape(f"{path}.{key}", one))
    elif isinstance(value, list):
        for one in value:
            found = join(found, shape(f"{path}[]", one))
    return found


def join(one: Types, other: Types) -> Types:
    return {path: one.get(path, set()) | other.get(path, set()) for path in {**one, **other}}


def read(ctl: Ctl, world: World) -> Types:
    found: Types = {}
    for name, arguments in {**OBJECTS, **STREAMS}.items():
        words = [one.replace("{dir}", str(world.daemon.directory)) for one in arguments]
        done = ctl("--json", "--address", world.daemon.address, *words)
        assert done.err == "", name
        if name in OBJECTS:
            found |= shape(name, done.json())
            continue
        for line in done.out.splitlines():
            event = json.loads(line)
            assert event.pop("schema") == 1
            found = join(found, shape(name, event))
    return found


def test_keys_stay(ctl: Ctl, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that was there is there, with no other type than it had; null says that a value is unknown."""
    monkeypatch.chdir(world.directory)
    found = read(ctl, world)
    stored: dict[str, str] = json.loads(FILE.read_text()) if FILE.exists() else {}
    known = {path: set(kinds.split()) for path, kinds in stored.items()}
    if os.environ.get("SCHEMA") == "write":
        both = sorted(join(known, found).items())
        FILE.write_text(json.dumps({path: " ".join(sorted(kinds)) for path, kinds in both}, indent=0) + "\n")
        return
    # What an array has depends on what happens to be there: a path below one may be missing.
    assert {path for path in known if path not in found and "[]" not in path} == set()
    assert {path for path, kinds in found.items() if not kinds <= known.get(path, kinds) | {"null"}} == set()
