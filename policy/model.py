"""What the models of a configuration are made of.

pydantic-core is used by itself: to import pydantic and to build its models would cost each start 100 ms more.
A model is a class whose attributes are declared with ``text`` or ``checked``; its schema is plain data.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, LiteralString, TypeVar

from pydantic_core import PydanticCustomError, SchemaValidator, ValidationError

from .xml import Element

Schema = dict[str, Any]


class Field:
    """One attribute of a model: its default, if it needn't be given, and what turns its text into its value.

    ``convert`` is called with the attribute's name and its text, and raises refusal().
    """

    def __init__(self, convert: Callable[[str, str], object] | None, default: object, required: bool) -> None:
        self.name = ""
        self._convert = convert
        self._default = default
        self._required = required

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def schema(self) -> Schema:
        """Return the field as pydantic-core wants it."""
        schema: Schema = {"type": "str"}
        convert = self._convert
        if convert is not None:
            schema = _then(lambda value: convert(self.name, value), schema)
        if not self._required:
            schema = {"type": "default", "schema": schema, "default": self._default}
        return {"type": "model-field", "schema": schema}


def _then(function: Callable[[Any], Any], schema: Schema) -> Schema:
    """Return the schema of what the function makes of a value of this one."""
    return {
        "type": "function-after",
        "function": {"type": "no-info", "function": function},
        "schema": schema,
    }


def required() -> Any:
    """Declare an attribute that must be given."""
    return Field(None, None, required=True)


def text() -> Any:
    """Declare an attribute that stays as it is; None: not given."""
    return Field(None, None, required=False)


def checked(convert: Callable[[str, str], object], default: object = None) -> Any:
    """Declare an attribute with a meaning: its value is ``convert(name, text)``, or ``default``."""
    return Field(convert, default, required=False)


class Model:
    """The attributes of one element, validated. ``validate`` makes them."""

    # What pydantic-core fills in.
    __slots__ = ("__dict__", "__pydantic_extra__", "__pydantic_fields_set__", "__pydantic_private__")
    __pydantic_fields_set__: set[str]

    model_fields: ClassVar[dict[str, Field]] = {}

    def __init_subclass__(cls) -> None:
        cls.model_fields = {name: item for name, item in vars(cls).items() if isinstance(item, Field)}

    @property
    def model_fields_set(self) -> set[str]:
        """The names of the attributes that were given."""
        return self.__pydantic_fields_set__

    def check(self) -> None:
        """Check what one attribute alone doesn't say; raises refusal()."""

    @classmethod
    @cache
    def validator(cls) -> SchemaValidator:
        """Build the validator at its first use: most files have no <apparmor> and no <associate>."""

        def check(made: Model) -> Model:
            made.check()
            return made

        fields = {name: item.schema() for name, item in cls.model_fields.items()}
        inner: Schema = {"type": "model-fields", "fields": fields, "extra_behavior": "forbid"}
        schema: Schema = {"type": "model", "cls": cls, "schema": inner, "frozen": True}
        return SchemaValidator(_then(check, schema))


def refusal(reason: LiteralString, /, **values: object) -> PydanticCustomError:
    """Return the error that makes a value be refused with this reason."""
    return PydanticCustomError("config", reason, values)


M = TypeVar("M", bound=Model)


def validate(model: type[M], element: Element, /, **more: str) -> M:
    """Return the element's attributes, and what else is given, as the model.

    Raises ConfigError with the element's line and the first thing that is wrong with it.
    """
    try:
        made: M = model.validator().validate_python(element.attributes | more)
    except ValidationError as error:
        element.fail(error.errors(include_url=False, include_context=False)[0]["msg"])
    return made
