"""Where rules come from: the files, or the running bus."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..daemon.options import stock_file
from ..policy.block import decode
from ..policy.error import ConfigError
from ..policy.evaluate import Policy
from ..policy.load import load
from ..policy.rules import Rule
from ..policy.settings import Settings
from ..record import Record
from .exits import NO, Stop
from .live import Live
from .output import clock

if TYPE_CHECKING:
    from .buses import Target


class Source(Record):
    """Rules and their origin.

    settings: those of the files, None for rules of a running bus. text: the origin for a reader, and
    ``plain`` for a program.
    """

    rules: tuple[Rule, ...]
    settings: Settings | None
    text: str
    plain: dict[str, Any]

    @property
    def policy(self) -> Policy:
        """The rules as the reference evaluates them."""
        return Policy(self.rules)


def config_file(target: Target, given: str | None) -> str:
    """Return the configuration file of a bus, by default the one of its kind."""
    return given or stock_file("system" if target.kind == "system" else "session")


def read(file: str) -> Settings:
    """Return the settings of the file and of those that it includes; raises Stop."""
    try:
        return load(file)
    except ConfigError as error:
        raise Stop(NO, f"no bus would start with these files: {error}") from error


def for_bus(target: Target, given: str | None) -> Source:
    """Return the rules that a running bus has in force, or those of the files.

    The files count if one was given, if there is no bus, and if the bus does not tell; raises Stop.
    """
    if given is not None or not target.is_there():
        return from_files(config_file(target, given))
    live = Live(target)
    if live.status is None:
        source = from_files(config_file(target, None))
        return source.replace(text=f"{source.text}; the running bus was not asked: {live.why_not}")
    return running(live)


def running(live: Live) -> Source:
    """Return the rules that a bus has in force, with the settings of its files if they can be read."""
    assert live.status is not None
    rules = decode(live.inspect("GetPolicy"))
    files, loaded_at = live.status["Files"], live.status["LoadedAt"]
    changed = [file for file in files if _changed_at(file) > loaded_at / 1e6]
    text = f"running, {len(rules)} rules, loaded {clock(loaded_at)}; "
    text += f"changed since: {', '.join(changed)}: see policy diff" if changed else "files unchanged since"
    try:
        settings = load(files[0]) if files else None
    except ConfigError:
        settings = None
    plain = {"source": "running", "rules": len(rules), "loaded_realtime_us": loaded_at, "changed": changed}
    return Source(rules, settings, text, plain)


def _changed_at(file: str) -> float:
    try:
        return os.stat(file).st_mtime
    except OSError:
        return float("inf")  # it is gone


def from_files(file: str) -> Source:
    """Return the rules of files; raises Stop."""
    settings = read(file)
    rules = decode(settings.policy)
    n_files = len(settings.files)
    text = f"{file} and what it includes: {n_files} files, {len(rules)} rules"
    if settings.warnings:
        text += f", {len(settings.warnings)} warnings (omnibusctl check)"
    plain = {"source": "files", "file": file, "files": n_files, "rules": len(rules)}
    return Source(rules, settings, text, plain)
