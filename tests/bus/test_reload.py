"""Specification, "ReloadConfig"; dbus-daemon(1), SIGHUP and changed files."""

from __future__ import annotations

import os
import pwd
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.daemon import Daemon, config, private_directory
from support.driver import refused
from support.raw import BUS, BUS_PATH, DEADLINE, ERROR, BusError, Client, Closed
from support.timeouts import scaled

from .conftest import StartDaemon

DENIED = "org.example.Denied"
DENY = f'<policy context="mandatory"><deny own="{DENIED}"/></policy>'
CHANGED = "ActivatableServicesChanged"


class Configured:
    """A daemon with a configuration that changes, and a client that waits for reloads."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.directory = daemon.directory
        self.file = daemon.directory / "bus.conf"
        self.text = self.file.read_text()
        self.client = daemon.connect()
        self.client.match(f"type='signal',sender='{BUS}',member='{CHANGED}'")

    def write(self, more: str, name: str = "bus.conf") -> None:
        """Replace a configuration file: the main one with additions, or another one."""
        if name == "bus.conf":
            text = self.text.replace("</busconfig>", f"{more}</busconfig>")
        else:
            text = f"<busconfig>{more}</busconfig>"
        path = self.directory / name
        new = path.with_suffix(".new")
        new.write_text(text)
        new.rename(path)

    def reload(self) -> None:
        self.client.driver("ReloadConfig")

    def hang_up(self) -> None:
        os.kill(self.daemon.pid, signal.SIGHUP)

    def wait(self) -> None:
        """Wait until the bus reports a reload or its failure."""
        self.client.take(member=CHANGED)

    def wait_for_log(self, text: str) -> None:
        """Wait for a reload with this line as its outcome."""
        deadline = time.monotonic() + DEADLINE
        while text not in self.daemon.stderr:
            assert time.monotonic() < deadline, self.daemon.stderr
            self.wait()

    def wait_until(self, may_own: bool) -> None:
        """Wait for a reload after which the policy allows or denies it; other reloads may come before."""
        while self.may_own() is not may_own:
            self.wait()

    def may_own(self, name: str = DENIED) -> bool:
        """Query the policy."""
        try:
            self.client.driver("RequestName", "su", name, 0)
        except BusError as error:
            assert error.name.endswith(".AccessDenied")
            return False
        self.client.driver("ReleaseName", "s", name)
        return True


@pytest.fixture
def configured(start_daemon: StartDaemon) -> Configured:
    """A bus with an included directory and a directory of services."""
    directory = private_directory()
    for name in ("conf.d", "services"):
        (directory / name).mkdir()
    extra = "<servicedir>{dir}/services</servicedir><includedir>{dir}/conf.d</includedir>"
    return Configured(start_daemon(config("unix:path={dir}/bus", extra=extra), directory=directory))


class TestReloadConfig:
    def test_reload(self, client: Client, other: Client, name: str) -> None:
        """ReloadConfig: an empty reply when it is done; names and rules stay."""
        client.own(name)
        other.match(f"sender='{name}'")
        assert other.driver("ReloadConfig") is None
        assert other.driver("GetNameOwner", "s", name) == client.unique
        client.signal("News")
        other.expect(member="News")

    def test_calls_during_a_reload(self, client: Client, other: Client) -> None:
        """Other clients are served meanwhile; the caller's next messages are processed after it."""
        serial = client.start_call(BUS, "ReloadConfig", interface=BUS, path=BUS_PATH)
        client.signal("News", destination=other.unique)
        assert other.driver("GetId")
        other.take(member="News")
        assert client.reply_to(serial).body == ()

    def test_two_callers_at_once(self, client: Client, other: Client) -> None:
        """Both get their replies."""
        serials = [
            (one, one.start_call(BUS, "ReloadConfig", interface=BUS, path=BUS_PATH))
            for one in (client, other)
        ]
        for one, serial in serials:
            assert one.reply_to(serial).body == ()

    def test_caller_leaves(self, configured: Configured) -> None:
        """The reload continues without its caller."""
        configured.write(DENY)
        caller = configured.daemon.connect()
        caller.start_call(BUS, "ReloadConfig", interface=BUS, path=BUS_PATH)
        caller.close()
        configured.wait()
        assert not configured.may_own()

    def test_unprivileged_caller(self, configured: Configured, unprivileged: int) -> None:
        """Any client that may send the call may reload."""
        configured.write(DENY)
        configured.daemon.connect(uid=unprivileged).driver("ReloadConfig")
        assert not configured.may_own()

    def test_log(self, configured: Configured) -> None:
        configured.reload()
        assert "] Reloaded configuration\n" in configured.daemon.stderr

    def test_services_changed(self, configured: Configured) -> None:
        """The signal is sent before the reply."""
        configured.reload()
        assert [message.member for message in configured.client.inbox] == [CHANGED]


class TestPolicy:
    def test_new_policy(self, configured: Configured) -> None:
        """The new policy is in force when the reply arrives, also for existing connections."""
        assert configured.may_own()
        configured.write(DENY)
        configured.reload()
        assert not configured.may_own()
        configured.write("")
        configured.reload()
        assert configured.may_own()

    def test_owner_of_a_name_that_is_denied_now(self, configured: Configured) -> None:
        """The owner keeps the name: the policy only applies to requests."""
        configured.client.own(DENIED)
        configured.write(DENY)
        configured.reload()
        assert configured.client.driver("GetNameOwner", "s", DENIED) == configured.client.unique
        assert configured.client.driver("ReleaseName", "s", DENIED) == 1
        assert refused(configured.client, "AccessDenied", "RequestName", "su", DENIED, 0)

    def test_messages(self, configured: Configured) -> None:
        """Later messages are evaluated with the new rules, whatever was allowed before."""
        sender, receiver = configured.daemon.connect(), configured.daemon.connect()
        deny = '<policy context="mandatory"><deny send_path="/secret"/></policy>'
        for rules in ("", deny, ""):
            configured.write(rules)
            configured.reload()
            serial = sender.start_call(receiver.unique, "Ask", path="/secret")
            if rules:
                sender.expect_error(serial, ERROR + "AccessDenied")
            else:
                receiver.reply(receiver.take(member="Ask"))
                sender.reply_to(serial)

    def test_permission_to_connect(self, configured: Configured, unprivileged: int) -> None:
        """Existing connections stay, new ones are checked with the new rules."""
        connected = configured.daemon.connect(uid=unprivileged)
        user = pwd.getpwuid(unprivileged).pw_name
        configured.write(f'<policy context="mandatory"><deny user="{user}"/></policy>')
        configured.reload()
        assert connected.driver("GetId")
        with pytest.raises((Closed, ConnectionError)):
            configured.daemon.connect(uid=unprivileged)

    def test_limits(self, configured: Configured) -> None:
        """New limits apply to existing connections, too."""
        configured.write('<limit name="max_names_per_connection">2</limit>')
        configured.reload()
        assert configured.client.own("org.example.First") == 1
        assert refused(configured.client, "LimitsExceeded", "RequestName", "su", "org.example.Second", 0)

    def test_what_is_not_reloaded(self, configured: Configured) -> None:
        """The address and the type of the bus stay."""
        text = configured.text
        address = f"unix:path={configured.directory}/bus"
        assert address in text
        configured.text = text.replace(address, address + "2").replace(
            "<type>session</type>", "<type>other</type>"
        )
        configured.write("<pidfile>/nowhere/pid</pidfile><user>nosuchuser</user><fork/>")
        configured.reload()
        assert not (configured.directory / "bus2").exists()
        assert configured.daemon.connect().driver("GetId")
        assert "] Reloaded configuration\n" in configured.daemon.stderr


class TestBadConfiguration:
    def test_bad_file(self, configured: Configured) -> None:
        """An invalid file changes nothing; the error and the log contain the reason."""
        configured.text = "<busconfig>\n<type>session</typo></busconfig>"
        configured.write("")
        with pytest.raises(BusError, match=r"line 2.*mismatched tag") as caught:
            configured.reload()
        assert f"Unable to reload configuration: {caught.value.text}" in configured.daemon.stderr
        assert configured.may_own()

    @pytest.mark.deviation("error-location")
    def test_line(self, configured: Configured) -> None:
        """The error names file and line."""
        configured.write("\n<nonsense/>")
        line = configured.file.read_text()[: configured.file.read_text().index("<nonsense")].count("\n") + 1
        with pytest.raises(BusError, match=f"{configured.file}:{line}: Element <nonsense> not allowed"):
            configured.reload()

    def test_removed_file(self, configured: Configured) -> None:
        configured.file.unlink()
        with pytest.raises(BusError, match=r"FileNotFound: .*No such file or directory"):
            configured.reload()
        configured.write(DENY)
        configured.reload()
        assert not configured.may_own()

    def test_bad_included_file(self, configured: Configured) -> None:
        """An invalid file in an included directory is skipped, the others are read."""
        configured.write("<nonsense/>", "conf.d/a.conf")
        configured.write(DENY, "conf.d/b.conf")
        configured.reload()
        assert not configured.may_own()
        assert "Element <nonsense> not allowed inside <busconfig>" in configured.daemon.stderr
        assert f"{configured.directory}/conf.d/a.conf" in configured.daemon.stderr

    def test_dangling_link(self, configured: Configured) -> None:
        (configured.directory / "conf.d/a.conf").symlink_to("/nowhere")
        configured.write(DENY, "conf.d/b.conf")
        configured.reload()
        assert not configured.may_own()

    def test_unknown_user(self, configured: Configured) -> None:
        rules = f'<policy user="nosuchuser"><allow own="{DENIED}"/></policy>'
        configured.write(DENY + rules, "conf.d/a.conf")
        configured.reload()
        assert not configured.may_own()
        assert 'Unknown username "nosuchuser" in message bus configuration file' in configured.daemon.stderr

    def test_broken_and_repaired(self, configured: Configured) -> None:
        """After a failed reload the next configuration is accepted."""
        configured.write("<nonsense/>")
        with pytest.raises(BusError):
            configured.reload()
        configured.write(DENY)
        configured.reload()
        assert not configured.may_own()


class TestSignal:
    def test_hang_up(self, configured: Configured) -> None:
        """SIGHUP will cause dbus-daemon to reload its configuration file."""
        configured.write(DENY)
        configured.hang_up()
        configured.wait_until(False)

    def test_bad_file(self, configured: Configured) -> None:
        """The bus keeps the old configuration."""
        configured.write("<nonsense/>")
        configured.hang_up()
        configured.wait_for_log("] Unable to reload configuration: ")
        assert configured.may_own()


class TestChangedFiles:
    """A changed file is detected without a request."""

    @pytest.mark.parametrize(
        "vanish",
        [lambda file: file.unlink(), lambda file: file.rename(file.with_suffix(".off"))],
        ids=["removed", "renamed"],
    )
    def test_included_directory(self, configured: Configured, vanish: Callable[[Path], None]) -> None:
        configured.write(DENY, "conf.d/a.conf")
        configured.wait_until(False)
        vanish(configured.directory / "conf.d/a.conf")
        configured.wait_until(True)

    def test_service(self, configured: Configured) -> None:
        """A new service can be started at once, and is announced."""
        path = configured.directory / "services/org.example.New.service"
        path.write_text("[D-BUS Service]\nName=org.example.New\nExec=/bin/true\n")
        configured.wait()
        while "org.example.New" not in configured.client.driver("ListActivatableNames"):
            configured.wait()

    @pytest.mark.deviation("watched-files")
    @pytest.mark.parametrize("name", ["bus.conf", "local.conf"])
    def test_file(self, configured: Configured, name: str) -> None:
        """The main file and its included files are watched, even those that do not exist yet."""
        configured.client.deadline = scaled(20.0)
        configured.text = configured.text.replace(
            "</busconfig>", '<include ignore_missing="yes">local.conf</include></busconfig>'
        )
        configured.write("")
        configured.reload()
        configured.client.inbox.clear()
        configured.write(DENY, name)
        configured.wait_until(False)

    @pytest.mark.deviation("watched-files")
    def test_new_directory(self, configured: Configured) -> None:
        """A missing directory is watched for."""
        configured.client.deadline = scaled(20.0)
        directory = configured.directory / "conf.d"
        directory.rmdir()
        configured.reload()
        configured.client.inbox.clear()
        directory.mkdir()
        configured.wait()
        configured.write(DENY, "conf.d/a.conf")
        configured.wait_until(False)

    @pytest.mark.deviation("watched-files")
    def test_repaired_file(self, configured: Configured) -> None:
        """A configuration that failed is read again when it has changed."""
        configured.client.deadline = scaled(20.0)
        configured.write("<nonsense/>")
        configured.wait_for_log("] Unable to reload configuration: ")
        configured.write(DENY)
        configured.wait_for_log("] Reloaded configuration\n")
        assert not configured.may_own()
