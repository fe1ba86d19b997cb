"""Records: like frozen dataclasses, without their cost at import."""

from __future__ import annotations

import pytest

from omnibus.record import Record


class Point(Record):
    """A place."""

    x: int
    y: int = 2


class Other(Record):
    x: int
    y: int = 2


class TestMaking:
    @pytest.mark.parametrize("point", [Point(1), Point(1, 2), Point(x=1), Point(y=2, x=1), Point(1, y=2)])
    def test_fields(self, point: Point) -> None:
        """Fields are given by position or by name, in the order of the declaration."""
        assert vars(point) == {"x": 1, "y": 2}
        assert list(vars(point)) == list(Point.fields)

    def test_missing_field(self) -> None:
        with pytest.raises(TypeError, match=r"Point\(\) needs x"):
            Point(y=1)  # type: ignore[call-arg]

    @pytest.mark.parametrize(("args", "more"), [((1, 2, 3), {}), ((1,), {"z": 1}), ((1,), {"x": 1})])
    def test_superfluous_arguments(self, args: tuple[int, ...], more: dict[str, int]) -> None:
        with pytest.raises(TypeError, match="no room"):
            Point(*args, **more)


class TestDeclaring:
    """The fields are the same however annotations are evaluated, in every Python: PEP 563, PEP 649."""

    @pytest.mark.parametrize("first", ["", "from __future__ import annotations"], ids=["now", "as text"])
    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ("x: int; y: 'Later' = 2", ("x", "y")),
            ("x: tuple[int, ...] = ()", ("x",)),
            ("def method(self): pass", ()),
        ],
        ids=["two", "generic", "none"],
    )
    def test_fields(self, first: str, body: str, fields: tuple[str, ...]) -> None:
        scope: dict[str, type[Record]] = {"Record": Record}
        text = f"{first}\nclass Declared(Record):\n    {body}\n"
        exec(compile(text, "declared", "exec", dont_inherit=True), scope)
        assert scope["Declared"].fields == fields

    def test_fields_are_the_class_s_own(self) -> None:
        """A class without annotations has no fields, even if its base has some."""

        class Bare(Point):
            pass

        assert Bare.fields == ()


class TestUsing:
    def test_compared_by_class_and_fields(self) -> None:
        assert Point(1) == Point(1, 2)
        assert Point(1) != Point(2)
        assert Point(1) != Other(1)
        assert len({Point(1), Point(x=1), Point(1, 3)}) == 2

    def test_frozen(self) -> None:
        point = Point(1)
        with pytest.raises(AttributeError):
            point.x = 3  # type: ignore[misc]
        with pytest.raises(AttributeError):
            del point.x
        assert point == Point(1)

    def test_replace(self) -> None:
        point = Point(1)
        assert point.replace(y=5) == Point(1, 5)
        assert point == Point(1)
        with pytest.raises(TypeError):
            point.replace(z=5)

    def test_shown(self) -> None:
        assert repr(Point(1)) == "Point(x=1, y=2)"
