"""Services started by a real daemon."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from support.daemon import STRICT_POLICY, Daemon, children, private_directory
from support.message import Type
from support.raw import BUS, BUS_PATH, ERROR, BusError, Client

from .conftest import Services, failure, wait_until

HERE = Path(__file__).parent
SERVICE = f"{sys.executable} {HERE / 'service.py'}"
NAME = "org.example.Service"
OTHER = "org.example.Other"


@pytest.fixture
def daemon(services: Services) -> Daemon:
    """A session bus with one service."""
    services.add(NAME, f"{SERVICE} {NAME}")
    return services.start(limits={"service_start_timeout": 15_000})


@pytest.fixture
def client(daemon: Daemon) -> Client:
    return daemon.connect()


def descendants(pid: int) -> set[int]:
    return {int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


class TestStart:
    def test_by_a_call(self, client: Client) -> None:
        assert client.call(NAME, "Hello").sender != client.unique

    def test_in_order(self, client: Client) -> None:
        """Messages before and after the name appeared."""
        for number in range(50):
            client.start_call(NAME, f"Call{number}")
        client.signal("Signal", destination=NAME)
        seen = client.call(NAME, "Seen").body[0]
        assert seen == [*(f"Call{number}" for number in range(50)), "Signal"]

    def test_of_several_senders(self, daemon: Daemon) -> None:
        clients = [daemon.connect() for _ in range(10)]
        serials = [client.start_call(NAME, "Hello") for client in clients]
        replies = [client.reply_to(serial) for client, serial in zip(clients, serials, strict=True)]
        assert len({reply.sender for reply in replies}) == 1

    def test_by_name(self, client: Client) -> None:
        assert client.driver("StartServiceByName", "su", NAME, 0) == 1
        assert client.driver("NameHasOwner", "s", NAME)
        assert client.driver("StartServiceByName", "su", NAME, 0) == 2

    def test_caller_is_not_stopped(self, client: Client) -> None:
        """StartServiceByName takes as long as the service; other calls are processed meanwhile."""
        client.match(f"type='signal',member='NameOwnerChanged',arg0='{NAME}'")
        serial = client.start_call(BUS, "StartServiceByName", "su", NAME, 0, path=BUS_PATH, interface=BUS)
        assert not client.driver("NameHasOwner", "s", NAME)
        assert client.reply_to(serial).body == (1,)

    def test_descriptors(self, client: Client) -> None:
        """They are kept with their parked message."""
        read, write = os.pipe()
        os.write(write, b"in the pipe")
        os.close(write)
        reply = client.call(NAME, "Fd", "h", 0, fds=[read])
        os.close(read)
        assert reply.body == ("in the pipe",)

    def test_service_in_the_background(self, services: Services) -> None:
        """The successful exit of its parent is no failure."""
        services.add(NAME, f"/bin/sh -c '{SERVICE} {NAME} &'")
        assert services.start().connect().call(NAME, "Hello")

    def test_again(self, client: Client) -> None:
        client.match(f"type='signal',member='NameOwnerChanged',arg0='{NAME}'")
        for _ in range(2):
            client.start_call(NAME, "Quit")
            client.take(member="NameOwnerChanged")
            client.take(member="NameOwnerChanged")

    def test_two_names_of_one_program(self, services: Services) -> None:
        for name in (NAME, OTHER):
            services.add(name, f"{SERVICE} {NAME} {OTHER}")
        client = services.start().connect()
        assert client.call(NAME, "Hello").sender == client.call(OTHER, "Hello").sender

    def test_many_at_once(self, services: Services) -> None:
        names = [f"{NAME}{number}" for number in range(8)]
        for name in names:
            services.add(name, f"{SERVICE} {name}")
        client = services.start().connect()
        serials = [client.start_call(name, "Hello") for name in names]
        assert len({client.reply_to(serial).sender for serial in serials}) == 8

    def test_no_process_is_left_behind(self, daemon: Daemon, client: Client) -> None:
        """Every exited program is reaped, whenever it exits."""
        client.call(NAME, "Hello")
        client.start_call(NAME, "Quit")
        wait_until(lambda: descendants(daemon.pid) == set())

    def test_services_outlive_the_bus(self, services: Services) -> None:
        services.add(NAME, "/bin/sleep 60")
        daemon = services.start()
        daemon.connect().start_call(NAME, "Hello")
        wait_until(lambda: descendants(daemon.pid))
        (service,) = descendants(daemon.pid)
        daemon.process.kill()
        daemon.process.wait()
        # It is reparented to us, and ends with the test.
        assert service in children()

    def test_environment(self, daemon: Daemon, client: Client) -> None:
        environment = json.loads(client.call(NAME, "Environment").body[0])
        assert environment["DBUS_STARTER_ADDRESS"] == daemon.address
        assert environment["DBUS_SESSION_BUS_ADDRESS"] == daemon.address
        assert environment["DBUS_STARTER_BUS_TYPE"] == "session"
        assert "LISTEN_FDS" not in environment

    def test_limits_of_the_bus_are_not_inherited(self, services: Services, tmp_path: Path) -> None:
        """The bus's descriptor limit and its OOM score are not inherited by services."""
        if os.geteuid() != 0:
            pytest.skip("needs root, to be protected from the OOM killer")
        told = tmp_path / "told"
        commands = f"ulimit -n >{told}; cat /proc/self/oom_score_adj >>{told}; exit 3"
        services.add(NAME, f"/bin/sh -c '{commands}'")
        shell = "ulimit -Sn 500; echo -900 >/proc/self/oom_score_adj"
        client = services.start(options={"shell": shell}).connect()
        assert failure(client, NAME)[0] == "Spawn.ChildExited"
        assert told.read_text() == "500\n0\n"

    def test_label_for_apparmor(self, services: Services) -> None:
        """AssumedAppArmorLabel has no effect without AppArmor."""
        services.add(NAME, f"{SERVICE} {NAME}", AssumedAppArmorLabel="/usr/bin/service")
        assert services.start().connect().call(NAME, "Hello")

    def test_update_environment(self, client: Client) -> None:
        client.driver("UpdateActivationEnvironment", "a{ss}", {"A": "ü", "PATH": "/nowhere"})
        environment = json.loads(client.call(NAME, "Environment").body[0])
        assert (environment["A"], environment["PATH"]) == ("ü", "/nowhere")


class TestFiles:
    """New .service files are found without a reload."""

    def test_added_later(self, services: Services) -> None:
        client = services.start().connect()
        text = f"The name {NAME} was not provided by any .service files"
        assert failure(client, NAME) == ("ServiceUnknown", text)
        services.add(NAME, f"{SERVICE} {NAME}", filename="any.service")
        assert client.call(NAME, "Hello")

    def test_list(self, services: Services) -> None:
        services.add(NAME, "/bin/true")
        client = services.start().connect()
        assert sorted(client.driver("ListActivatableNames")) == [NAME, BUS]

    def test_removed(self, services: Services) -> None:
        services.add(NAME, "/bin/true")
        client = services.start().connect()
        (services.directory / f"{NAME}.service").unlink()
        assert failure(client, NAME)[0] == "ServiceUnknown"

    @pytest.mark.deviation("service-files")
    def test_every_change_counts_at_once(self, services: Services) -> None:
        """The same once the bus watches the directory, and need not read it for every lookup."""
        daemon = services.start()
        client = daemon.connect()
        file = services.directory / "any.service"
        target = services.directory.with_name("target")
        text = "[D-BUS Service]\nName={}\nExec={}\n"

        def started() -> str:
            return failure(client, NAME)[0]

        def check() -> None:
            assert started() == "ServiceUnknown"
            file.write_text(text.format(NAME, "/bin/false"))
            assert started() == "Spawn.ChildExited"
            file.write_text(text.format(NAME, "/no/such/program"))
            assert started() == "Spawn.ExecFailed"
            file.rename(file.with_name("other.service"))
            assert started() == "Spawn.ExecFailed"
            file.with_name("other.service").unlink()
            assert started() == "ServiceUnknown"
            target.write_text(text.format(NAME, "/bin/false"))
            file.symlink_to(target)
            assert started() == "Spawn.ChildExited"
            target.write_text(text.format(NAME, "/no/such/program"))
            assert started() == "Spawn.ExecFailed"
            file.unlink()
            assert started() == "ServiceUnknown"
            services.directory.rename(services.directory.with_name("old"))
            services.directory.mkdir()
            file.write_text(text.format(NAME, "/bin/false"))
            assert started() == "Spawn.ChildExited"
            file.unlink()

        check()
        wait_until(daemon.watches)
        check()
        check()

    def test_session_s_own_directory(self, services: Services, tmp_path: Path) -> None:
        """The bus makes it; files in it must be named after the service."""
        runtime = tmp_path / "runtime"
        runtime.mkdir(0o700)
        env = {**os.environ, "XDG_RUNTIME_DIR": str(runtime)}
        extra = "<standard_session_servicedirs/>"
        client = services.start(extra=extra, options={"env": env}).connect()
        services.directory = runtime / "dbus-1/services"
        services.add(NAME, f"{SERVICE} {NAME}")
        services.add(OTHER, "/bin/true", filename="other.service")
        assert client.call(NAME, "Hello")
        assert failure(client, OTHER)[0] == "ServiceUnknown"

    def test_reload(self, services: Services, tmp_path: Path) -> None:
        """Subscribers are notified of a possible change."""
        daemon = services.start()
        client = daemon.connect()
        client.match("type='signal',member='ActivatableServicesChanged'")
        new = tmp_path / "new"
        new.mkdir()
        path = daemon.directory / "bus.conf"
        path.write_text(path.read_text().replace(str(services.directory), str(new)))
        services.directory = new
        services.add(NAME, "/bin/true")
        client.driver("ReloadConfig")
        client.take(type=Type.SIGNAL, member="ActivatableServicesChanged", interface=BUS, path=BUS_PATH)
        assert NAME in client.driver("ListActivatableNames")


class TestFailures:
    """Failures are reported at once, with the reference's texts."""

    TEXTS: ClassVar = {
        "/bin/sh -c 'exit 3'": ("Spawn.ChildExited", "Process {} exited with status 3"),
        "/bin/sh -c 'kill -9 $$'": ("Spawn.ChildSignaled", "Process {} received signal 9"),
        "/no/such/program": (
            "Spawn.ExecFailed",
            "Failed to execute program {}: No such file or directory",
        ),
        "/": ("Spawn.ExecFailed", "Failed to execute program {}: Permission denied"),
        "true": ("Spawn.ExecFailed", "Failed to execute program {}: No such file or directory"),
        "/bin/sh 'x": ("InvalidArgs", "Unclosed quotes in command line"),
    }

    @pytest.mark.parametrize("exec", TEXTS)
    def test_texts(self, services: Services, exec: str) -> None:
        services.add(NAME, exec)
        name, text = self.TEXTS[exec]
        client = services.start().connect()
        assert failure(client, NAME) == (name, text.format(NAME))
        with pytest.raises(BusError, match=ERROR + name):
            client.driver("StartServiceByName", "su", NAME, 0)

    def test_time_out(self, services: Services) -> None:
        """The program is killed."""
        services.add(NAME, "/bin/sleep 60")
        daemon = services.start(limits={"service_start_timeout": 100})
        text = f"Failed to activate service '{NAME}': timed out (service_start_timeout=100ms)"
        assert failure(daemon.connect(), NAME) == ("TimedOut", text)
        wait_until(lambda: descendants(daemon.pid) == set())

    def test_limit(self, services: Services) -> None:
        services.add(NAME, "/bin/sleep 60")
        client = services.start(limits={"max_pending_service_starts": 2}).connect()
        client.start_call(NAME, "One")
        client.start_call(NAME, "Two")
        text = (
            "The maximum number of pending activations has been reached, activation of"
            f" {NAME} failed (max_pending_service_starts=2)"
        )
        assert failure(client, NAME) == ("LimitsExceeded", text)

    def test_errors_for_signals_and_replies(self, services: Services) -> None:
        """They start services as calls do, and their errors are reported too."""
        client = services.start().connect()
        serial = client.signal("Signal", destination=NAME)
        assert client.expect_error(serial, ERROR + "ServiceUnknown")
        serial = client.send(client.message(Type.ERROR, error_name="a.b", destination=NAME, reply_serial=7))
        assert client.expect_error(serial, ERROR + "ServiceUnknown")


class TestPolicy:
    """The sender's policy is evaluated before the start, that of both sides when the service is there."""

    def policy(self, rule: str) -> str:
        return STRICT_POLICY.replace("</policy>", rule + "</policy>")

    def test_before(self, services: Services, tmp_path: Path) -> None:
        """Nothing is started for a sender without permission."""
        services.add(NAME, f"/usr/bin/touch {tmp_path}/started")
        policy = self.policy(f'<deny send_destination="{NAME}"/>')
        client = services.start(policy=policy).connect()
        name, text = failure(client, NAME)
        assert name == "AccessDenied"
        assert text.startswith('Rejected send message, 2 matched rules; type="method_call", sender=":1.0" (')
        assert text.endswith(f'destination="{NAME}" (bus)')
        client.sync()
        assert not (tmp_path / "started").exists()

    def test_after(self, services: Services) -> None:
        """Another name of the service, unknown before, makes the difference."""
        services.add(NAME, f"{SERVICE} {OTHER} {NAME}")
        policy = self.policy(f'<deny send_destination="{OTHER}"/>')
        name, text = failure(services.start(policy=policy).connect(), NAME)
        assert name == "AccessDenied"
        assert text.startswith("Rejected send message")
        assert not text.endswith("(bus)")

    def test_start_by_name(self, services: Services) -> None:
        """The call is not a message to the service."""
        services.add(NAME, f"{SERVICE} {NAME}")
        policy = self.policy(f'<deny send_destination="{NAME}"/>')
        client = services.start(policy=policy).connect()
        assert client.driver("StartServiceByName", "su", NAME, 0) == 1


@pytest.fixture(scope="module")
def installation(compile_c: Any) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root, to make a program setuid")
    path = private_directory()
    source = HERE.parents[1] / "daemon/launch/launch_helper.c"
    program = compile_c(path.name, source, f'-DSYSTEM_CONFIG_FILE="{path}/system.conf"')
    shutil.copy(program, path / "helper")
    (path / "helper").chmod(0o4755)
    (path / "system.conf").write_text(
        f"<busconfig><user>nobody</user><servicedir>{path}/services</servicedir></busconfig>"
    )
    yield path
    shutil.rmtree(path)


class TestSystemBus:
    """A bus that has dropped privileges starts services as their users through the helper."""

    @pytest.fixture
    def client(self, services: Services, installation: Path) -> Iterator[Client]:
        services.directory = installation / "services"
        services.directory.mkdir()
        extra = f"<user>nobody</user><servicehelper>{installation}/helper</servicehelper>"
        yield services.start(type="system", extra=extra).connect()
        shutil.rmtree(services.directory)

    def test_user(self, services: Services, client: Client) -> None:
        services.directory.chmod(0o777)
        user_file = services.directory / "user"
        services.add(NAME, f"/bin/sh -c 'id -un > {user_file}; exit 6'", User="daemon")
        assert failure(client, NAME)[0] == "Spawn.ServiceNotFound"
        assert user_file.read_text() == "daemon\n"

    def test_unknown_user(self, services: Services, client: Client) -> None:
        services.add(NAME, "/bin/true", User="nobody-at-all")
        text = "Failed to setup environment correctly"
        assert failure(client, NAME) == ("Spawn.FailedToSetup", text)

    def test_no_user(self, services: Services, client: Client) -> None:
        services.add(NAME, "/bin/true")
        text = "Cannot do system-bus activation with no user"
        assert failure(client, NAME) == ("Spawn.FileInvalid", text)

    def test_no_helper(self, services: Services) -> None:
        services.add(NAME, "/bin/true", User="daemon")
        extra = "<servicehelper>/no/such/helper</servicehelper>"
        client = services.start(type="system", extra=extra).connect()
        text = f"Failed to execute program {NAME}: No such file or directory"
        assert failure(client, NAME) == ("Spawn.ExecFailed", text)

    def test_another_helper(self, services: Services) -> None:
        """A reload can change the path of the helper."""
        services.add(NAME, "/bin/true", User="daemon")
        extra = "<servicehelper>/no/such/helper</servicehelper>"
        daemon = services.start(type="system", extra=extra)
        client = daemon.connect()
        assert failure(client, NAME)[0] == "Spawn.ExecFailed"
        path = daemon.directory / "bus.conf"
        path.write_text(path.read_text().replace("/no/such/helper", "/bin/false"))
        client.driver("ReloadConfig")
        text = "Launch helper exited with unknown return code 1"
        assert failure(client, NAME) == ("Spawn.ChildExited", text)

    def test_environment_can_t_be_changed(self, client: Client) -> None:
        with pytest.raises(BusError, match="Cannot change activation environment on a system bus"):
            client.driver("UpdateActivationEnvironment", "a{ss}", {"A": "1"})

    @pytest.mark.deviation("unknown-user")
    def test_client_without_an_entry_in_the_user_database(self, services: Services, client: Client) -> None:
        """A user without an entry, as with DynamicUser=, is served like any other."""
        services.add(NAME, "/bin/sh -c 'exit 7'", User="daemon")
        dynamic = Client(services.daemon.address, uid=61_234)
        try:
            assert failure(dynamic, NAME)[0] == "Spawn.PermissionsInvalid"
        finally:
            dynamic.close()
