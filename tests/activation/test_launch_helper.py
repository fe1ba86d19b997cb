"""The launch helper: what it starts and refuses, without trusting its caller."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from omnibus.daemon.activation.failures import HELPER_ERRORS
from omnibus.policy.service_dirs import system_dirs
from support.daemon import private_directory
from support.retries import USERS, retry_on_changes_of

from .conftest import LAUNCH, SANITIZERS, Parts

NAME = "org.example.Service"
HOSTILE = {
    "LD_PRELOAD": "/tmp/evil.so",
    "PATH": "/tmp/evil",
    "DBUS_STARTER_ADDRESS": "evil",
    "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/tmp/evil",
    "DBUS_VERBOSE": "1",
    "IFS": "/",
    "TEST_LAUNCH_HELPER_CONFIG": "/tmp/evil.conf",
}
CLEAN = {
    "DBUS_STARTER_ADDRESS": "unix:path=/run/dbus/system_bus_socket",
    "DBUS_STARTER_BUS_TYPE": "system",
}


class Codes:
    """Meanings of the exit codes (launch_helper.h)."""

    CONFIG_INVALID = 3
    SETUP_FAILED = 4
    NAME_INVALID = 5
    SERVICE_NOT_FOUND = 6
    PERMISSIONS_INVALID = 7
    FILE_INVALID = 8
    EXEC_FAILED = 9
    INVALID_ARGS = 10


class Helper:
    """The helper with a configuration and two directories of services."""

    def __init__(self, program: Path, path: Path) -> None:
        self.program = program
        self.config = path / "system.conf"
        self.first, self.second = path / "first", path / "second"
        self.first.mkdir()
        self.second.mkdir()
        self.environment: Mapping[str, str] = {"TEST_LAUNCH_HELPER_CONFIG": str(self.config)}
        self.configure()

    def configure(self, text: str | None = None) -> None:
        directories = f"<servicedir>{self.first}</servicedir><servicedir>\n {self.second}</servicedir>"
        text = text or f"<busconfig><type>system</type><user> nobody </user>{directories}</busconfig>"
        self.config.write_text(text)

    def service(self, exec: str, place: Path | None = None, **keys: str) -> Path:
        path = (place or self.first) / f"{NAME}.service"
        values = {"Name": NAME, "Exec": exec, "User": "nobody", **keys}
        lines = [f"{key}={value}\n" for key, value in values.items() if value]
        path.write_text("[D-BUS Service]\n" + "".join(lines))
        return path

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        options = {"env": self.environment, "capture_output": True, "text": True, **options}
        return subprocess.run([self.program, *(arguments or (NAME,))], check=False, timeout=60, **options)

    def fails(self, *arguments: str, text: str = "") -> int:
        """Return the exit code; standard error must say why."""
        done = self.run(*arguments)
        assert done.stdout == ""
        assert done.stderr.startswith("omnibus-daemon-launch-helper: ")
        assert text in done.stderr
        assert "Sanitizer" not in done.stderr
        return done.returncode


@pytest.fixture
def helper(compile_c: Callable[..., Path], tmp_path: Path) -> Helper:
    """The helper built for tests, under the sanitizers."""
    source = LAUNCH / "launch_helper.c"
    return Helper(compile_c("launch-helper-test", source, "-DLAUNCH_HELPER_TEST", *SANITIZERS), tmp_path)


class TestStart:
    def test_arguments_and_environment(self, helper: Helper) -> None:
        """Nothing of the caller's environment is passed on."""
        helper.environment = {**HOSTILE, **helper.environment, "LD_PRELOAD": ""}
        helper.service("/usr/bin/printf '%s|' 'two words'")
        assert helper.run().stdout == "two words|"
        helper.service("/usr/bin/env -0")
        variables = dict(one.split("=", 1) for one in helper.run().stdout.split("\0") if one)
        assert variables == CLEAN

    def test_first_directory_counts(self, helper: Helper) -> None:
        helper.service("/bin/echo second", helper.second)
        assert helper.run().stdout == "second\n"
        helper.service("/bin/echo first", helper.first)
        assert helper.run().stdout == "first\n"

    @pytest.mark.parametrize("broken", ["[D-BUS Service", "Name=x\n", "[D-BUS Service]\nExec=\\z\n"])
    def test_invalid_file_is_skipped(self, helper: Helper, broken: str) -> None:
        helper.service("/bin/echo second", helper.second)
        (helper.first / f"{NAME}.service").write_text(broken)
        assert helper.run().stdout == "second\n"

    def test_special_file_is_skipped(self, helper: Helper) -> None:
        """A FIFO does not block it."""
        helper.service("/bin/echo second", helper.second)
        os.mkfifo(helper.first / f"{NAME}.service")
        assert helper.run().stdout == "second\n"

    def test_large_file_is_skipped(self, helper: Helper) -> None:
        helper.service("/bin/echo second", helper.second)
        path = helper.service("/bin/echo first")
        path.write_text(path.read_text() + "#" * 128 * 1024)
        assert helper.run().stdout == "second\n"

    def test_descriptors(self, helper: Helper, tmp_path: Path) -> None:
        """Only 0, 1 and 2 are passed on, and they are always there."""
        helper.service("/bin/sh -c 'ls /proc/self/fd > %s'" % (tmp_path / "fds"))
        fd = os.open("/dev/null", os.O_RDONLY)
        try:
            helper.run(pass_fds=[fd])
        finally:
            os.close(fd)
        # 3 is the directory itself
        assert (tmp_path / "fds").read_text().split() == ["0", "1", "2", "3"]
        subprocess.run(
            ["/bin/sh", "-c", f"exec {helper.program} {NAME} <&- >&- 2>&-"],
            env=helper.environment,
            check=True,
        )
        assert (tmp_path / "fds").read_text().split() == ["0", "1", "2", "3"]


class TestRefusals:
    @pytest.mark.parametrize(
        "name",
        [
            "",
            "x",
            "a.",
            ".a",
            "a..b",
            "1a.b",
            "a.1b",
            ":1.5",
            "a.b/../../c.d",
            "/a.b",
            "ä.b",
            "a.b\n",
            "a.%s%n",
            "a." + "b" * 254,
        ],
    )
    def test_name(self, helper: Helper, name: str) -> None:
        """The name becomes part of a path: any invalid bus name is refused before a file is read."""
        helper.config.unlink()
        assert helper.fails(name) == Codes.NAME_INVALID

    @pytest.mark.parametrize("arguments", [("a.b", "c.d"), ("", "")])
    def test_arguments(self, helper: Helper, arguments: tuple[str, ...]) -> None:
        assert helper.fails(*arguments) == Codes.INVALID_ARGS

    def test_no_service(self, helper: Helper) -> None:
        text = f"the name {NAME} was not provided by any .service files"
        assert helper.fails(text=text) == Codes.SERVICE_NOT_FOUND

    def test_file_for_another_name(self, helper: Helper) -> None:
        helper.service("/bin/true", Name="org.example.Other")
        assert helper.fails(text="is for 'org.example.Other'") == Codes.FILE_INVALID

    @pytest.mark.parametrize("key", ["Name", "Exec", "User"])
    def test_missing_key(self, helper: Helper, key: str) -> None:
        helper.service("/bin/true", **{key: ""})
        assert helper.fails() == Codes.FILE_INVALID

    @pytest.mark.parametrize("exec", ["/bin/sh 'x", '/bin/sh "x\\\\', "/bin/sh x\\\\"])
    def test_command_line(self, helper: Helper, exec: str) -> None:
        helper.service(exec)
        assert helper.fails(text="unclosed quotes") == Codes.INVALID_ARGS

    @pytest.mark.parametrize(
        ("exec", "text"),
        [("/no/such/program", "No such file"), ("/", "Permission"), ("true", "No such file")],
    )
    def test_program(self, helper: Helper, exec: str, text: str) -> None:
        """Nothing is looked up in $PATH."""
        helper.service(exec)
        assert helper.fails(text=text) == Codes.EXEC_FAILED

    @pytest.mark.parametrize(
        "text", ["<busconfig/>", "<busconfig><user></user></busconfig>", "<a/>", "<", "x"]
    )
    def test_configuration(self, helper: Helper, text: str) -> None:
        helper.configure(text)
        assert helper.fails() == Codes.CONFIG_INVALID

    def test_no_configuration(self, helper: Helper) -> None:
        helper.config.unlink()
        assert helper.fails() == Codes.CONFIG_INVALID

    def test_no_configuration_for_tests(self, helper: Helper) -> None:
        helper.environment = {}
        assert helper.fails() == Codes.SETUP_FAILED

    def test_the_bus_knows_the_codes(self) -> None:
        known = {value for name, value in vars(Codes).items() if name.isupper()}
        assert known <= HELPER_ERRORS.keys()


CONFIGURATIONS = {
    "<busconfig><user>u</user></busconfig>": ["u"],
    "<busconfig></busconfig>": [None],
    "<busconfig><user>a</user><user>b</user></busconfig>": ["b"],
    "<busconfig><user>a</user><user> </user></busconfig>": ["a"],
    "<busconfig><servicedir>/a&amp;b&lt;&gt;&quot;&apos;</servicedir></busconfig>": [None, "/a&b<>\"'"],
    "<busconfig><servicedir>relative</servicedir></busconfig>": [None],
    "<busconfig><servicedir>/a<!-- x --> b</servicedir></busconfig>": [None, "/a b"],
    "<busconfig><!-- <user>x</user> --></busconfig>": [None],
    "<busconfig><policy user='x'><user>x</user></policy></busconfig>": [None],
    "<busconfig><a b='<user>x</user>' c=\"'>'\" /></busconfig>": [None],
    "<busconfig ><user >u</user ></busconfig >": ["u"],
    "<?xml version='1.0'?><!DOCTYPE busconfig PUBLIC '>' \"'>'\">\n<busconfig/>\n<!-- -->": [None],
    "\ufeff<busconfig/>": [None],
    "<busconfig><include>/x</include><fork/><user>u</user></busconfig>": ["u"],
}
MALFORMED = [
    "",
    "  ",
    "x",
    "<busconfig>",
    "<busconfig/>x",
    "<busconfig/><busconfig/>",
    "<busconfig></other>",
    "<busconfig><user></busconfig></user>",
    "</busconfig>",
    "<busconfig><user>x</busconfig>",
    "<other/>",
    "<busconfig>&other;</busconfig>",
    "<busconfig>&#65;</busconfig>",
    "&amp;<busconfig/>",
    "<busconfig>&amp</busconfig>",
    "<busconfig><![CDATA[x]]></busconfig>",
    "<!DOCTYPE busconfig [<!ENTITY x 'y'>]><busconfig/>",
    "<busconfig/><!DOCTYPE busconfig>",
    "<!DOCTYPE busconfig",
    "<!DOCTYPE '",
    "<busconfig a/>",
    "<busconfig a=x/>",
    "<busconfig a='x/>",
    "<busconfig / >",
    "<busconfig <a/>",
    "<!-- ",
    "<?x ",
    "<",
    "</",
    "<busconfig",
    "<busconfig\0/>",
    "<busconfig>\0</busconfig>",
    "<" + "a" * 64 + "/>",
    "<busconfig>" + "<a>" * 16 + "</a>" * 16 + "</busconfig>",
]


class TestConfiguration:
    """Only the bus's user and the directories are read, and XML entities are not expanded."""

    @pytest.mark.parametrize("text", CONFIGURATIONS)
    def test_read(self, parts: Parts, text: str) -> None:
        assert parts.bus_config(text.encode()) == CONFIGURATIONS[text]

    @pytest.mark.parametrize("text", MALFORMED)
    def test_malformed(self, parts: Parts, text: str) -> None:
        assert parts.bus_config(text.encode()) is None

    def test_every_prefix_of_a_file(self, parts: Parts) -> None:
        text = b"<?x?><!DOCTYPE a '>'><busconfig a='b'><!-- --><user>&lt;u</user></busconfig>"
        assert parts.bus_config(text) == ["<u"]
        for end in range(len(text)):
            assert parts.bus_config(text[:end]) is None

    def test_standard_directories(self, parts: Parts) -> None:
        """They are the same as those of the bus, in the same order."""
        text = b"<busconfig><servicedir>/a</servicedir><standard_system_servicedirs/></busconfig>"
        standard = [directory.path for directory in system_dirs()]
        assert parts.bus_config(text) == [None, "/a", *standard]

    def test_of_the_distribution(self, parts: Parts) -> None:
        path = LAUNCH.parent / "conf/system.conf"
        found = parts.bus_config(path.read_bytes())
        assert found is not None
        assert found[0] == "messagebus"
        assert len(found) == 6


# As it is installed


@pytest.fixture(scope="module")
def installation(compile_c: Callable[..., Path]) -> Iterator[Path]:
    """The helper as installed, except for the path of its configuration, in a directory open to all users."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to make a program setuid")
    path = private_directory()
    try:
        source, config = LAUNCH / "launch_helper.c", path / "system.conf"
        program = compile_c(path.name, source, f'-DSYSTEM_CONFIG_FILE="{config}"')
        shutil.copy(program, path / "helper")
        yield path
    finally:
        shutil.rmtree(path)


@pytest.fixture
def installed(installation: Path) -> Iterator[Helper]:
    """The helper, setuid root, executable by all users."""
    (installation / "helper").chmod(0o4755)
    found = Helper(installation / "helper", installation)
    found.environment = HOSTILE | {"LD_PRELOAD": ""}
    yield found
    for directory in (found.first, found.second):
        shutil.rmtree(directory)


def as_user(name: str) -> dict[str, Any]:
    user = pwd.getpwnam(name)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [user.pw_gid]}


SHOW = """import json, os, sys
capabilities = dict(line.split(":", 1) for line in open("/proc/self/status"))["CapEff"].strip()
print(json.dumps([os.getresuid(), os.getresgid(), os.getgroups(), capabilities, dict(os.environ)]))
"""


class TestInstalled:
    """Setuid root, called by the bus's user: <user> is nobody here."""

    def show(self, helper: Helper, user: str) -> Any:
        program = helper.config.with_name("show.py")
        program.write_text(SHOW)
        helper.service(f"/usr/bin/python3 -I {program}", User=user)
        done = helper.run(**as_user("nobody"))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @pytest.mark.parametrize("name", ["daemon", "mail"])
    @retry_on_changes_of(*USERS)
    def test_becomes_the_user(self, installed: Helper, name: str) -> None:
        """It gets the user's ids and groups and nothing else, and can't regain privileges."""
        user = pwd.getpwnam(name)
        uids, gids, groups, capabilities, environment = self.show(installed, name)
        assert uids == [user.pw_uid] * 3
        assert gids == [user.pw_gid] * 3
        assert sorted(groups) == sorted(os.getgrouplist(name, user.pw_gid))
        assert int(capabilities, 16) == 0
        environment.pop("LC_CTYPE", None)
        assert environment == CLEAN

    def test_root_s_services(self, installed: Helper) -> None:
        uids, gids, *_ = self.show(installed, "root")
        assert (uids, gids) == ([0] * 3, [0] * 3)

    @pytest.mark.parametrize("caller", ["daemon", "root"])
    def test_called_by_another(self, installed: Helper, caller: str) -> None:
        installed.service("/bin/echo started")
        done = installed.run(**as_user(caller))
        assert (done.returncode, done.stdout) == (Codes.PERMISSIONS_INVALID, "")
        assert "not invoked from user 'nobody'" in done.stderr

    def test_not_setuid(self, installed: Helper) -> None:
        installed.service("/bin/echo started")
        installed.program.chmod(0o755)
        done = installed.run(**as_user("nobody"))
        assert (done.returncode, done.stdout) == (Codes.PERMISSIONS_INVALID, "")
        assert "not setuid root" in done.stderr

    def test_unknown_bus_user(self, installed: Helper) -> None:
        installed.configure("<busconfig><user>nobody-at-all</user></busconfig>")
        assert installed.run(**as_user("nobody")).returncode == Codes.PERMISSIONS_INVALID

    def test_unknown_user(self, installed: Helper) -> None:
        installed.service("/bin/echo started", User="nobody-at-all")
        done = installed.run(**as_user("nobody"))
        assert (done.returncode, done.stdout) == (Codes.SETUP_FAILED, "")

    def test_configuration_of_the_environment(self, installed: Helper, tmp_path: Path) -> None:
        """CVE-2012-3524: the configuration path of the test build is not used."""
        evil = tmp_path / "evil.conf"
        evil.write_text("<busconfig><user>daemon</user></busconfig>")
        installed.environment = {"TEST_LAUNCH_HELPER_CONFIG": str(evil)}
        assert installed.run(**as_user("daemon")).returncode == Codes.PERMISSIONS_INVALID


def test_test_build_refuses_setuid(compile_c: Callable[..., Path]) -> None:
    """It would do anything for its caller."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to make a program setuid")
    source = LAUNCH / "launch_helper.c"
    program = compile_c("launch-helper-plain-test", source, "-DLAUNCH_HELPER_TEST")
    path = private_directory()
    try:
        installed = Path(shutil.copy(program, path))
        installed.chmod(0o4755)
        done = subprocess.run([installed, NAME], check=False, capture_output=True, **as_user("nobody"))
        assert done.returncode == -6
    finally:
        shutil.rmtree(path)


def test_built_with_the_package() -> None:
    """It is built beside the modules; the installer makes it setuid."""
    program = LAUNCH / "omnibus-daemon-launch-helper"
    done = subprocess.run([program, "x"], check=False, capture_output=True)
    assert done.returncode == Codes.NAME_INVALID
