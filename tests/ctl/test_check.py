"""omnibusctl check: each code has a file that has it, and one that nearly has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnibus.ctl.checks.finding import CODES

from .conftest import MAIN, Ctl, Files

A = 'send_destination="com.example.A"'
SERVICE = "[D-BUS Service]\nName=com.example.A\nExec=/bin/true\nUser=daemon\n"
UNKNOWN = "no-such-user-at-all"


def codes(ctl: Ctl, files: Files, *options: str) -> list[tuple[str, int]]:
    """Return code and line of all that is found, besides what is said of services."""
    found = ctl("--json", "check", "--strict", "--config", files.main, *options).json()["findings"]
    return [(one["code"], one["line"]) for one in found]


class TestFiles:
    """E001 and W002: what the bus itself passes over."""

    def test_broken_file(self, ctl: Ctl, files: Files) -> None:
        path = files.add_rules('<deny send_member="M" send_destination="a.b"/>')
        done = ctl("check", "--config", files.main)
        assert done.code == 1
        assert done.out.startswith(f"{path}:3: E001 ")
        assert "the whole file is passed over" in done.out

    def test_empty_file(self, ctl: Ctl, files: Files) -> None:
        files.add("")
        assert codes(ctl, files) == [("E001", 1)]

    def test_broken_main_file(self, ctl: Ctl, files: Files) -> None:
        files.main.write_text("<busconfig><nonsense/></busconfig>")
        done = ctl("check", "--config", files.main)
        assert done.code == 1
        assert "no bus starts with this file" in done.out

    def test_whole_file(self, ctl: Ctl, files: Files) -> None:
        files.add_rules(f'<allow {A} send_interface="a.b" send_member="M"/>')
        assert codes(ctl, files) == []

    @pytest.mark.parametrize("policy", [f'user="{UNKNOWN}"', 'group="no-such-group-at-all"'])
    def test_unknown_principal(self, ctl: Ctl, files: Files, policy: str) -> None:
        files.add_rules(f"<allow {A}/>", policy=policy)
        assert codes(ctl, files) == [("W002", 2)]

    def test_known_principal(self, ctl: Ctl, files: Files) -> None:
        files.add_rules(f"<allow {A}/>", policy='user="daemon"')
        assert codes(ctl, files) == []


class TestRules:
    """Rules that are wrong by themselves, in the third line."""

    @pytest.mark.parametrize(
        ("rule", "policy", "code"),
        [
            ('<allow send_destination="*"/>', 'context="default"', "E003"),
            ('<allow send_destination="*" send_type="*"/>', 'context="mandatory"', "E003"),
            ('<allow send_interface="com.example.I"/>', 'context="default"', "W004"),
            ('<deny send_interface="com.example.I"/>', 'group="daemon"', "W004"),
            ('<allow send_destination="*"/>', 'user="daemon"', "W004"),
            ('<allow own="com.example.A"/>', 'context="default"', "W005"),
            ('<allow own_prefix="com.example"/>', 'context="mandatory"', "W005"),
            ('<allow receive_sender="com.example.A"/>', 'context="default"', "I006"),
            ('<allow receive_interface="com.example.I"/>', 'user="root"', "I006"),
            (f"<allow {A}/>", 'at_console="true"', "W007"),
            ('<allow send_destination_prefix="com.example"/>', 'context="default"', "P012"),
            (f'<deny {A} log="true"/>', 'context="default"', "P012"),
            (f'<allow {A} send_error="com.example.Error.E"/>', 'context="default"', "P012"),
            (f'<allow {A} send_type="method_return"/>', 'context="default"', "P012"),
        ],
    )
    def test_found(self, ctl: Ctl, files: Files, rule: str, policy: str, code: str) -> None:
        files.add_rules(rule, policy=policy)
        assert codes(ctl, files) == [(code, 3)]

    @pytest.mark.parametrize(
        ("rule", "policy"),
        [
            ('<allow send_destination="*" send_interface="com.example.I"/>', 'user="root"'),
            ('<allow send_interface="com.example.I" send_type="signal"/>', 'context="default"'),
            ('<allow send_interface="com.example.I" send_broadcast="true"/>', 'context="default"'),
            ('<allow own="com.example.A"/>', 'user="daemon"'),
            ('<deny own="com.example.A"/>', 'context="default"'),
            ('<deny receive_interface="com.example.I"/>', 'user="daemon"'),
            ('<allow receive_sender="com.example.A" eavesdrop="true"/>', 'user="daemon"'),
            ('<allow user="daemon"/>', 'context="default"'),
        ],
    )
    def test_not_found(self, ctl: Ctl, files: Files, rule: str, policy: str) -> None:
        files.add_rules(rule, policy=policy)
        assert codes(ctl, files) == []

    def test_receiving_what_is_denied_elsewhere(self, ctl: Ctl, files: Files) -> None:
        """The rule is needed if another file denies any of it to some."""
        files.add_rules('<deny receive_sender="com.example.A"/>', policy='group="daemon"', name="a.conf")
        files.add_rules('<allow receive_sender="com.example.A"/>', policy='user="daemon"', name="b.conf")
        assert codes(ctl, files) == []

    def test_session_bus(self, ctl: Ctl, tmp_path: Path) -> None:
        """One user's bus may allow everything."""
        files = Files(
            tmp_path,
            MAIN.replace("system<", "session<").replace("<servicehelper>/bin/false</servicehelper>", ""),
        )
        files.add_rules('<allow send_destination="*"/>', '<allow own="*"/>')
        assert codes(ctl, files) == []


class TestPairs:
    """Rules that never matter, or contradict each other."""

    @pytest.mark.parametrize(
        ("rules", "expected"),
        [
            ((f'<allow {A} send_interface="a.b"/>', f"<deny {A}/>"), [("W009", 3)]),
            ((f'<allow {A} send_interface="a.b"/>', f"<allow {A}/>"), [("I010", 3)]),
            ((f"<allow {A}/>", f'<allow {A} send_interface="a.b"/>'), [("I011", 4)]),
            ((f"<allow {A}/>", f"<allow {A}/>"), [("I010", 3)]),
            # A call without interface is denied by the first and not allowed by the second.
            ((f'<deny {A} send_interface="a.b"/>', f'<allow {A} send_interface="a.b"/>'), []),
            ((f"<allow {A}/>", f'<deny {A} send_interface="a.b"/>'), []),
            ((f"<allow {A}/>", f'<deny {A} send_path="/"/>', f'<allow {A} send_interface="a.b"/>'), []),
            ((f"<allow {A}/>", f'<allow {A} send_type="method_call" max_fds="0"/>'), [("I011", 4)]),
            ((f'<allow {A} max_fds="0"/>', f'<allow {A} send_type="method_call"/>'), []),
        ],
    )
    def test_in_one_file(
        self, ctl: Ctl, files: Files, rules: tuple[str, ...], expected: list[tuple[str, int]]
    ) -> None:
        files.add_rules(*rules)
        assert codes(ctl, files) == expected

    def test_in_two_files(self, ctl: Ctl, files: Files) -> None:
        """That another package says the same is no fault of either."""
        for name in ("a.conf", "b.conf"):
            files.add_rules(f"<allow {A}/>", name=name)
        assert codes(ctl, files) == []

    def test_contradiction(self, ctl: Ctl, files: Files) -> None:
        files.add_rules(f"<allow {A}/>", name="a.conf")
        files.add_rules(f'<deny {A} send_interface="a.b"/>', name="b.conf")
        done = ctl("check", "--config", files.main)
        assert "b.conf:3: W008" in done.out
        assert "a.conf:3 says the opposite" in done.out

    def test_same_exception(self, ctl: Ctl, files: Files) -> None:
        """Two files that allow the same and except the same: either order has the same result."""
        rules = (f'<allow {A} send_interface="a.b"/>', f'<deny {A} send_interface="a.b" send_member="C"/>')
        files.add_rules(*rules, name="a.conf")
        file = files.add_rules(*rules, name="b.conf")
        assert codes(ctl, files) == []
        # With another exception in one of them the order decides again.
        file.write_text(file.read_text().replace('"C"', '"D"'))
        assert {code for code, _ in codes(ctl, files)} == {"W008"}

    @pytest.mark.parametrize(
        ("rule", "policy"),
        [
            (f"<deny {A}/>", 'user="daemon"'),
            ('<deny send_destination="com.example.B"/>', 'context="default"'),
        ],
    )
    def test_no_contradiction(self, ctl: Ctl, files: Files, rule: str, policy: str) -> None:
        """Rules of another context have their own place; and other names are none of theirs."""
        files.add_rules(f"<allow {A}/>", name="a.conf")
        files.add_rules(rule, policy=policy, name="b.conf")
        assert codes(ctl, files) == []


class TestServices:
    """S013: what keeps a service from being started, from its name or from its clients."""

    RULES = (f"<allow {A}/>",)

    def texts(self, ctl: Ctl, files: Files) -> list[str]:
        found = ctl("--json", "check", "--select=S013", "--config", files.main).json()["findings"]
        return [one["text"] for one in found]

    def good(self, files: Files) -> None:
        files.add_rules(*self.RULES)
        files.add_rules('<allow own="com.example.A"/>', policy='user="daemon"', name="own.conf")

    def test_none(self, ctl: Ctl, files: Files) -> None:
        self.good(files)
        files.add_service(SERVICE, "com.example.A.service")
        assert self.texts(ctl, files) == []

    @pytest.mark.parametrize(
        ("text", "name", "expected"),
        [
            ("[D-BUS Service]\nName=com.example.A\n", "com.example.A.service", 'No "Exec" key'),
            ("nonsense", "com.example.A.service", "A key before the first section"),
            (SERVICE, "echo.service", "the file of com.example.A has another name"),
            (
                SERVICE.replace("User=daemon\n", ""),
                "com.example.A.service",
                "there is no User, so that only systemd can start it",
            ),
            (
                SERVICE + "SystemdService=no-such-unit.service\n",
                "com.example.A.service",
                "there is no unit no-such-unit.service",
            ),
        ],
    )
    def test_file(self, ctl: Ctl, files: Files, text: str, name: str, expected: str) -> None:
        self.good(files)
        files.add_service(text, name)
        assert self.texts(ctl, files) == [expected]

    def test_no_rules(self, ctl: Ctl, files: Files) -> None:
        files.add_service(SERVICE, "com.example.A.service")
        assert self.texts(ctl, files) == [
            "no rule lets its user daemon own com.example.A",
            "no rule lets any user call com.example.A",
        ]


class TestOptions:
    def test_ignoring(self, ctl: Ctl, files: Files) -> None:
        """A comment on the line of a rule, or alone before it, silences a code there."""
        comment = "<!-- omnibus-check: ignore={} -->"
        files.add_rules(
            '<allow send_interface="a.b"/> ' + comment.format("W004"),
            comment.format("W005, W004"),
            '<allow send_interface="a.c"/>',
            '<allow send_interface="a.d"/> ' + comment.format("W005"),
            '<allow send_interface="a.e"/>',
        )
        assert codes(ctl, files) == [("W004", 6), ("W004", 7)]

    def test_select(self, ctl: Ctl, files: Files) -> None:
        files.add_rules('<allow send_interface="a.b"/>', '<allow own="a.b"/>')
        found = ctl("--json", "check", "--select=W005", "--config", files.main).json()["findings"]
        assert [one["code"] for one in found] == ["W005"]

    def test_unknown_code(self, ctl: Ctl, files: Files) -> None:
        assert ctl("check", "--select=W999", "--config", files.main).code == 2

    def test_information_is_no_fault(self, ctl: Ctl, files: Files) -> None:
        files.add_rules('<allow receive_sender="com.example.A"/>')
        done = ctl("check", "--config", files.main)
        assert done.code == 0
        assert done.out == "nothing found; 1 not shown (--strict)\n"
        assert ctl("check", "--strict", "--config", files.main).code == 1

    def test_one_file(self, ctl: Ctl, files: Files, tmp_path: Path) -> None:
        """A file is judged beside what the bus has, wherever it is; nothing is said of others."""
        files.add_rules('<allow send_interface="a.b"/>', name="a.conf")
        path = files.add_rules(f'<allow {A} send_interface="a.b"/>', f"<deny {A}/>", name="b.conf")
        inside = ctl("check", path, "--config", files.main)
        assert inside.out.startswith(f"{path}:3: W009 ")
        assert "a.conf" not in inside.out
        outside = tmp_path / "outside.conf"
        path.rename(outside)
        assert ctl("check", outside, "--config", files.main).out == inside.out.replace(
            str(path), str(outside)
        )

    def test_one_broken_file(self, ctl: Ctl, files: Files) -> None:
        path = files.add("<busconfig>")
        assert f"{path}:1: E001" in ctl("check", path, "--config", files.main).out

    def test_help_has_all_codes(self, ctl: Ctl) -> None:
        out = ctl("check", "--help").out
        assert [code for code in CODES if code not in out] == []
