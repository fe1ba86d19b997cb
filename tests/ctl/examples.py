"""A command for each verb that ends by itself on a bus of any kind, for tests of all verbs."""

from __future__ import annotations

from typing import Final

NAME: Final = "com.example.Secret"
EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "status": (),
    "list": (),
    "top": ("--once", "-d", "0.2"),
    "show": (NAME,),
    "pending": ("--min=0",),
    "activation": (),
    "names": (),
    "matches": (NAME,),
    "monitor": ("-t", "0.5"),
    "capture": ("-w", "capture.pcapng", "-t", "0.5"),
    "graph": ("-t", "0.5"),
    "latency": ("-t", "0.5"),
    "upgrade": (),
    "takeover": ("--dry-run", "--pid={pid}"),
    "metrics": ("--units",),
    "log": (),
    "log-level": (),
    "group": (),
    "why": ("--last=9",),
    "policy": ("diff",),
    "check": ("--config={config}",),
    "reload": ("--config={config}",),
}
MORE: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "list": (("--gone",), ("--by=comm",)),
    "matches": ((), ("--costly",)),
    "policy": (("show",), ("map", NAME)),
    "why": ((NAME, "com.example.Secret.Call"), ("--from", NAME, "org.freedesktop.DBus", "a.b.C")),
    "log-level": (("debug",),),
}
"""Other uses of a verb that show or change something else."""


def commands(verb: str, pid: int, config: str) -> list[list[str]]:
    """Return the command lines of a verb, for a bus with this pid and configuration."""
    uses = (EXAMPLES[verb], *MORE.get(verb, ()))
    return [[verb, *(word.format(pid=pid, config=config) for word in words)] for words in uses]
