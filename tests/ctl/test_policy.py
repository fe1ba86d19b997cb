"""omnibusctl policy: the rules in their order, and what they mean for one name."""

from __future__ import annotations

import pytest

from .conftest import ECHO, ECHO_FILE, Ctl, Files


@pytest.fixture
def echo(files: Files) -> Files:
    files.add(ECHO, ECHO_FILE)
    return files


class TestShow:
    def test_all(self, ctl: Ctl, echo: Files) -> None:
        rules = ctl("--json", "policy", "show", "--config", echo.main).json()["rules"]
        assert [rule["line"] for rule in rules if rule["file"].endswith(ECHO_FILE)] == [3, 6, 7]
        assert rules[0] == {
            "xml": '<allow user="*"/>',
            "policy": 'context="default"',
            "file": str(echo.main),
            "line": 6,
        }

    def test_of_a_user(self, ctl: Ctl, echo: Files) -> None:
        """Rules for other users are not evaluated."""
        for user, owns in (("root", True), ("65534", False)):
            rules = ctl("--json", "policy", "show", f"--user={user}", "--config", echo.main).json()["rules"]
            assert ('<allow own="com.example.Echo"/>' in [rule["xml"] for rule in rules]) == owns

    def test_about_a_name(self, ctl: Ctl, echo: Files) -> None:
        done = ctl("policy", "show", "--name=com.example.Echo", "--no-legend", "--config", echo.main)
        assert len(done.out.splitlines()) == 3

    def test_prefix(self, ctl: Ctl, files: Files) -> None:
        files.add_rules('<allow own_prefix="com.example"/>')
        rules = ctl("--json", "policy", "show", "--name=com.example.Echo", "--config", files.main).json()[
            "rules"
        ]
        assert [rule["xml"] for rule in rules] == ['<allow own_prefix="com.example"/>']


class TestMap:
    def test_exceptions(self, ctl: Ctl, echo: Files) -> None:
        done = ctl("policy", "map", "com.example.Echo", "--config", echo.main)
        assert [line.split() for line in done.out.splitlines()[:3]] == [
            ["WHO", "OWN", "CALL"],
            ["all", "others", "no", "nothing", "but", "com.example.Read", "(not", "Reboot)"],
            ["user", "root", "yes", "nothing", "but", "com.example.Read", "(not", "Reboot)"],
        ]

    def test_json(self, ctl: Ctl, echo: Files) -> None:
        access = ctl("--json", "policy", "map", "com.example.Echo", "--config", echo.main).json()["access"]
        assert access[0]["call"] == {"everything else": False, "com.example.Read": True}
        assert access[0]["exceptions"] == {"everything else": [], "com.example.Read": ["Reboot"]}

    def test_group(self, ctl: Ctl, echo: Files) -> None:
        echo.add_rules('<allow send_destination="com.example.Echo"/>', policy='group="daemon"')
        access = ctl("--json", "policy", "map", "com.example.Echo", "--config", echo.main).json()["access"]
        (group,) = [one for one in access if one["who"] == "group daemon"]
        assert all(group["call"].values())

    def test_no_name(self, ctl: Ctl, echo: Files) -> None:
        assert ctl("policy", "map", "--config", echo.main).code == 2
