"""Reads configuration files into Settings: the elements in their order, included files merged in."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from . import attributes, block, principals, selinux, service_dirs, xml
from .compiler import UnknownPrincipalError, compile_rule
from .error import ConfigError
from .model import validate
from .rules import ANY_ID, Context, Rule
from .settings import PASSED_OVER, ConfigWarning, Limits, ServiceDir, Settings
from .xml import Element

# Circular inclusion is an error of its own; this limits a chain of distinct files.
MAX_INCLUDE_DEPTH = 64


class _Draft:
    """The settings of one file and of the files that it includes."""

    def __init__(self, base: str, limits: dict[str, int] | None = None, apparmor: str = "enabled") -> None:
        self.base = base
        self.limits = limits or {}
        self.apparmor = apparmor
        self.single: dict[str, Any] = {}
        """The fields of Settings that are one text or flag, if they are given."""
        self.listen: list[str] = []
        self.auth: list[str] = []
        self.service_dirs: dict[str, ServiceDir] = {}
        self.conf_dirs: list[str] = []
        self.contexts: dict[str, str] = {}
        self.rules: list[Rule] = []

    def add_service_dir(self, new: ServiceDir) -> None:
        """Add a directory; a duplicate keeps its first place, and the laxer of the two sets of flags."""
        old = self.service_dirs.get(new.path)
        if old is not None:
            new = ServiceDir(
                new.path,
                watch=old.watch or new.watch,
                strict_naming=old.strict_naming and new.strict_naming,
                transient=old.transient or new.transient,
            )
        self.service_dirs[new.path] = new

    def merge(self, other: _Draft) -> None:
        """Merge an included file. As in dbus-daemon, <syslog> counts in the outermost file only."""
        self.limits = other.limits
        self.apparmor = other.apparmor
        self.single |= {name: value for name, value in other.single.items() if name != "syslog"}
        self.listen += other.listen
        self.auth += other.auth
        self.conf_dirs += other.conf_dirs
        self.rules += other.rules
        self.contexts |= other.contexts
        for directory in other.service_dirs.values():
            self.add_service_dir(directory)


class Reader:
    """Reads one configuration, once."""

    def __init__(self) -> None:
        self._files: list[str] = []
        self._missing: list[str] = []
        self._warnings: list[ConfigWarning] = []
        self._including: list[str] = []

    def read(self, file: str, *, part: bool = False) -> Settings:
        """Return the settings of the file and of the files that it includes.

        ``part``: it is one that others include, and needs no address. Raises ConfigError.
        """
        root = self._parse(file)
        draft = self._collect(root, _Draft(_directory(file)))
        if not draft.listen and not part:
            root.fail("Configuration file needs one or more <listen> elements giving addresses")
        watched = [directory.path for directory in draft.service_dirs.values() if directory.watch]
        return Settings(
            **draft.single,
            listen=tuple(draft.listen),
            auth=tuple(draft.auth),
            service_dirs=tuple(draft.service_dirs.values()),
            limits=Limits(**draft.limits),
            selinux=tuple(draft.contexts.items()),
            apparmor=draft.apparmor,
            policy=block.encode(draft.rules),
            files=tuple(self._files),
            watched_dirs=tuple(dict.fromkeys(draft.conf_dirs + watched)),
            missing=tuple(self._missing),
            warnings=tuple(self._warnings),
        )

    def _parse(self, file: str) -> Element:
        data = xml.read_file(file)
        self._files.append(file)
        return xml.parse(data, file)

    def _collect(self, root: Element, draft: _Draft) -> _Draft:
        for element in root.children:
            _HANDLERS[element.name](self, draft, element)
        return draft

    def _warn(self, element: Element, reason: str) -> None:
        self._warnings.append(ConfigWarning(element.file, element.line, reason))

    def _string(self, draft: _Draft, element: Element) -> None:
        draft.single["bus_type" if element.name == "type" else element.name] = element.text

    def _flag(self, draft: _Draft, element: Element) -> None:
        draft.single[element.name] = True

    def _strings(self, draft: _Draft, element: Element) -> None:
        (draft.listen if element.name == "listen" else draft.auth).append(element.text)

    def _servicehelper(self, draft: _Draft, element: Element) -> None:
        draft.single["servicehelper"] = _full_path(draft.base, element.text)

    def _servicedir(self, draft: _Draft, element: Element) -> None:
        draft.add_service_dir(ServiceDir(_full_path(draft.base, element.text)))

    def _session_dirs(self, draft: _Draft, element: Element) -> None:
        try:
            transient = service_dirs.transient_dir()
        except OSError as error:
            self._warn(element, f"Unable to set up transient service directory: {error}")
        else:
            if transient is not None:
                draft.add_service_dir(transient)
        for directory in service_dirs.session_dirs():
            draft.add_service_dir(directory)

    def _system_dirs(self, draft: _Draft, element: Element) -> None:
        for directory in service_dirs.system_dirs():
            draft.add_service_dir(directory)

    def _limit(self, draft: _Draft, element: Element) -> None:
        limit = validate(attributes.Limit, element, value=element.text)
        assert limit.name is not None and limit.value is not None, "the model has checked it"
        draft.limits[limit.name] = limit.value

    def _selinux(self, draft: _Draft, element: Element) -> None:
        for child in element.children:
            associate = validate(attributes.Associate, child)
            assert associate.own is not None and associate.context is not None, "the model has checked it"
            draft.contexts[associate.own] = associate.context

    def _apparmor(self, draft: _Draft, element: Element) -> None:
        mode = validate(attributes.AppArmor, element).mode
        if mode is not None:
            draft.apparmor = mode

    def _policy(self, draft: _Draft, element: Element) -> None:
        policy = validate(attributes.Policy, element)
        found = self._applies_to(policy, element)
        for child in element.children:
            # Rules that apply to no connection are checked, too.
            given = validate(attributes.RuleAttributes, child, element=child.name)
            context, principal = found or (Context.DEFAULT, ANY_ID)
            try:
                rule = compile_rule(given, context, principal, child)
            except UnknownPrincipalError as error:
                self._warn(child, str(error))
                continue
            if not rule.is_per_client and context in (Context.USER, Context.GROUP):
                name = context.name.lower()
                child.fail(f"<{child.name}> rule cannot be per-{name} because it has bus-global semantics")
            if found:
                draft.rules.append(rule)

    def _applies_to(self, policy: attributes.Policy, element: Element) -> tuple[Context, int] | None:
        """Return the context of a <policy> and its uid or gid; None if the system knows no such principal."""
        if policy.context is not None:
            return (Context.DEFAULT if policy.context == "default" else Context.MANDATORY), ANY_ID
        if policy.at_console is not None:
            return (Context.AT_CONSOLE if policy.at_console == "true" else Context.NO_CONSOLE), ANY_ID
        if policy.user is not None:
            context, kind, text = Context.USER, "username", policy.user
            found = principals.user_id(text)
        else:
            context, kind, text = Context.GROUP, "group", policy.group or ""
            found = principals.group_id(text)
        if found is None:
            self._warn(element, f'Unknown {kind} "{text}" in message bus configuration file')
            return None
        return context, found

    def _include(self, draft: _Draft, element: Element) -> None:
        include = validate(attributes.Include, element)
        if include.if_selinux_enabled and not selinux.is_enabled():
            return
        base = selinux.policy_root() if include.selinux_root_relative else draft.base
        file = _full_path(base, element.text)
        try:
            self._include_file(draft, file, element)
        except ConfigError as error:
            if not (include.ignore_missing and error.missing):
                raise
            self._missing.append(file)

    def _include_file(self, draft: _Draft, file: str, element: Element) -> None:
        identity = os.path.realpath(file)
        if identity in self._including:
            element.fail(f"Circular inclusion of file '{file}'")
        if len(self._including) >= MAX_INCLUDE_DEPTH:
            element.fail(f"Inclusion of file '{file}' is nested too deeply")
        self._including.append(identity)
        try:
            # A file with an error must have no effect, so its limits are dropped.
            inner = _Draft(_directory(file), limits=dict(draft.limits), apparmor=draft.apparmor)
            draft.merge(self._collect(self._parse_included(file, element), inner))
        finally:
            self._including.pop()

    def _parse_included(self, file: str, element: Element) -> Element:
        try:
            return self._parse(file)
        except ConfigError as error:
            if error.line:
                raise
            # A file that can't be read has no lines: report the line that includes it.
            raise ConfigError(element.file, element.line, error.reason, error.missing) from None

    def _includedir(self, draft: _Draft, element: Element) -> None:
        directory = _full_path(draft.base, element.text)
        try:
            names = sorted(os.listdir(directory))
        except FileNotFoundError:
            self._missing.append(directory)
            return
        except OSError as error:
            element.fail(f'Failed to read directory "{directory}": {error.strerror}')
        for name in names:
            if not name.endswith(".conf"):
                continue
            file = service_dirs.join(directory, name)
            try:
                self._include_file(draft, file, element)
            except ConfigError as error:
                # One bad file of one package must not prevent the start of the bus.
                reason = f"{PASSED_OVER} '{error.reason}' while parsing '{file}'"
                self._warnings.append(ConfigWarning(error.file, error.line, reason))
        draft.conf_dirs.append(directory)


def _directory(file: str) -> str:
    return os.path.dirname(file) or "."


def _full_path(base: str, path: str) -> str:
    return path if path.startswith("/") else service_dirs.join(base, path)


_HANDLERS: dict[str, Callable[[Reader, _Draft, Element], None]] = {
    "type": Reader._string,
    "user": Reader._string,
    "pidfile": Reader._string,
    "fork": Reader._flag,
    "keep_umask": Reader._flag,
    "syslog": Reader._flag,
    "allow_anonymous": Reader._flag,
    "listen": Reader._strings,
    "auth": Reader._strings,
    "include": Reader._include,
    "includedir": Reader._includedir,
    "servicedir": Reader._servicedir,
    "standard_session_servicedirs": Reader._session_dirs,
    "standard_system_servicedirs": Reader._system_dirs,
    "servicehelper": Reader._servicehelper,
    "limit": Reader._limit,
    "policy": Reader._policy,
    "selinux": Reader._selinux,
    "apparmor": Reader._apparmor,
}
