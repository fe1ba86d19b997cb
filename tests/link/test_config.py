"""The file of a link: what it may say, the policy that is made of it, and what ``--check`` finds."""

from __future__ import annotations

import pwd
import subprocess
from pathlib import Path

import pytest

from omnibus.link import config, zenoh_config
from omnibus.link.config import Config, ConfigError

from .conftest import NAME, PROGRAM, Linked, StartLink, text_of

FILE = """
[bus.host]
address = "unix:path=/run/dbus/system_bus_socket"
user = "link-web"
[bus.host.export]
"org.example.Sensor" = { to = ["web"], start = true }
"org.example.cam.*" = { to = ["web"] }
[bus.web]
address = "unix:abstract=web"
user = 70000
[bus.web.import]
"org.example.at_%h.Sensor" = { from = "*", name = "org.example.Sensor" }
"org.example.cam.*" = { from = "host", prefer = "remote" }
"""


def read(text: str = FILE) -> Config:
    return config.parse(text, "link.toml")


def ids_of(user: str) -> tuple[int, int]:
    """How the host appears on the bus of the container, whose ``user`` is this."""
    return config.ids_of(read(FILE.replace("70000", user)).bus["web"], "host")


class TestFile:
    """What is in a file, and errors with their place."""

    def test_names(self) -> None:
        found = read()
        host, web = found.bus["host"], found.bus["web"]
        assert config.exported(host, "org.example.cam.One", "web")
        assert not config.exported(host, "org.example.camera", "web")
        assert not config.exported(host, "org.example.cam.One", "other")
        assert list(config.started(host, "web")) == ["org.example.Sensor"]
        assert list(config.imported(web, "org.example.Sensor", "host")) == [
            ("org.example.at_host.Sensor", False)
        ]
        assert list(config.imported(web, "org.example.cam.a.b", "host")) == [("org.example.cam.a.b", True)]
        assert list(config.imported(web, "org.example.Other", "host")) == []

    def test_sockets(self) -> None:
        found = read()
        assert found.bus["host"].socket == b"/run/dbus/system_bus_socket"
        assert found.bus["web"].socket == b"\0web"

    @pytest.mark.parametrize(
        ("old", "new", "why"),
        [
            ("[bus.web]", "[bus.we-b]", "not a host"),
            ('"unix:abstract=web"', '"tcp:host=localhost,port=1"', "unix:path="),
            ('to = ["web"] }', 'to = ["elsewhere"] }', "not the other bus"),
            ("start = true", "begin = true", "Extra inputs"),
            ('"org.example.Sensor" = {', '"org..Sensor" = {', "not a well-known name"),
            ('"org.example.Sensor" = {', '"org.freedesktop.DBus" = {', "can't be linked"),
            ('"org.example.Sensor" = {', '"org.example.*" = {', "has to be complete"),
            ('"org.example.Sensor" = {', '"org.%h.Sensor" = {', "%h"),
            ('name = "org.example.Sensor"', 'name = "org.example.*"', "both names or none"),
            ("user = 70000", "user = 0", "user"),
            ("user = 70000", "user = 4294967295", "user"),
            ("user = 70000", "", "user"),
            ("[bus.host]", "[bus.host.limits]\nstand_ins = 0\n[bus.host]", "stand_ins"),
            ("[bus.host]", "[bus.host.limits]\nqueue = 65536\n[bus.host]", "room for one message"),
            (FILE, "[", "link.toml"),
            (FILE, "", "bus"),
            (
                FILE,
                FILE.replace("[bus.web", "[bus.host2") + "[bus.third]\naddress='unix:path=/x'\nuser=1\n",
                "two",
            ),
        ],
    )
    def test_errors(self, old: str, new: str, why: str) -> None:
        assert old in FILE
        with pytest.raises(ConfigError, match=why):
            read(FILE.replace(old, new, 1))

    def test_users(self) -> None:
        assert ids_of("70000") == (70000, 70000)
        account = pwd.getpwnam("daemon")
        assert ids_of('"daemon"') == ids_of(str(account.pw_uid)) == (account.pw_uid, account.pw_gid)
        with pytest.raises(ConfigError, match="no user"):
            ids_of('"no-such-user"')

    def test_root(self) -> None:
        """Only where the other side can begin nothing, which is one of the same machine."""
        assert ids_of('"root"') == (0, 0)
        with pytest.raises(ConfigError, match="is root"):
            config.ids_of(read(FILE.replace("link-web", "root")).bus["host"], "web")
        without = HOSTS.replace('"org.example.Sensor" = { to = ["b", "c"] }', "")
        with pytest.raises(ConfigError, match="is root"):
            config.ids_of(read(without.replace("70001", '"root"')).bus["a"], "b")


HOSTS = """
[bus.a]
address = "unix:path=/run/dbus/system_bus_socket"
user = { b = 70001, c = 70002 }
[bus.a.export]
"org.example.Sensor" = { to = ["b", "c"] }
[bus.a.import]
"org.example.at_%h.Sensor" = { from = "*", name = "org.example.Sensor" }
"org.example.Display" = { from = "b" }
[zenoh]
listen = ["tls/0.0.0.0:7447"]
connect = ["quic/[2001:db8::1]:7447"]
ca = "ca.pem"
certificate = "a.pem"
key = "a.key"
names = { c = "c.example.org" }
"""

PATHS = {"ca": "/ca", "certificate": "/certificate", "key": "/key"}


class TestHosts:
    """The file of a host that is linked with several others, and what Zenoh is told."""

    def test_others(self) -> None:
        found = read(HOSTS)
        assert found.others("a") == ["b", "c"]
        assert config.user_of(found.bus["a"], "c") == 70002

    @pytest.mark.parametrize(
        ("old", "new", "why"),
        [
            ('ca = "ca.pem"', "", "`ca` is missing, which tls/0.0.0.0:7447 needs"),
            ('certificate = "a.pem"', "", "`certificate` is missing"),
            ('key = "a.key"', "", "`key` is missing"),
            ("tls/0.0.0.0", "tcp/0.0.0.0", "tcp/0.0.0.0:7447 leaves this machine"),
            ("tls/0.0.0.0", "tcp/[::]", "leaves this machine"),
            ("tls/0.0.0.0", "tcp/a.example", "leaves this machine"),
            ("tls/0.0.0.0", "tcp/127.0.0.1", "without certificates"),
            ("tls/0.0.0.0:7447", "tls/0.0.0.0:7447#verify_name_on_connect=false", "is not tls/"),
            ("tls/0.0.0.0:7447", "tls/0.0.0.0:70000", "is not tls/"),
            ("tls/0.0.0.0", "udp/0.0.0.0", "is not tls/"),
            ('["tls/0.0.0.0:7447"]', "[]\nlease = 0", "lease"),
            ('to = ["b", "c"]', 'to = ["b", "d"]', "'d' is not a host of `user`"),
            ("user = { b = 70001, c = 70002 }", "user = 70001", "bus.a.user"),
            ("user = { b = 70001, c = 70002 }", "user = { a = 1, b = 70001, c = 70002 }", "'a' is this host"),
            ('names = { c = "c.example.org" }', 'names = { d = "d" }', "zenoh.names"),
            (
                "[bus.a.export]",
                '[bus.b]\naddress = "unix:path=/b"\nuser = { a = 1 }\n[bus.a.export]',
                "one bus",
            ),
            (HOSTS[HOSTS.index("[zenoh]") :], "", "two buses"),
        ],
    )
    def test_errors(self, old: str, new: str, why: str) -> None:
        assert old in HOSTS
        with pytest.raises(ConfigError, match=why):
            read(HOSTS.replace(old, new, 1))

    def test_neither_end(self) -> None:
        text = HOSTS.replace('["tls/0.0.0.0:7447"]', "[]").replace('["quic/[2001:db8::1]:7447"]', "[]")
        with pytest.raises(ConfigError, match="both empty"):
            read(text)

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "[::1]", "localhost"])
    def test_loopback_needs_no_certificates(self, host: str) -> None:
        text = HOSTS[: HOSTS.index("listen")] + f'listen = ["tcp/{host}:7447"]\n'
        zenoh = read(text).zenoh
        assert zenoh and not zenoh.is_secure
        assert "access_control" not in zenoh_config.settings(zenoh, "a", ["b"], 1 << 20, {})

    def test_access_control(self) -> None:
        """Each host may say and hear its own, and is known by the name of its certificate."""
        zenoh = read(HOSTS).zenoh
        assert zenoh
        found = zenoh_config.settings(zenoh, "a", ["b", "c"], 1 << 20, PATHS)
        tls = found["transport/link/tls"]
        assert tls["enable_mtls"] is True
        assert tls["listen_certificate"] == tls["connect_certificate"] == PATHS["certificate"]
        assert tls["listen_private_key"] == tls["connect_private_key"] == PATHS["key"]
        control = found["access_control"]
        assert (control["enabled"], control["default_permission"]) == (True, "deny")
        assert control["subjects"] == [
            {"id": "b", "cert_common_names": ["b"]},
            {"id": "c", "cert_common_names": ["c.example.org"]},
        ]
        rules = {one["id"]: one for one in control["rules"]}
        for policy in control["policies"]:
            (host,) = policy["subjects"]
            keys = {key for name in policy["rules"] for key in rules[name]["key_exprs"]}
            assert keys == {f"ob/{host}/to/a", f"ob/a/to/{host}", f"ob/{host}/alive", "ob/a/alive"}
            puts = {
                (*rules[name]["flows"], *rules[name]["key_exprs"])
                for name in policy["rules"]
                if "put" in rules[name]["messages"]
            }
            assert puts == {("ingress", f"ob/{host}/to/a"), ("egress", f"ob/a/to/{host}")}
        assert {name for policy in control["policies"] for name in policy["rules"]} == rules.keys()


def program(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )


def rules(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip().startswith(("<allow", "<policy"))]


METADATA = '<allow send_destination="org.freedesktop.DBus" send_interface="org.omnibus.Metadata1"/>'
LISTENERS = '<allow send_destination="org.freedesktop.DBus" send_interface="org.omnibus.Listeners1"/>'


class TestProgram:
    """The command line."""

    def test_a_file_with_errors(self, tmp_path: Path) -> None:
        path = tmp_path / "link.toml"
        path.write_text(FILE.replace("unix:abstract=web", "tcp:"))
        for option in ([], ["--check"], ["--print-policy=host"], ["--print-users=web"], ["--metrics"]):
            done = program(path, *option)
            assert (done.returncode, "bus.web" in done.stderr) == (2, True)

    def test_no_file(self, tmp_path: Path) -> None:
        assert program(tmp_path / "absent").returncode == 2
        assert program().returncode == 2
        assert program("--help").returncode == 0

    def test_metrics_of_no_link(self, tmp_path: Path) -> None:
        path = tmp_path / "link.toml"
        path.write_text(FILE)
        assert program(path, "--metrics").returncode == 1
        path.write_text(f'metrics = "{tmp_path}/metrics"\n{FILE}')
        assert program(path, "--metrics").returncode == 1

    def test_policy(self, tmp_path: Path) -> None:
        path = tmp_path / "link.toml"
        path.write_text(FILE)
        assert rules(program(path, "--print-policy=host").stdout) == [
            '<policy user="link-web">',
            '<allow send_destination="org.example.Sensor"/>',
            '<allow send_destination_prefix="org.example.cam"/>',
            METADATA,
        ]
        assert rules(program(path, "--print-policy=web").stdout) == [
            '<policy user="70000">',
            METADATA,
            LISTENERS,
            '<allow own="org.example.at_host.Sensor"/>',
            '<allow own_prefix="org.example.cam"/>',
            '<policy context="default">',
            '<allow send_destination="org.example.at_host.Sensor"/>',
            '<allow send_destination_prefix="org.example.cam"/>',
        ]
        assert program(path, "--print-policy=other").returncode == 2

    def test_policy_of_several_hosts(self, tmp_path: Path) -> None:
        path = tmp_path / "link.toml"
        path.write_text(HOSTS)
        assert rules(program(path, "--print-policy=a").stdout) == [
            '<policy user="70001">',
            '<allow send_destination="org.example.Sensor"/>',
            METADATA,
            LISTENERS,
            '<allow own="org.example.at_b.Sensor"/>',
            '<allow own="org.example.Display"/>',
            '<policy user="70002">',
            '<allow send_destination="org.example.Sensor"/>',
            METADATA,
            LISTENERS,
            '<allow own="org.example.at_c.Sensor"/>',
            '<policy context="default">',
            '<allow send_destination="org.example.at_b.Sensor"/>',
            '<allow send_destination="org.example.Display"/>',
            '<allow send_destination="org.example.at_c.Sensor"/>',
        ]
        users = program(path, "--print-users=a").stdout.splitlines()
        assert [line.split()[:3] for line in users] == [["u", "link-b", "70001"], ["u", "link-c", "70002"]]

    def test_users(self, tmp_path: Path) -> None:
        path = tmp_path / "link.toml"
        path.write_text(FILE)
        assert program(path, "--print-users=host").stdout.startswith("u link-web - ")
        assert program(path, "--print-users=web").stdout.startswith("u link-host 70000 ")
        path.write_text(FILE.replace("70000", '"root"'))
        assert program(path, "--print-users=web").stdout == ""


class TestCheck:
    """``--check`` says what is missing, and nothing where all is there."""

    def test_nothing_is_missing(self, start_link: StartLink) -> None:
        linked = start_link()
        done = program(linked.link.file, "--check")
        expected = "" if "broker" not in linked.a.address else "rules that clients have by now are unknown"
        assert (expected in done.stdout) if expected else (done.stdout, done.returncode) == ("", 0)

    def test_names_without_a_counterpart(self, linked: Linked, tmp_path: Path) -> None:
        path = tmp_path / "link.toml"
        path.write_text(
            text_of(
                linked.a,
                linked.b,
                exports='"org.example.Only" = { to = ["b"], start = true }',
                imports=f'"{NAME}" = {{ from = "a" }}',
            )
        )
        done = program(path, "--check")
        assert done.returncode == 1
        assert f"b: imports {NAME}, which a does not export to it" in done.stdout
        assert "a: exports org.example.Only, which b does not import" in done.stdout
        assert "a: org.example.Only is to be started, and this bus knows no such service" in done.stdout

    def test_no_bus_and_no_user(self, linked: Linked, tmp_path: Path) -> None:
        path = tmp_path / "link.toml"
        text = text_of(linked.a, linked.b).replace('"bin"', '"no-such-user"')
        path.write_text(text.replace(linked.b.address.partition("=")[2].partition(",")[0], "/nowhere"))
        done = program(path, "--check")
        assert done.returncode == 1
        assert "a: there is no user 'no-such-user'" in done.stdout
        assert "b: no bus at unix:path=/nowhere" in done.stdout
