"""What a configuration file that can't be used ends in."""

from __future__ import annotations

from typing import Any


class ConfigError(Exception):
    """A configuration file was refused.

    file: the file that is at fault, as it was named.
    line: counted from 1; 0 when no line of the file is at fault (it can't be opened, say).
    reason: one sentence, in dbus-daemon's words where it has some.
    missing: the fault is that a file does not exist, which ``<include ignore_missing="yes">`` forgives.
    """

    def __init__(self, file: str, line: int, reason: str, missing: bool = False) -> None:
        super().__init__(file, line, reason, missing)
        self.file = file
        self.line = line
        self.reason = reason
        self.missing = missing

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.reason}"

    def to_plain(self) -> dict[str, Any]:
        """Return the error as marshal takes it."""
        return {"file": self.file, "line": self.line, "reason": self.reason, "missing": self.missing}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> ConfigError:
        """Make the error again from what to_plain() gave."""
        return cls(plain["file"], plain["line"], plain["reason"], plain["missing"])
