"""The grammar of a configuration file: elements, their parents, attributes and content.

Values are checked elsewhere. As in dbus-daemon anything unknown is an error: a typing error in a security
policy must not be ignored.
"""

from __future__ import annotations

import os
import pyexpat
import stat
from collections.abc import Mapping
from typing import NoReturn

from ..record import Record
from .error import ConfigError

# dbus-daemon's limit.
MAX_FILE_SIZE = 1024 * 1024

_WHITE_SPACE = " \t\r\n"

_MESSAGE_FIELDS = ("interface", "member", "error", "path", "type", "requested_reply")
_RULE_ATTRIBUTES = frozenset(
    {f"{side}_{field}" for side in ("send", "receive") for field in _MESSAGE_FIELDS}
    | {"send_destination", "send_destination_prefix", "send_broadcast", "receive_sender"}
    | {"eavesdrop", "min_fds", "max_fds", "log", "own", "own_prefix", "user", "group"}
)


class Shape(Record):
    """The attributes of an element, and its content: either text, which is required then, or elements."""

    attributes: frozenset[str] = frozenset()
    text: bool = False
    children: frozenset[str] = frozenset()


_FLAG = Shape()
_TEXT = Shape(text=True)

_BUSCONFIG_CHILDREN: dict[str, Shape] = {
    "type": _TEXT,
    "user": _TEXT,
    "fork": _FLAG,
    "keep_umask": _FLAG,
    "syslog": _FLAG,
    "listen": _TEXT,
    "auth": _TEXT,
    "allow_anonymous": _FLAG,
    "pidfile": _TEXT,
    "include": Shape(frozenset({"ignore_missing", "if_selinux_enabled", "selinux_root_relative"}), text=True),
    "includedir": _TEXT,
    "servicedir": _TEXT,
    "standard_session_servicedirs": _FLAG,
    "standard_system_servicedirs": _FLAG,
    "servicehelper": _TEXT,
    "limit": Shape(frozenset({"name"}), text=True),
    "policy": Shape(
        frozenset({"context", "user", "group", "at_console"}), children=frozenset({"allow", "deny"})
    ),
    "selinux": Shape(children=frozenset({"associate"})),
    "apparmor": Shape(frozenset({"mode"})),
}

SHAPES: dict[str, Shape] = _BUSCONFIG_CHILDREN | {
    "busconfig": Shape(children=frozenset(_BUSCONFIG_CHILDREN)),
    "allow": Shape(_RULE_ATTRIBUTES),
    "deny": Shape(_RULE_ATTRIBUTES),
    "associate": Shape(frozenset({"own", "context"})),
}

# omnibus's own file.
_OMNIBUSCONFIG_CHILDREN: dict[str, Shape] = {
    "multicast": _TEXT,
    "trust": _TEXT,
    "standby": _TEXT,
    "containers": _TEXT,
}

OWN_SHAPES: dict[str, Shape] = _OMNIBUSCONFIG_CHILDREN | {
    "omnibusconfig": Shape(children=frozenset(_OMNIBUSCONFIG_CHILDREN)),
}


class Element:
    """One element; text is its content including white space."""

    def __init__(self, name: str, attributes: dict[str, str], file: str, line: int, text: str = "") -> None:
        self.name = name
        self.attributes = attributes
        self.file = file
        self.line = line
        self.text = text
        self.children: list[Element] = []

    def fail(self, reason: str) -> NoReturn:
        """Raise ConfigError with the place of this element."""
        raise ConfigError(self.file, self.line, reason)


def read_file(file: str) -> bytes:
    """Return the bytes of a configuration file.

    Raises ConfigError if it doesn't exist (``missing``), can't be read, is too large or not a regular file.
    """
    try:
        # O_NONBLOCK: a FIFO must not block.
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise ConfigError(file, 0, f'Failed to open "{file}": {error.strerror}', missing) from None
    try:
        status = os.fstat(fd)
        if status.st_size > MAX_FILE_SIZE:
            raise ConfigError(file, 0, f'File size {status.st_size} of "{file}" is too large.')
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(file, 0, f'"{file}" is not a regular file')
        return os.read(fd, MAX_FILE_SIZE)
    except OSError as error:
        raise ConfigError(file, 0, f'Error reading "{file}": {error.strerror}') from None
    finally:
        os.close(fd)


def parse(data: bytes, file: str, root: str = "busconfig", shapes: Mapping[str, Shape] = SHAPES) -> Element:
    """Return the root element of a configuration file's bytes.

    Raises ConfigError with the line if it is not well-formed or violates the grammar.
    """
    return _Builder(file, root, shapes).build(data)


class _Builder:
    """Builds the tree from expat's callbacks, and checks the grammar meanwhile."""

    def __init__(self, file: str, root: str, shapes: Mapping[str, Shape]) -> None:
        self._file = file
        self._root_name = root
        self._shapes = shapes
        self._open: list[Element] = []
        self._root: Element | None = None
        # As dbus-daemon, regardless of the XML declaration.
        self._expat = pyexpat.ParserCreate("UTF-8")
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._text
        self._expat.EntityDeclHandler = self._entity

    def build(self, data: bytes) -> Element:
        try:
            self._expat.Parse(data, True)
        except pyexpat.ExpatError as error:
            reason = pyexpat.ErrorString(error.code) or "not well-formed"
            raise ConfigError(self._file, error.lineno, reason, column=error.offset) from None
        assert self._root is not None, "expat refuses a document without an element"
        return self._root

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        element = Element(name, attributes, self._file, self._expat.CurrentLineNumber)
        if self._open:
            parent = self._open[-1]
            self._check_place(parent, element)
            parent.children.append(element)
        elif name != self._root_name:
            element.fail(f"Unknown element <{name}> at root of configuration file")
        else:
            self._root = element
        allowed = self._shapes[name].attributes
        for attribute in attributes:
            if attribute not in allowed:
                element.fail(f'Attribute "{attribute}" is invalid on <{name}> element in this context')
        self._open.append(element)

    def _check_place(self, parent: Element, element: Element) -> None:
        children = self._shapes[parent.name].children
        if element.name in children:
            return
        if children:
            element.fail(f"Element <{element.name}> not allowed inside <{parent.name}> in configuration file")
        element.fail(f"Element <{element.name}> is not allowed in this context")

    def _end(self, name: str) -> None:
        element = self._open.pop()
        if self._shapes[name].text and not element.text:
            element.fail(f"XML element <{name}> was expected to have content inside it")

    def _text(self, text: str) -> None:
        element = self._open[-1]
        if self._shapes[element.name].text:
            element.text += text
        elif text.strip(_WHITE_SPACE):
            line = self._expat.CurrentLineNumber
            reason = f"No text content expected inside XML element {element.name} in configuration file"
            raise ConfigError(self._file, line, reason)

    def _entity(self, name: str, *_: object) -> None:
        # Entities can expand a small file without bound, and no configuration needs any.
        line = self._expat.CurrentLineNumber
        raise ConfigError(self._file, line, f'Declaration of entity "{name}" is not allowed')
