"""Where rules come from: the files, or the running bus."""

from __future__ import annotations

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
