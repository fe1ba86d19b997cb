"""dbus-daemon(1), "CONFIGURATION FILE": errors, includes, and the behaviour of the stock files."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from support.command_line import CommandLine
from support.daemon import DOCTYPE, Daemon, config, private_directory
from support.raw import DEADLINE, BusError, Closed

from .conftest import StartDaemon

LISTEN = "<listen>unix:path={dir}/bus</listen>"


def document(*lines: str) -> str:
    """A configuration with ``lines`` from line 3 on; the last two lines are separate."""
    return "\n".join([DOCTYPE.replace("\n", "") + "<busconfig>", LISTEN, *lines, "</busconfig>", ""])


# Errors on line 3 of the document, and the message for each.
REFUSED = {
    "not well-formed": ("<type>session</typo>", "mismatched tag"),
    "bad character": ("<type>session &</type>", "not well-formed"),
    "unknown element": ("<bogus/>", "Element <bogus> not allowed inside <busconfig> in configuration file"),
    "element in the wrong place": ('<allow own="*"/>', "Element <allow> not allowed inside <busconfig>"),
    "root in root": ("<busconfig/>", "<busconfig>"),
    "unknown attribute": (
        '<type a="b">session</type>',
        'Attribute "a" is invalid on <type> element in this context',
    ),
    "text": ("session", "No text content expected inside XML element busconfig in configuration file"),
    "empty listen": ("<listen></listen>", "XML element <listen> was expected to have content inside it"),
    "empty user": ("<user></user>", "XML element <user> was expected to have content inside it"),
    "limit without name": ("<limit>5</limit>", '<limit> element must have a "name" attribute'),
    "unknown limit": ('<limit name="max_foo">5</limit>', 'There is no limit called "max_foo"'),
    "limit that is no number": (
        '<limit name="max_message_size">abc</limit>',
        '<limit name="max_message_size"> element has invalid value (could not parse as integer)',
    ),
    "negative limit": (
        '<limit name="max_message_size">-5</limit>',
        '<limit name="max_message_size"> must be a positive number',
    ),
    "include of nothing": ("<include>/nonexistent.conf</include>", "/nonexistent.conf"),
    "policy without a subject": (
        "<policy/>",
        "<policy> element must have exactly one of (context|user|group|at_console) attributes",
    ),
    "policy for two": (
        '<policy context="default" user="root"/>',
        "<policy> element must have exactly one of (context|user|group|at_console) attributes",
    ),
    "unknown context": (
        '<policy context="foo"/>',
        'context attribute on <policy> must have the value "default" or "mandatory", not "foo"',
    ),
    "empty rule": (
        '<policy context="default"><allow/></policy>',
        "Element <allow> must have one or more attributes",
    ),
    "own and send": (
        '<policy context="default"><allow send_destination="*" own="*"/></policy>',
        "Invalid combination of attributes on element <allow>",
    ),
    "send and receive": (
        '<policy context="default"><deny send_destination="*" receive_sender="*"/></policy>',
        "Invalid combination of attributes on element <deny>",
    ),
    "unknown message type": (
        '<policy context="default"><allow send_type="foo"/></policy>',
        'Bad message type "foo"',
    ),
}
# Errors that are found later, when the line is no longer known.
UNUSABLE = {
    "auth": ("<auth>FOO</auth>", 'Unsupported auth mechanism "FOO"'),
    "unknown transport": ("<listen>foo:bar=1</listen>", "Unknown address type 'foo'"),
    "no colon": ("<listen>unix</listen>", "Address does not contain a colon"),
    "two places": ("<listen>unix:path=/a,abstract=b</listen>", "at the same time"),
    "no path": ("<listen>unix:</listen>", "missing argument path or"),
    "bad escape": (
        "<listen>unix:path=/tmp/%zz</listen>",
        "percent character was followed by characters other than",
    ),
    "no directory": (
        "<listen>unix:path=/nonexistent/bus</listen>",
        '"/nonexistent/bus": No such file or directory',
    ),
    "no directory to choose from": ("<listen>unix:dir=/nonexistent</listen>", "No such file or directory"),
    "long path": (f"<listen>unix:path=/tmp/{'x' * 120}</listen>", "Socket name too long"),
    "no runtime directory": ("<listen>unix:runtime=yes</listen>", '"XDG_RUNTIME_DIR" is not set'),
    "no sockets": ("<listen>systemd:</listen>", "No socket received."),
}


class Refusal:
    """Runs the daemon with an invalid configuration."""

    def __init__(self, executable: str, directory: Path) -> None:
        self.executable = executable
        self.directory = directory
        self.path = directory / "bus.conf"

    def __call__(self, text: str) -> str:
        self.path.write_text(text.replace("{dir}", str(self.directory)))
        done = subprocess.run(
            [self.executable, f"--config-file={self.path}", "--nofork", "--print-address"],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin"},
        )
        assert done.returncode == 1, done
        assert "Failed to start message bus: " in done.stderr
        assert done.stdout == ""
        assert [path.name for path in self.directory.iterdir() if path.is_socket()] == []
        return done.stderr


@pytest.fixture
def refuse(executable: str, tmp_path_factory: pytest.TempPathFactory) -> Refusal:
    return Refusal(executable, tmp_path_factory.mktemp("c"))


class TestRefusal:
    """An invalid file: the daemon exits with the reason and leaves nothing behind."""

    @pytest.mark.parametrize("case", REFUSED)
    def test_reason(self, refuse: Refusal, case: str) -> None:
        line, reason = REFUSED[case]
        assert reason in refuse(document(line))

    @pytest.mark.parametrize("case", UNUSABLE)
    def test_unusable(self, refuse: Refusal, case: str) -> None:
        line, reason = UNUSABLE[case]
        assert reason in refuse(document(line))

    @pytest.mark.deviation("error-location")
    @pytest.mark.parametrize(
        "case", [case for case in REFUSED if case not in ("not well-formed", "bad character")]
    )
    def test_line(self, refuse: Refusal, case: str) -> None:
        """Errors name the file and the line."""
        stderr = refuse(document("<!-- 3 -->", REFUSED[case][0]))
        assert str(refuse.path) in stderr
        assert re.search(r"\bline 4\b|:4\b", stderr)

    def test_line_of_malformed_xml(self, refuse: Refusal) -> None:
        assert f"file {refuse.path}, line 4, column" in refuse(document("<!-- 3 -->", "<type>session</typo>"))

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "line 1, column 0: no element found"),
            ("hello\n", "line 1, column 0: syntax error"),
            ("<busconfig>\n<type>session</type>\n", "line 3, column 0: no element found"),
        ],
    )
    def test_no_document(self, refuse: Refusal, text: str, reason: str) -> None:
        assert f"file {refuse.path}, {reason}" in refuse(text)

    def test_another_document(self, refuse: Refusal) -> None:
        assert "Unknown element <foo> at root of configuration file" in refuse("<foo/>")

    def test_no_listen(self, refuse: Refusal) -> None:
        assert "needs one or more <listen> elements" in refuse("<busconfig></busconfig>")

    def test_second_listen_fails(self, refuse: Refusal) -> None:
        """The socket of the first address is removed again."""
        refuse(document("<listen>unix:path=/nonexistent/bus</listen>"))

    @pytest.mark.deviation("entities")
    def test_entities(self, refuse: Refusal) -> None:
        """Nested entities can expand to more text than there is memory, and no configuration needs them."""
        text = document('<policy context="default"><allow own="&any;"/></policy>')
        declaration = '<!DOCTYPE busconfig [<!ENTITY any "*">]>'
        assert "entit" in refuse(declaration + text[text.index("<busconfig>") :]).lower()

    def test_directory(self, refuse: Refusal) -> None:
        refuse.path = refuse.directory / "sub"
        refuse.path.mkdir()
        done = subprocess.run(
            [refuse.executable, f"--config-file={refuse.path}"], capture_output=True, text=True
        )
        assert done.returncode == 1
        assert "Failed to start message bus: " in done.stderr


class TestMediation:
    """<apparmor mode="required"/>: the bus must not start without mediation."""

    def test_required(self, cli: CommandLine) -> None:
        if Path("/sys/kernel/security/apparmor/features/dbus").exists():
            pytest.skip("AppArmor mediates here")
        cli.write(extra='<apparmor mode="required"/>')
        done = cli.run(f"--config-file={cli.conf}", "--nofork")
        assert done.returncode == 1
        assert "Failed to start message bus: AppArmor mediation required but not present" in done.stderr

    @pytest.mark.parametrize("mode", ["enabled", "disabled"])
    def test_not_required(self, start_daemon: StartDaemon, mode: str) -> None:
        text = config("unix:path={dir}/bus", extra=f'<apparmor mode="{mode}"/>')
        assert start_daemon(text).connect().driver("GetId")


class TestTolerance:
    def test_unknown_user_in_policy(self, start_daemon: StartDaemon) -> None:
        """A policy for an unknown user or group is ignored."""
        denial = '<policy {}="no-such-one"><deny own="*"/></policy>'
        extra = denial.format("user") + denial.format("group")
        daemon = start_daemon(config("unix:path={dir}/bus", extra=extra))
        assert daemon.connect().own("org.example.Name") == 1

    def test_missing_include_directory(self, start_daemon: StartDaemon) -> None:
        """<includedir>: a missing directory is no error."""
        extra = "<includedir>/nonexistent.d</includedir>"
        assert start_daemon(config("unix:path={dir}/bus", extra=extra)).connect()

    def test_ignore_missing(self, start_daemon: StartDaemon) -> None:
        """<include ignore_missing="yes">: a missing file is no error."""
        extra = '<include ignore_missing="yes">/nonexistent.conf</include>'
        assert start_daemon(config("unix:path={dir}/bus", extra=extra)).connect()

    def test_last_type_counts(self, start_daemon: StartDaemon) -> None:
        """<type>: the last one in the file "wins"."""
        text = config("unix:path={dir}/bus", extra="<type>system</type><type>session</type>")
        assert start_daemon(text).connect()


class TestInclude:
    def policy(self, name: str) -> str:
        return f'<busconfig><policy context="default"><deny own="{name}"/></policy></busconfig>'

    def denied(self, daemon_text: str, start_daemon: StartDaemon, name: str, files: dict[str, str]) -> bool:
        """Return whether owning the name is denied, with these files in the daemon's directory."""
        directory = private_directory()
        for path, text in files.items():
            (directory / path).parent.mkdir(exist_ok=True)
            (directory / path).write_text(text)
        client = start_daemon(daemon_text, directory=directory).connect()
        assert client.own("org.example.Allowed") == 1
        try:
            client.own(name)
        except BusError as error:
            assert error.name == "org.freedesktop.DBus.Error.AccessDenied"
            return True
        return False

    def test_include(self, start_daemon: StartDaemon) -> None:
        """<include>: include a file at this point in the file, relative to the including one."""
        text = config("unix:path={dir}/bus", extra="<include>more.conf</include>")
        assert self.denied(text, start_daemon, "org.example.A", {"more.conf": self.policy("org.example.A")})

    def test_order(self, start_daemon: StartDaemon) -> None:
        """Rules after the include are applied after it."""
        extra = '<include>more.conf</include><policy context="default"><allow own="org.example.A"/></policy>'
        text = config("unix:path={dir}/bus", extra=extra)
        assert not self.denied(
            text, start_daemon, "org.example.A", {"more.conf": self.policy("org.example.A")}
        )

    def test_includedir(self, start_daemon: StartDaemon) -> None:
        """<includedir>: every file with a name that ends in .conf is included, and no other."""
        text = config("unix:path={dir}/bus", extra="<includedir>more.d</includedir>")
        files = {"more.d/a.conf": self.policy("org.example.A"), "more.d/b.txt": self.policy("org.example.B")}
        assert self.denied(text, start_daemon, "org.example.A", files)
        assert not self.denied(text, start_daemon, "org.example.B", files)

    def test_bad_file_in_includedir(self, start_daemon: StartDaemon) -> None:
        """An invalid file in an include directory is skipped."""
        text = config("unix:path={dir}/bus", extra="<includedir>more.d</includedir>")
        files = {"more.d/a.conf": "<busconfig>", "more.d/b.conf": self.policy("org.example.B")}
        assert self.denied(text, start_daemon, "org.example.B", files)

    def test_cycle(self, refuse: Refusal) -> None:
        """A file that includes itself is refused."""
        assert f"Circular inclusion of file '{refuse.path}'" in refuse(
            document("<include>bus.conf</include>")
        )

    def test_long_cycle(self, refuse: Refusal) -> None:
        (refuse.directory / "a.conf").write_text("<busconfig><include>b.conf</include></busconfig>")
        (refuse.directory / "b.conf").write_text("<busconfig><include>a.conf</include></busconfig>")
        assert "Circular inclusion of file" in refuse(document("<include>a.conf</include>"))

    def test_twice_is_no_cycle(self, start_daemon: StartDaemon) -> None:
        text = config("unix:path={dir}/bus", extra="<include>a.conf</include><include>a.conf</include>")
        assert self.denied(text, start_daemon, "org.example.A", {"a.conf": self.policy("org.example.A")})

    def test_bad_included_file(self, refuse: Refusal) -> None:
        """The error names the included file."""
        (refuse.directory / "a.conf").write_text("<busconfig>\n<type>session</typo>\n</busconfig>")
        assert f"file {refuse.directory}/a.conf, line 2" in refuse(document("<include>a.conf</include>"))


class TestSessionPolicy:
    """session.conf: the owner of the bus may do everything, and no other user may connect."""

    @pytest.fixture
    def start_session(self, start_daemon: StartDaemon) -> StartDaemon:
        def begin() -> Daemon:
            return start_daemon(
                None,
                "--config-file=/usr/share/dbus-1/session.conf",
                "--address=unix:path={dir}/bus",
                "--nopidfile",
            )

        return begin

    def test_owner(self, start_session: StartDaemon) -> None:
        daemon = start_session()
        service, caller = daemon.connect(), daemon.connect()
        assert service.own("org.example.Service") == 1
        serial = caller.start_call("org.example.Service", "Hail")
        service.reply(service.expect(member="Hail", sender=caller.unique))
        assert caller.reply_to(serial).sender == service.unique

    def test_other_user(self, start_session: StartDaemon, unprivileged: int) -> None:
        daemon = start_session()
        with pytest.raises(Closed):
            daemon.connect(uid=unprivileged)


class TestSystemPolicy:
    """system.conf: names and calls are denied unless a file allows them; signals and replies are allowed."""

    @pytest.fixture
    def start_system(self, start_daemon: StartDaemon) -> StartDaemon:
        def begin(extra: str = "") -> Daemon:
            text = (
                f"{DOCTYPE}<busconfig><include>/usr/share/dbus-1/system.conf</include>{extra}"
                "<listen>unix:path={dir}/bus</listen></busconfig>"
            )
            return start_daemon(
                text, "--address=unix:path={dir}/bus", "--nopidfile", directory=open_directory()
            )

        return begin

    def test_nothing_may_be_owned(self, start_system: StartDaemon) -> None:
        client = start_system().connect()
        with pytest.raises(BusError) as caught:
            client.driver("RequestName", "su", "org.example.Denied", 0)
        assert caught.value.name == "org.freedesktop.DBus.Error.AccessDenied"
        assert caught.value.text == (
            f'Connection "{client.unique}" is not allowed to own the service "org.example.Denied" due '
            "to security policies in the configuration file"
        )

    def test_what_is_allowed(self, start_system: StartDaemon, unprivileged: int) -> None:
        """Any user can connect, call the bus, and make the calls that are allowed."""
        daemon = start_system(
            '<policy user="root"><allow own="org.example.Service"/></policy>'
            '<policy context="default"><allow send_destination="org.example.Service"/></policy>'
        )
        service, caller = daemon.connect(), daemon.connect(uid=unprivileged)
        assert service.own("org.example.Service") == 1
        serial = caller.start_call("org.example.Service", "Hail")
        service.reply(service.expect(member="Hail", sender=caller.unique))
        assert caller.reply_to(serial).sender == service.unique
        with pytest.raises(BusError) as caught:
            caller.own("org.example.Service")
        assert caught.value.name == "org.freedesktop.DBus.Error.AccessDenied"

    def test_calls_are_denied(self, start_system: StartDaemon) -> None:
        daemon = start_system()
        callee, caller = daemon.connect(), daemon.connect()
        with pytest.raises(BusError) as caught:
            caller.call(callee.unique, "Hail")
        assert caught.value.name == "org.freedesktop.DBus.Error.AccessDenied"
        assert caught.value.text.startswith("Rejected send message, ")
        assert f'type="method_call", sender="{caller.unique}"' in caught.value.text
        callee.expect_nothing(caller)

    def test_broadcasts_are_allowed(self, start_system: StartDaemon, unprivileged: int) -> None:
        daemon = start_system()
        listener, sender = daemon.connect(uid=unprivileged), daemon.connect()
        listener.match("type='signal'")
        sender.signal("News")
        listener.take(member="News", sender=sender.unique)


def open_directory() -> Path:
    """A directory in which a bus that has changed its user can remove its socket."""
    directory = private_directory()
    directory.chmod(0o777)
    return directory
