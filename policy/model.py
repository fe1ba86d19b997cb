"""The base of the models of a configuration: the attributes of one element, checked and converted.

A model is a class whose attributes are declared with ``text`` or ``checked``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from .xml import Element

Convert = Callable[[str, str], object]


class Refusal(Exception):
    """An attribute, or a combination of them, is invalid; the text is the reference's."""


class Field:
    """One attribute of a model: its default, and its conversion.

    ``convert`` is called with the attribute's name and its text, and raises Refusal.
    """

    def __init__(self, convert: Convert, default: object = None) -> None:
        self.convert = convert
        self.default = default


def text() -> Any:
    """Declare an attribute that is kept as text; None: not given."""
    return Field(lambda name, value: value)


def checked(convert: Convert, default: object = None) -> Any:
    """Declare an attribute whose value is ``convert(name, text)``, or ``default`` if it is not given."""
    return Field(convert, default)


class Model:
    """The attributes of one element, which the grammar (``xml.py``) allows it to have. Raises Refusal.

    ``given``: the names of those that are not defaults.
    """

    fields: ClassVar[dict[str, Field]] = {}

    def __init_subclass__(cls) -> None:
        cls.fields = {name: item for name, item in vars(cls).items() if isinstance(item, Field)}

    def __init__(self, values: Mapping[str, str]) -> None:
        self.given = values.keys()
        assert self.given <= self.fields.keys(), self.given
        for name, field in self.fields.items():
            value = field.convert(name, values[name]) if name in values else field.default
            setattr(self, name, value)
        self.check()

    def check(self) -> None:
        """Check combinations of attributes; raises Refusal."""


M = TypeVar("M", bound=Model)


def validate(model: type[M], element: Element, /, **more: str) -> M:
    """Return a model of the element's attributes and ``more``.

    Raises ConfigError with the element's line and the first error.
    """
    try:
        return model(element.attributes | more)
    except Refusal as refusal:
        element.fail(str(refusal))
