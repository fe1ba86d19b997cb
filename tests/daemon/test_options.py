"""dbus-daemon(1), "OPTIONS", and the reference's behaviour where the manual is silent."""

from pathlib import Path

import pytest

from omnibus.daemon.options import USAGE, Exit, Options, parse
from omnibus.daemon.usage import explain

VERSION = "omnibusd 1\n"


def read(*arguments: str) -> Options:
    return parse(arguments, VERSION)


def refuse(*arguments: str) -> str:
    """Return the output on standard error."""
    with pytest.raises(Exit) as caught:
        read(*arguments)
    assert (caught.value.code, caught.value.out) == (1, "")
    return caught.value.err


@pytest.fixture
def stock(tmp_path: Path) -> str:
    for name in ("session", "system"):
        (tmp_path / f"{name}.conf").touch()
    return str(tmp_path)


class TestConfigurationFile:
    @pytest.mark.parametrize("name", ["session", "system"])
    def test_stock_file(self, stock: str, name: str) -> None:
        """Use the standard configuration file for the per-login-session, or systemwide, message bus."""
        assert parse([f"--{name}"], VERSION, stock).config_file == f"{stock}/{name}.conf"

    @pytest.mark.parametrize("name", ["session", "system"])
    def test_without_the_distributions_files(self, name: str, tmp_path: Path) -> None:
        """The package has its own copies."""
        assert parse([f"--{name}"], VERSION, str(tmp_path)).config_file.endswith(f"daemon/conf/{name}.conf")

    @pytest.mark.parametrize("arguments", [("--config-file=/x",), ("--config-file", "/x")])
    def test_value(self, arguments: tuple[str, ...]) -> None:
        assert read(*arguments).config_file == "/x"

    @pytest.mark.parametrize(
        "arguments", [(), ("--config-file",), ("--config-file=",), ("--print-address",), ("--nofork",)]
    )
    def test_missing(self, arguments: tuple[str, ...]) -> None:
        assert refuse(*arguments) == "No configuration file specified.\n" + USAGE

    def test_value_that_looks_like_an_option(self) -> None:
        """The argument after an option that needs a value is its value."""
        assert read("--config-file", "--address=foo").config_file == "--address=foo"

    def test_flag_is_no_value(self, stock: str) -> None:
        assert parse(["--config-file", "--session"], VERSION, stock).config_file == f"{stock}/session.conf"

    @pytest.mark.parametrize("second", ["session", "system"])
    def test_stock_file_after_another(self, second: str) -> None:
        text = refuse("--config-file=/x", f"--{second}")
        assert text == f"--{second} specified but configuration file /x already requested\n"

    def test_twice(self) -> None:
        text = "--config-file specified but configuration file /x already requested\n"
        assert refuse("--config-file=/x", "--config-file=/y") == text
        assert refuse("--config-file=/x", "--config-file", "/y") == text
        assert refuse("--config-file=/x", "--config-file=") == text

    def test_empty_counts_as_none(self) -> None:
        assert read("--config-file=", "--config-file=/x").config_file == "/x"


class TestAddress:
    @pytest.mark.parametrize("arguments", [("--address=unix:path=/x",), ("--address", "unix:path=/x")])
    def test_value(self, arguments: tuple[str, ...]) -> None:
        assert read("--config-file=/c", *arguments).address == "unix:path=/x"

    def test_empty_counts_as_none(self) -> None:
        assert read("--config-file=/c", "--address=").address is None

    def test_twice(self) -> None:
        text = "--address specified but address a: already requested\n"
        assert refuse("--config-file=/c", "--address=a:", "--address=b:") == text

    def test_without_value(self) -> None:
        assert read("--config-file=/c", "--address").address is None


@pytest.mark.parametrize("name", ["print-address", "print-pid"])
class TestPrinting:
    def descriptor(self, name: str, *arguments: str) -> int | None:
        options = read("--config-file=/c", *arguments)
        return options.print_address if name == "print-address" else options.print_pid

    def test_not_asked_for(self, name: str) -> None:
        assert self.descriptor(name) is None

    def test_standard_output(self, name: str) -> None:
        """By default it is printed to standard output."""
        assert self.descriptor(name, f"--{name}") == 1
        assert self.descriptor(name, f"--{name}=") == 1

    def test_value(self, name: str) -> None:
        assert self.descriptor(name, f"--{name}=7") == 7
        assert self.descriptor(name, f"--{name}", "7") == 7

    @pytest.mark.parametrize(("text", "number"), [(" 3", 3), ("+3", 3), ("0x10", 16), ("010", 8), ("0", 0)])
    def test_as_strtol(self, name: str, text: str, number: int) -> None:
        assert self.descriptor(name, f"--{name}={text}") == number

    @pytest.mark.parametrize("text", ["x", "-1", "1x", "08", "2147483648", "³", "1 ", "1.0", "0x"])
    def test_no_descriptor(self, name: str, text: str) -> None:
        assert refuse("--config-file=/c", f"--{name}={text}") == f'Invalid file descriptor: "{text}"\n'

    def test_flag_is_no_value(self, name: str) -> None:
        assert self.descriptor(name, f"--{name}", "--nofork") == 1

    def test_twice(self, name: str) -> None:
        what = "address" if name == "print-address" else "pid"
        text = f"--{name} specified but printing {what} to 2 already requested\n"
        assert refuse("--config-file=/c", f"--{name}=2", f"--{name}=3") == text
        assert refuse("--config-file=/c", f"--{name}=2", f"--{name}=") == text

    def test_again_without_value(self, name: str) -> None:
        assert self.descriptor(name, f"--{name}=2", f"--{name}") == 2


class TestMulticast:
    """Options of omnibus; dbus-daemon has none of them."""

    @pytest.mark.parametrize("mode", ["auto", "off", "require"])
    def test_mode(self, mode: str) -> None:
        assert read("--config-file=/c", f"--multicast={mode}").multicast == mode
        assert read("--config-file=/c", "--multicast", mode).multicast == mode

    def test_is_no_value(self) -> None:
        options = read("--config-file=/c", "--print-address", "--multicast=off")
        assert (options.print_address, options.multicast) == (1, "off")

    @pytest.mark.parametrize("arguments", [("--multicast=on",), ("--multicast=",), ("--multicast",)])
    def test_no_mode(self, arguments: tuple[str, ...]) -> None:
        value = arguments[0].partition("=")[2]
        text = f'--multicast must be auto, off or require, not "{value}"\n'
        assert refuse("--config-file=/c", *arguments) == text

    def test_mode_twice(self) -> None:
        text = "--multicast specified but multicast off already requested\n"
        assert refuse("--config-file=/c", "--multicast=off", "--multicast=auto") == text

    @pytest.mark.parametrize("name", ["session", "system"])
    def test_stock_file(self, stock: str, name: str) -> None:
        assert parse([f"--{name}"], VERSION, stock).omnibus_config == f"/etc/omnibus/{name}.conf"

    @pytest.mark.parametrize("others", [("--config-file=/c",), ("--session",)])
    def test_file(self, stock: str, others: tuple[str, ...]) -> None:
        """Another path, before or after the other options."""
        for arguments in ((*others, "--omnibus-config=/x"), ("--omnibus-config", "/x", *others)):
            assert parse(arguments, VERSION, stock).omnibus_config == "/x"

    def test_file_twice(self) -> None:
        text = "--omnibus-config specified but omnibus configuration file /x already requested\n"
        assert refuse("--config-file=/c", "--omnibus-config=/x", "--omnibus-config=/y") == text


class TestFlags:
    def test_defaults(self) -> None:
        """Without options the configuration file decides."""
        assert vars(read("--config-file=/c")) == vars(Options("/c"))

    @pytest.mark.parametrize(
        ("arguments", "fork"),
        [
            (("--fork",), True),
            (("--nofork",), False),
            (("--fork", "--nofork"), False),
            (("--nofork", "--fork"), True),
        ],
    )
    def test_fork(self, arguments: tuple[str, ...], fork: bool) -> None:
        """The last one wins."""
        assert read("--config-file=/c", *arguments).fork is fork

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (("--syslog",), (True, False)),
            (("--nosyslog",), (False, False)),
            (("--syslog-only",), (True, True)),
            (("--syslog-only", "--syslog"), (True, True)),
            (("--syslog-only", "--nosyslog"), (False, True)),
        ],
    )
    def test_syslog(self, arguments: tuple[str, ...], expected: tuple[bool, bool]) -> None:
        options = read("--config-file=/c", *arguments)
        assert (options.syslog, options.syslog_only) == expected

    def test_others(self) -> None:
        options = read("--nopidfile", "--systemd-activation", "--config-file=/c")
        assert not options.write_pidfile
        assert options.systemd_activation


class TestInformation:
    @pytest.mark.parametrize("option", ["--help", "-h", "-?"])
    def test_help(self, option: str) -> None:
        assert refuse("--config-file=/c", option) == explain()

    def test_version(self) -> None:
        """Later arguments are not parsed."""
        with pytest.raises(Exit) as caught:
            read("--version", "--bogus")
        assert (caught.value.code, caught.value.out, caught.value.err) == (0, VERSION, "")

    def test_introspect(self) -> None:
        with pytest.raises(Exit) as caught:
            read("--introspect", "--bogus")
        assert (caught.value.code, caught.value.out, caught.value.err) == (0, "", "")

    @pytest.mark.parametrize("argument", ["--bogus", "bogus", "-x", "", "-", "--", "--fork=1", "--hel"])
    def test_unknown(self, argument: str) -> None:
        """It is named, and the usage follows."""
        assert refuse("--config-file=/c", argument) == f'omnibusd: unknown option "{argument}"\n{USAGE}'

    def test_second_value(self) -> None:
        assert refuse("--config-file", "/c", "/d").endswith(USAGE)
