"""The file of a link: its buses, and which names of each the others have."""

from __future__ import annotations

import os
import pwd
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from .zenoh_config import Zenoh

LABEL = re.compile(r"[A-Za-z_-][A-Za-z0-9_-]*")
HOST = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
NAME_LIMIT = 255
NO_UID = 0xFFFFFFFF


class ConfigError(Exception):
    """The file is not one of a link; one problem in each line."""


def _host(text: str) -> str:
    if not HOST.fullmatch(text):
        raise ValueError(f"{text!r} is not a host: letters, digits and _, as it becomes a part of names")
    return text


def _pattern(text: str) -> str:
    """Check a well-known name, whose last element may be ``*`` and which may have ``%h``."""
    parts = text.replace("%h", "h").removesuffix(".*").split(".")
    if len(text) > NAME_LIMIT or not all(LABEL.fullmatch(part) for part in parts):
        raise ValueError(f"{text!r} is not a well-known name, nor one that ends in .*")
    if len(parts) < 2 and not text.endswith(".*"):
        raise ValueError(f"{text!r} has one element only")
    if text.startswith("org.freedesktop.DBus") and text in ("org.freedesktop.DBus", "org.freedesktop.DBus.*"):
        raise ValueError("the bus's own name can't be linked")
    return text


def _is_fixed(text: str) -> str:
    if "%h" in text:
        raise ValueError(f"{text!r}: %h has a meaning in the names of imports only")
    return text


Host = Annotated[str, AfterValidator(_host)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Exported = Annotated[str, AfterValidator(_pattern), AfterValidator(_is_fixed)]
User = Annotated[int, Field(ge=1, lt=NO_UID)] | Annotated[str, Field(min_length=1)]


class Strict(BaseModel):
    """A table of the file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Export(Strict):
    """One exported name, or all names below one."""

    to: list[Host]
    start: bool = False
    """The service may be absent: it is there for importers, and the first call lets this bus start it."""


class Import(Strict):
    """One imported name, or all names below one."""

    from_: Host | Literal["*"] = Field(alias="from")
    name: Exported | None = None
    """As it is called there; None: as here."""
    prefer: Literal["local", "remote"] = "local"


class Limits(Strict):
    """Bounds for what one host may occupy on the other's bus."""

    stand_ins: Annotated[int, Field(ge=1, le=65536)] = 200
    calls: Annotated[int, Field(ge=1, le=1 << 20)] = 1024
    """Calls of one stand-in without a reply, and as many to it."""
    rules: Annotated[int, Field(ge=1, le=1 << 16)] = 384
    """Match rules of one client that cross. A client with more gets all signals of the names it may hear.

    A system bus allows a connection 512 by default, and a stand-in has some of its own."""
    max_message: Annotated[int, Field(ge=1 << 12, le=128 << 20)] = 1 << 20
    """Bytes of one message."""
    queue: Annotated[int, Field(ge=1 << 16, le=1 << 30)] = 16 << 20
    """Bytes that wait for a bus that does not read from a stand-in, or from a host for this one."""

    @model_validator(mode="after")
    def _check(self) -> Limits:
        if self.queue < self.max_message:
            raise ValueError("`queue` has to have room for one message")
        return self


class Bus(Strict):
    """One side of a link."""

    address: str
    user: User | dict[Host, User]
    """As which user everything of the other side appears on this bus, or of each host that is linked."""
    exports: dict[Exported, Export] = Field({}, alias="export")
    imports: dict[Pattern, Import] = Field({}, alias="import")
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _check(self) -> Bus:
        if not self.address.startswith(("unix:path=", "unix:abstract=")):
            raise ValueError("the address has to be unix:path= or unix:abstract=")
        for pattern, one in self.exports.items():
            if one.start and pattern.endswith(".*"):
                raise ValueError(f"{pattern}: a name that is to be started has to be complete")
        for pattern, wanted in self.imports.items():
            if pattern.endswith(".*") != (wanted.name or pattern).endswith(".*"):
                raise ValueError(f"{pattern}: both names or none have to end in .*")
            if wanted.name is None and "%h" in pattern:
                raise ValueError(f"{pattern}: has %h, so `name` has to say what it is called there")
        return self

    @property
    def socket(self) -> bytes:
        """The name of the socket for connect(2)."""
        kind, _, name = self.address.removeprefix("unix:").partition(",")[0].partition("=")
        return (b"\0" if kind == "abstract" else b"") + os.fsencode(name)


class Config(Strict):
    """A link of two buses that one process can reach, or of one with those of other hosts."""

    bus: dict[Host, Bus]
    zenoh: Zenoh | None = None
    metrics: Path | None = None
    """Where metrics are to be read, a Unix socket; None: $RUNTIME_DIRECTORY/metrics, if there is one."""

    @model_validator(mode="after")
    def _check(self) -> Config:
        if self.zenoh is None:
            if len(self.bus) != 2:
                raise ValueError(f"there have to be two buses, and not {len(self.bus)}")
        elif len(self.bus) != 1:
            raise ValueError(f"with [zenoh] there has to be one bus, and not {len(self.bus)}")
        for host, one in self.bus.items():
            if isinstance(one.user, dict) != (self.zenoh is not None):
                raise ValueError(f"bus.{host}.user: a table of hosts with [zenoh], else one user")
            known = set(self.others(host))
            named = {to for export in one.exports.values() for to in export.to}
            named |= {wanted.from_ for wanted in one.imports.values()} - {"*"}
            for unknown in sorted(named - known):
                which = "the other bus" if self.zenoh is None else "a host of `user`"
                raise ValueError(f"bus.{host}: {unknown!r} is not {which}")
            if host in known:
                raise ValueError(f"bus.{host}.user: {host!r} is this host")
            if self.zenoh is not None and self.zenoh.names.keys() - known:
                raise ValueError("zenoh.names: has a host that is not one of `user`")
        return self

    def others(self, host: str) -> list[str]:
        """Return the hosts that the one of a bus is linked with."""
        user = self.bus[host].user
        return list(user) if isinstance(user, dict) else [one for one in self.bus if one != host]


def read(path: Path) -> Config:
    """Read a file; raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return parse(text, str(path))


def parse(text: str, path: str) -> Config:
    """Read the text of a file; raises ConfigError."""
    try:
        return Config.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def user_of(bus: Bus, host: str) -> User:
    """Return as which user a host appears on a bus."""
    return bus.user[host] if isinstance(bus.user, dict) else bus.user


def ids_of(bus: Bus, host: str) -> tuple[int, int]:
    """Return uid and gid as which a host appears on a bus; raises ConfigError.

    A number without an account is its own group: the users of a container with a user namespace have none
    here. Root is refused, since policies let it do everything, unless the other bus is on this machine and
    this one exports nothing: then only services come from there, and reach only clients that call them or
    listen to them.
    """
    user = user_of(bus, host)
    if isinstance(user, int):
        try:
            return user, pwd.getpwuid(user).pw_gid
        except KeyError:
            return user, user
    try:
        account = pwd.getpwnam(user)
    except KeyError as error:
        raise ConfigError(f"there is no user {user!r}: see omnibus-link --print-policy") from error
    if account.pw_uid == 0 and (bus.exports or isinstance(bus.user, dict)):
        raise ConfigError(f"{user!r} is root, which takes a bus that exports nothing, and the other one here")
    return account.pw_uid, account.pw_gid


def check_users(config: Config) -> None:
    """Look up the users of all hosts; raises ConfigError."""
    for name, bus in config.bus.items():
        for host in config.others(name):
            try:
                ids_of(bus, host)
            except ConfigError as error:
                raise ConfigError(f"{name}: {error}") from error


def covers(pattern: str, name: str) -> bool:
    """Tell whether a pattern is a name or has it below."""
    return name.startswith(pattern[:-1]) if pattern.endswith(".*") else name == pattern


def exported(bus: Bus, name: str, to: str) -> bool:
    """Tell whether a bus exports a name to a host."""
    return any(to in one.to and covers(pattern, name) for pattern, one in bus.exports.items())


def started(bus: Bus, to: str) -> Iterator[str]:
    """Yield names that a bus exports to a host whether or not they have an owner."""
    return (name for name, one in bus.exports.items() if one.start and to in one.to)


def imported(bus: Bus, name: str, from_: str) -> Iterator[tuple[str, bool]]:
    """Yield under which names a bus has a name of a host, and whether it has precedence over local owners."""
    for here, wanted in bus.imports.items():
        there = wanted.name or here
        if wanted.from_ in (from_, "*") and covers(there, name):
            tail = name[len(there) - 1 :] if there.endswith(".*") else ""
            yield (here[:-1] if tail else here).replace("%h", from_) + tail, wanted.prefer == "remote"
