"""What a configuration file that can't be used ends in."""

from __future__ import annotations

from typing import Any


class ConfigError(Exception):
    """A configuration file was refused.

    file: the file that is at fault, as it was named.
    line: counted from 1; 0 when no line of the file is at fault (it can't be opened, say).
    reason: one sentence, in dbus-daemon's words where it has some.
    missing: the fault is that a file does not exist, which ``<include ignore_missing="yes">`` forgives.
    column: counted from 0, where the XML is not well-formed; None if it is.
    """

    def __init__(
        self, file: str, line: int, reason: str, missing: bool = False, column: int | None = None
    ) -> None:
        super().__init__(file, line, reason, missing, column)
        self.file = file
        self.line = line
        self.reason = reason
        self.missing = missing
        self.column = column

    def __str__(self) -> str:
        if self.column is not None:
            # The one place that dbus-daemon names, and how it does it.
            return f"Error in file {self.file}, line {self.line}, column {self.column}: {self.reason}"
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.reason}"

    def to_plain(self) -> tuple[Any, ...]:
        """Return the error as marshal takes it."""
        return self.args

    @classmethod
    def from_plain(cls, plain: tuple[Any, ...]) -> ConfigError:
        """Make the error again from what to_plain() gave."""
        return cls(*plain)
