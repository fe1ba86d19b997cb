"""omnibusctl why: the verdict, the rule that decides, and the lines that would allow it."""

from __future__ import annotations

import pytest

from .conftest import ECHO, ECHO_FILE, Ctl, Files

OTHER = ("--user", "65534")


@pytest.fixture
def echo(files: Files) -> Files:
    files.add(ECHO, ECHO_FILE)
    return files


class TestMessages:
    def test_denied(self, ctl: Ctl, echo: Files) -> None:
        done = ctl("why", "--config", echo.main, *OTHER, "com.example.Echo", "com.example.Read.Reboot")
        assert done.code == 1
        lines = done.out.splitlines()
        assert lines[0].startswith("DENIED  method_call com.example.Read.Reboot → com.example.Echo  by ")
        assert "(uid 65534)" in lines[0]
        deny = 'send_destination="com.example.Echo" send_interface="com.example.Read" send_member="Reboot"'
        assert lines[1] == f"  send: <deny {deny}/>"
        place = f"{echo.directory}/system.d/{ECHO_FILE}:7"
        assert lines[2].strip() == f'{place} in <policy context="default">, last of 3 that match:'
        assert [line.split()[0] for line in lines[3:5]] == ["1", "2"]
        assert 'send_type="method_call"' in lines[3]
        assert "  receive: not asked" in lines

    def test_allowed(self, ctl: Ctl, echo: Files) -> None:
        """The receiver is asked, too."""
        done = ctl("why", "--config", echo.main, *OTHER, "com.example.Echo", "com.example.Read.Get")
        assert done.code == 0
        assert done.out.startswith("ALLOWED  ")
        assert '  receive: <allow receive_type="method_call"/>' in done.out.splitlines()
        assert "the receiver's user is root, as known from nothing; root is assumed" in done.out

    def test_receiver_of_the_service_file(self, ctl: Ctl, echo: Files) -> None:
        echo.add_service(
            "[D-BUS Service]\nName=com.example.Echo\nExec=/bin/true\nUser=65534\n", "com.example.Echo.service"
        )
        done = ctl("--json", "why", "--config", echo.main, "com.example.Echo", "com.example.Read.Get")
        message = done.json()["message"]
        assert (message["receiver_uid"], message["receiver_from"]) == (65534, "its service file")

    def test_denied_to_the_receiver(self, ctl: Ctl, echo: Files) -> None:
        echo.add_rules('<deny receive_interface="com.example.Read"/>', policy='user="root"')
        done = ctl("--json", "why", "--config", echo.main, *OTHER, "com.example.Echo", "com.example.Read.Get")
        assert done.code == 1
        data = done.json()
        assert data["send"]["allowed"]
        assert not data["receive"]["allowed"]
        assert data["receive"]["rule"]["policy"] == 'user="root"'

    def test_without_interface(self, ctl: Ctl, echo: Files) -> None:
        """A call without an interface must not bypass the rules about one."""
        done = ctl("why", "--config", echo.main, *OTHER, "com.example.Echo", ".Get")
        assert done.code == 1
        assert "without interface and path" in done.out

    @pytest.mark.parametrize(("options", "code"), [((), 0), (("--unrequested",), 1)])
    def test_reply(self, ctl: Ctl, echo: Files, options: tuple[str, ...], code: int) -> None:
        done = ctl("why", "--config", echo.main, "--type=method_return", *options, "com.example.Client")
        assert done.code == code

    def test_broadcast(self, ctl: Ctl, echo: Files) -> None:
        done = ctl("why", "--config", echo.main, "--type=signal", "-", "com.example.Read.Changed")
        assert done.code == 0
        assert "→ everything that listens" in done.out

    def test_call_of_the_bus(self, ctl: Ctl, echo: Files) -> None:
        done = ctl("--json", "why", "--config", echo.main, *OTHER, "org.freedesktop.DBus", "a.b.C")
        assert done.code == 0
        assert "receive" not in done.json()


class TestOwning:
    @pytest.mark.parametrize(("user", "code"), [("root", 0), ("65534", 1)])
    def test_user(self, ctl: Ctl, echo: Files, user: str, code: int) -> None:
        assert ctl("why", "--config", echo.main, "--user", user, "--own=com.example.Echo").code == code

    def test_hint(self, ctl: Ctl, echo: Files) -> None:
        hint = ctl("--json", "why", "--config", echo.main, "--user=daemon", "--own=com.example.Echo").json()[
            "hint"
        ]
        assert hint["text"] == f"add to {echo.directory}/system.d/{ECHO_FILE}"
        assert hint["lines"] == ['<policy user="daemon">', '  <allow own="com.example.Echo"/>', "</policy>"]


class TestConnecting:
    def test_allowed(self, ctl: Ctl, echo: Files) -> None:
        done = ctl("why", "--config", echo.main, "--connect", *OTHER)
        assert done.code == 0
        assert '<allow user="*"/>' in done.out

    def test_default(self, ctl: Ctl, files: Files) -> None:
        """Without a rule only the bus's own user may connect."""
        files.main.write_text("<busconfig><listen>unix:path=/x</listen></busconfig>")
        assert ctl("why", "--config", files.main, "--connect", "--user=root").code == 0
        done = ctl("why", "--config", files.main, "--connect", *OTHER)
        assert done.code == 1
        assert "only the bus's own user may connect by default, so it is denied" in done.out


class TestHint:
    """What is proposed allows what was denied, and no other interface or member."""

    def test_exact(self, ctl: Ctl, echo: Files) -> None:
        ask = ("--config", echo.main, "--user=daemon", "com.example.Echo")
        hint = ctl("--json", "why", *ask, "com.example.Write.Set").json()["hint"]
        rule = hint["lines"][1].strip()
        exact = 'send_destination="com.example.Echo" send_interface="com.example.Write" send_member="Set"'
        assert rule == f"<allow {exact}/>"
        echo.add_rules(*hint["lines"][1:2], policy='user="daemon"', name="zz.conf")
        assert ctl("why", *ask, "com.example.Write.Set").code == 0
        assert ctl("why", *ask, "com.example.Write.Clear").code == 1
        assert (
            ctl("why", "--config", echo.main, *OTHER, "com.example.Echo", "com.example.Write.Set").code == 1
        )

    def test_without_destination_in_the_policy(self, ctl: Ctl, echo: Files) -> None:
        """A service without a file of its own."""
        done = ctl("--json", "why", "--config", echo.main, *OTHER, "com.example.New", "a.b.C")
        assert done.json()["hint"]["text"] == "add to /etc/dbus-1/system-local.conf"

    def test_mandatory(self, ctl: Ctl, echo: Files) -> None:
        """No rule for a user comes after mandatory ones."""
        path = echo.add_rules('<deny send_destination="com.example.Echo"/>', policy='context="mandatory"')
        hint = ctl("--json", "why", "--config", echo.main, *OTHER, "com.example.Echo", "a.b.C").json()["hint"]
        assert hint["lines"] == []
        assert f"{path}:3 is evaluated later" in hint["text"]


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            ((), "which message?"),
            (("com.example.Echo",), "has an INTERFACE.MEMBER"),
            (("com.example.Echo", "Get"), "is no INTERFACE.MEMBER"),
            (("--user=no-such-user", "a.b", "c.d.E"), "there is no user"),
        ],
    )
    def test_refused(self, ctl: Ctl, echo: Files, arguments: tuple[str, ...], text: str) -> None:
        done = ctl("why", "--config", echo.main, *arguments)
        assert done.code == 2
        assert text in done.err

    def test_broken_files(self, ctl: Ctl, files: Files) -> None:
        files.main.write_text("<busconfig>")
        done = ctl("why", "--config", files.main, "a.b", "c.d.E")
        assert done.code == 1
        assert "no bus would start with these files" in done.err
