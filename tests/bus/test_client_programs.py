"""Programs that come with D-Bus implementations: dbus-send, dbus-monitor, gdbus, busctl, dbus-test-tool."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator

import pytest

from support.daemon import Daemon
from support.message import Message, Type
from support.programs import Program, need_programs, run
from support.raw import BUS, BUS_PATH, Client

StartProgram = Callable[..., Program]


@pytest.fixture
def start_program(bus: Daemon) -> Iterator[StartProgram]:
    """Start programs that end with the test, before its clients."""
    running: list[Program] = []

    def begin(*arguments: str) -> Program:
        running.append(Program(arguments, bus.environment(PYTHONUNBUFFERED="1")))
        return running[-1]

    yield begin
    for program in running:
        program.stop()


def serve(client: Client, program: Program, member: str, signature: str = "", *body: object) -> Message:
    """Answer one call of a program, and return the call."""
    call = client.take(type=Type.METHOD_CALL, member=member)
    client.reply(call, signature, *body)
    return call


class TestDbusSend:
    @pytest.fixture(autouse=True)
    def needed(self) -> None:
        need_programs("dbus-send")

    def test_get_id(self, bus: Daemon, client: Client) -> None:
        done = run(
            ["dbus-send", "--session", "--print-reply", f"--dest={BUS}", "/", f"{BUS}.GetId"],
            bus.environment(),
        )
        assert f'string "{client.driver("GetId")}"' in done.stdout

    def test_call(self, bus: Daemon, client: Client, name: str, start_program: StartProgram) -> None:
        client.own(name)
        program = start_program(
            "dbus-send",
            f"--dest={name}",
            "--print-reply",
            "/a",
            "org.example.I.Hail",
            "string:grüß dich",
            "array:int32:1,2",
            "dict:string:uint32:a,5",
            "variant:objpath:/x",
        )
        call = serve(client, program, "Hail", "as", ["x", "y"])
        assert call.signature == "saia{su}v"
        assert call.body[:3] == ("grüß dich", [1, 2], {"a": 5})
        assert 'string "y"' in program.read_all()
        assert program.process.wait() == 0

    def test_unknown_name(self, bus: Daemon) -> None:
        done = run(
            ["dbus-send", "--print-reply", "--dest=org.example.Absent", "/", "a.b.C"],
            bus.environment(),
            status=1,
        )
        assert done.stderr.startswith(
            "Error org.freedesktop.DBus.Error.ServiceUnknown: The name org.example.Absent was not provided"
        )

    def test_signal(self, bus: Daemon, client: Client) -> None:
        """The signal has been sent when the program exits."""
        client.match("interface='org.example.I'")
        run(["dbus-send", "--type=signal", "/a", "org.example.I.News", "int64:-5"], bus.environment())
        client.take(member="News", path="/a", body=(-5,))


class TestDbusMonitor:
    def test_signals(self, bus: Daemon, client: Client, start_program: StartProgram) -> None:
        """It prints messages that match its rule, with or without the Monitoring interface."""
        need_programs("dbus-monitor")
        program = start_program(
            "dbus-monitor", "--address", bus.address, "type='signal',interface='org.example.I'"
        )
        client.own("org.example.Monitored")
        output = program.read_until(
            'member=News\n   string "x"', lambda: client.signal("News", "s", "x", interface="org.example.I")
        )
        assert re.search(
            rf"signal time=[0-9.]+ sender={client.unique} -> destination=\(null destination\) serial=\d+ "
            r"path=/org/example/Object; interface=org.example.I; member=News",
            output,
        )

    def test_calls(self, bus: Daemon, client: Client, other: Client, start_program: StartProgram) -> None:
        """It prints calls between other clients, and their replies."""
        need_programs("dbus-monitor")
        program = start_program(
            "dbus-monitor", "--session", "member='Hail'", f"destination='{client.unique}'"
        )

        def hail() -> None:
            serial = client.start_call(other.unique, "Hail")
            other.reply(other.take(member="Hail"), "s", "well")
            client.reply_to(serial)

        # The first reply may be seen without its call, which came before the monitor.
        program.read_until("method call time=", hail)
        output = program.read_until('string "well"', hail)
        assert f"sender={client.unique} -> destination={other.unique}" in output
        assert f"sender={other.unique} -> destination={client.unique}" in output


class TestGdbus:
    @pytest.fixture(autouse=True)
    def needed(self) -> None:
        need_programs("gdbus")

    def test_list_names(self, bus: Daemon, client: Client) -> None:
        done = run(
            ["gdbus", "call", "--session", "-d", BUS, "-o", "/", "-m", f"{BUS}.ListNames"], bus.environment()
        )
        assert f"'{client.unique}'" in done.stdout

    def test_introspect(self, bus: Daemon) -> None:
        done = run(["gdbus", "introspect", "--session", "-d", BUS, "-o", BUS_PATH], bus.environment())
        assert "RequestName(in  s arg_0," in done.stdout
        assert "readonly as Features = [" in done.stdout

    def test_call(self, bus: Daemon, client: Client, name: str, start_program: StartProgram) -> None:
        client.own(name)
        program = start_program(
            "gdbus",
            "call",
            "-a",
            bus.address,
            "-d",
            name,
            "-o",
            "/a",
            "-m",
            "org.example.I.Hail",
            "['x']",
            "5",
        )
        serve(client, program, "Introspect", "s", "<node/>")
        call = serve(client, program, "Hail", "(su)", ("x", 7))
        assert call.body == (["x"], 5)
        assert "(('x', uint32 7),)" in program.read_all()

    def test_emit(self, bus: Daemon, client: Client) -> None:
        client.match("interface='org.example.I'")
        run(["gdbus", "emit", "--session", "-o", "/a", "-s", "org.example.I.News", "5"], bus.environment())
        client.take(member="News", body=(5,))

    def test_wait(self, bus: Daemon, client: Client, name: str, start_program: StartProgram) -> None:
        """It waits for NameOwnerChanged of a name."""
        client.match(f"member='NameOwnerChanged',arg0='{name}'")
        program = start_program("gdbus", "wait", "--session", name)
        client.own(name)
        assert program.read_all() == ""
        assert program.process.wait() == 0

    def test_monitor(self, bus: Daemon, client: Client, name: str, start_program: StartProgram) -> None:
        client.own(name)
        program = start_program("gdbus", "monitor", "--session", "-d", name)
        program.read_until(f"The name {name} is owned by {client.unique}")
        program.read_until(
            "org.example.I.News ('x',)", lambda: client.signal("News", "s", "x", interface="org.example.I")
        )
        client.driver("ReleaseName", "s", name)
        program.read_until(f"The name {name} does not have an owner")


class TestBusctl:
    @pytest.fixture(autouse=True)
    def needed(self) -> None:
        need_programs("busctl")

    def busctl(self, bus: Daemon, *arguments: str, status: int = 0) -> str:
        done = run(["busctl", "--user", "--no-pager", *arguments], bus.environment(), status=status)
        return done.stdout + done.stderr

    def test_list(self, bus: Daemon, client: Client, name: str) -> None:
        """It asks for the credentials of each name."""
        client.own(name)
        lines = {line.split()[0]: line.split()[1:] for line in self.busctl(bus, "list").splitlines()}
        assert lines[client.unique][0] == lines[name][0]
        assert lines[BUS][0] == str(bus.pid)
        assert lines[name][3] == client.unique

    def test_status(self, bus: Daemon, client: Client) -> None:
        assert f"UniqueName={client.unique}" in self.busctl(bus, "status", client.unique)
        assert "PID=" in self.busctl(bus, "status")

    def test_call(self, bus: Daemon, client: Client) -> None:
        output = self.busctl(bus, "call", BUS, BUS_PATH, BUS, "GetNameOwner", "s", client.unique)
        assert output == f's "{client.unique}"\n'

    def test_error(self, bus: Daemon) -> None:
        output = self.busctl(bus, "call", BUS, BUS_PATH, BUS, "GetNameOwner", "s", "org.example.No", status=1)
        assert output == "Call failed: Could not get owner of name 'org.example.No': no such name\n"

    def test_introspect(self, bus: Daemon) -> None:
        output = self.busctl(bus, "introspect", BUS, BUS_PATH)
        assert re.search(r"\.RequestName +method +su +u", output)
        assert re.search(r"\.Features +property +as", output)

    def test_property(self, bus: Daemon) -> None:
        assert '"HeaderFiltering"' in self.busctl(bus, "get-property", BUS, BUS_PATH, BUS, "Features")

    def test_tree(self, bus: Daemon) -> None:
        assert "/org/freedesktop/DBus" in self.busctl(bus, "tree", BUS)

    def test_emit(self, bus: Daemon, client: Client) -> None:
        client.match("interface='org.example.I'")
        self.busctl(bus, "emit", "/a", "org.example.I", "News", "as", "2", "x", "y")
        client.take(member="News", body=(["x", "y"],))

    def test_service(self, bus: Daemon, client: Client, name: str, start_program: StartProgram) -> None:
        client.own(name)
        program = start_program(
            "busctl", "--user", "call", name, "/a", "org.example.I", "Hail", "v", "s", "x"
        )
        serve(client, program, "Hail", "a{sv}", {})
        assert program.read_all() == "a{sv} 0\n"


class TestDbusTestTool:
    @pytest.fixture(autouse=True)
    def needed(self) -> None:
        need_programs("dbus-test-tool")

    def test_echo(self, bus: Daemon, client: Client, name: str, start_program: StartProgram) -> None:
        client.match(f"member='NameOwnerChanged',arg0='{name}'")
        start_program("dbus-test-tool", "echo", f"--name={name}")
        client.expect(member="NameOwnerChanged")
        assert client.call(name, "Hail", path="/a", interface="a.b").body == ()

    def test_spam(self, bus: Daemon, client: Client, name: str, start_program: StartProgram) -> None:
        """It makes many concurrent calls, each of which is answered."""
        client.match(f"member='NameOwnerChanged',arg0='{name}'")
        start_program("dbus-test-tool", "echo", f"--name={name}")
        client.expect(member="NameOwnerChanged")
        run(
            ["dbus-test-tool", "spam", f"--dest={name}", "--count=500", "--queue=50", "--payload=x"],
            bus.environment(),
        )

    def test_black_hole(self, bus: Daemon, client: Client, name: str, start_program: StartProgram) -> None:
        """It never replies; when it exits its callers get NoReply."""
        client.match(f"member='NameOwnerChanged',arg0='{name}'")
        program = start_program("dbus-test-tool", "black-hole", f"--name={name}")
        client.expect(member="NameOwnerChanged")
        serial = client.start_call(name, "Hail", path="/a", interface="a.b")
        client.sync()
        program.stop()
        assert client.expect_error(serial, "org.freedesktop.DBus.Error.NoReply")


class TestTogether:
    def test_all_in_one_session(self, bus: Daemon) -> None:
        """The calls at the start of a session, with three client libraries."""
        if not all(map(shutil.which, ("gdbus", "busctl", "dbus-send"))):
            pytest.skip("gdbus, busctl and dbus-send are not all installed")
        script = (
            f"gdbus call --session -d {BUS} -o / -m {BUS}.ListNames && busctl --user list && "
            f"dbus-send --session --print-reply --dest={BUS} / {BUS}.GetId"
        )
        assert "string" in run(["sh", "-c", script], bus.environment()).stdout
