"""Frozen records that are quick to declare.

A frozen dataclass is compiled from text when its module is imported: half a millisecond for each of forty
classes, which would delay the start of the daemon.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self, dataclass_transform


@dataclass_transform(frozen_default=True)
class Record:
    """Declared and used like a frozen dataclass: compared, hashed and printed by its fields.

    Instances share the default objects. ``fields`` are the names in order of declaration.
    """

    fields: ClassVar[tuple[str, ...]] = ()
    _defaults: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        declared = vars(cls)
        # Not from the namespace: with deferred annotations (PEP 649) they are not in it yet.
        cls.fields = tuple(cls.__annotations__)
        cls._defaults = {name: declared[name] for name in cls.fields if name in declared}

    def __init__(self, *args: Any, **more: Any) -> None:
        fields = self.fields
        values = dict(zip(fields, args, strict=False))
        for name in fields[len(args) :]:
            values[name] = more.pop(name) if name in more else self._default(name)
        if more or len(args) > len(fields):
            raise TypeError(f"{type(self).__name__}() has no room for all that it is given: {args}, {more}")
        vars(self).update(values)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with these fields changed."""
        return type(self)(**vars(self) | changes)

    def _default(self, name: str) -> Any:
        try:
            return self._defaults[name]
        except KeyError:
            raise TypeError(f"{type(self).__name__}() needs {name}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} can't be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} can't be deleted")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({values})"
