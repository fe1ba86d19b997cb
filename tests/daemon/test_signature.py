"""Specification, "Bus names" and "Summary of types"."""

import pytest

from omnibus.daemon.signature import complete_types, is_bus_name


class TestBusNames:
    @pytest.mark.parametrize(
        "name",
        ["a.b", "org.example.Name", "-.-", "_._", "a-b.c_d", "a.b" + "c" * 252, ":1.0", ":1", ":a.1.b", ":-"],
    )
    def test_valid(self, name: str) -> None:
        """The reference is more liberal than the specification: a unique name may have one element."""
        assert is_bus_name(name)

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "a",
            "a.",
            ".a",
            "a..b",
            "1.a",
            "a.1",
            "a.b.",
            "a b.c",
            "ä.b",
            "a.b" + "c" * 253,
            ":",
            ":1.",
            ":.",
            ":ä",
            "a.b\n",
        ],
    )
    def test_invalid(self, name: str) -> None:
        assert not is_bus_name(name)


class TestCompleteTypes:
    @pytest.mark.parametrize(
        ("signature", "types"),
        [
            ("", []),
            ("s", ["s"]),
            ("su", ["s", "u"]),
            ("a{sv}", ["a{sv}"]),
            ("sa{sv}as", ["s", "a{sv}", "as"]),
            ("aa{sa(ii)}(a(y)v)u", ["aa{sa(ii)}", "(a(y)v)", "u"]),
        ],
    )
    def test_cut(self, signature: str, types: list[str]) -> None:
        assert complete_types(signature) == tuple(types)
