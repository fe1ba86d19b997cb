"""The base of the models of a configuration.

pydantic-core is used directly: importing pydantic and building its models would cost each start 100 ms.
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
    """One attribute of a model: its default, unless it is required, and its conversion.

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
        """Return the pydantic-core schema of the field."""
        schema: Schema = {"type": "str"}
        convert = self._convert
        if convert is not None:
            schema = _then(lambda value: convert(self.name, value), schema)
        if not self._required:
            schema = {"type": "default", "schema": schema, "default": self._default}
        return {"type": "model-field", "schema": schema}


def _then(function: Callable[[Any], Any], schema: Schema) -> Schema:
    """Return a schema that passes validated values to the function."""
    return {
        "type": "function-after",
        "function": {"type": "no-info", "function": function},
        "schema": schema,
    }


def required() -> Any:
    """Declare an attribute that must be given."""
    return Field(None, None, required=True)


def text() -> Any:
    """Declare an attribute that is kept as text; None: not given."""
    return Field(None, None, required=False)


def checked(convert: Callable[[str, str], object], default: object = None) -> Any:
    """Declare an attribute whose value is ``convert(name, text)``, or ``default`` if it is not given."""
    return Field(convert, default, required=False)


class Model:
    """The validated attributes of one element; instances are made by ``validate``."""

    # Set by pydantic-core.
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
        """Check combinations of attributes; raises refusal()."""

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
    """Return the validation error with this reason."""
    return PydanticCustomError("config", reason, values)


M = TypeVar("M", bound=Model)


def validate(model: type[M], element: Element, /, **more: str) -> M:
    """Return a model of the element's attributes and ``more``.

    Raises ConfigError with the element's line and the first error.
    """
    try:
        made: M = model.validator().validate_python(element.attributes | more)
    except ValidationError as error:
        element.fail(error.errors(include_url=False, include_context=False)[0]["msg"])
    return made
