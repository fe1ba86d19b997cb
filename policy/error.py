"""The error of a configuration file that can't be used."""

from __future__ import annotations

from typing import Any


class ConfigError(Exception):
    """A configuration file was refused.

    file: the path of the file, as it was given.
    line: counted from 1; 0 if the error is not in a line (the file can't be opened, for example).
    reason: one sentence, in dbus-daemon's words where it reports the same.
    missing: the file does not exist, which ``<include ignore_missing="yes">`` allows.
    column: counted from 0, of XML that is not well-formed; otherwise None.
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
            # The only position that dbus-daemon prints, in its format.
            return f"Error in file {self.file}, line {self.line}, column {self.column}: {self.reason}"
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.reason}"

    def to_plain(self) -> tuple[Any, ...]:
        """Return the error as a tuple that marshal can write."""
        return self.args

    @classmethod
    def from_plain(cls, plain: tuple[Any, ...]) -> ConfigError:
        """Return the error of a tuple from to_plain()."""
        return cls(*plain)
