"""Settings for other Python programs of a user: the bus ignores them and imports nothing because of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import private_directory
from support.group import without_group
from support.installation import is_in_environment, link_interpreter
from support.namespace import namespace_script

from .conftest import StartDaemon

SETTINGS = {
    "PYTHONASYNCIODEBUG": "1",
    "PYTHONCASEOK": "1",
    "PYTHONCOERCECLOCALE": "warn",
    "PYTHONDEVMODE": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONDUMPREFS": "1",
    "PYTHONEXECUTABLE": "/opt/conda/bin/python",
    "PYTHONFAULTHANDLER": "1",
    "PYTHONHASHSEED": "abc",
    "PYTHONHOME": "/opt/conda",
    "PYTHONINSPECT": "1",
    "PYTHONINTMAXSTRDIGITS": "1",
    "PYTHONIOENCODING": "nonsense",
    "PYTHONMALLOC": "jemalloc",
    "PYTHONNOUSERSITE": "1",
    "PYTHONPLATLIBDIR": "lib64",
    "PYTHONPROFILEIMPORTTIME": "1",
    "PYTHONPERFSUPPORT": "1",
    "PYTHONSTARTUP": "/opt/conda/startup.py",
    "PYTHONTRACEMALLOC": "x",
    "PYTHONUNBUFFERED": "x",
    "PYTHONUTF8": "yes",
    "PYTHONVERBOSE": "1",
    "PYTHONWARNINGS": "error",
    "PYTHON_CPU_COUNT": "x",
    "PYTHON_GIL": "0",
    "PYTHON_JIT": "1",
}
# Modules of the standard library, of the dependencies, of the bus, and those that Python always imports.
MODULES = (
    "logging",
    "types",
    "sitecustomize",
    "usercustomize",
    "_cffi_backend",
    "asyncio",
    "omnibus",
)


@pytest.fixture
def directory() -> Iterator[Path]:
    path = private_directory()
    yield path
    shutil.rmtree(path, ignore_errors=True)


class TestVariables:
    """Python's variables affect neither the bus nor the child that reads the configuration at a reload."""

    def serves_and_reloads(self, start_daemon: StartDaemon, **variables: str) -> None:
        usual = start_daemon()
        daemon = start_daemon(env=os.environ | variables)
        for one in (usual, daemon):
            client = one.connect()
            assert client.own("org.example.Name") == 1
            client.driver("ReloadConfig")
        assert len(daemon.stderr.splitlines()) == len(usual.stderr.splitlines()), daemon.stderr

    @pytest.mark.parametrize("name", SETTINGS)
    def test_setting(self, start_daemon: StartDaemon, name: str) -> None:
        self.serves_and_reloads(start_daemon, **{name: SETTINGS[name]})

    @pytest.mark.parametrize("name", MODULES)
    def test_module_in_pythonpath(self, start_daemon: StartDaemon, directory: Path, name: str) -> None:
        (directory / name).mkdir()
        (directory / name / "__init__.py").write_text("raise SystemExit('built for another Python')\n")
        self.serves_and_reloads(start_daemon, PYTHONPATH=str(directory))

    def test_module_in_the_user_s_site_directory(self, start_daemon: StartDaemon, directory: Path) -> None:
        minor = f"python{sys.version_info.major}.{sys.version_info.minor}"
        site = directory / ".local/lib" / minor / "site-packages"
        site.mkdir(parents=True)
        for name in MODULES:
            (site / f"{name}.py").write_text("raise SystemExit('built for another Python')\n")
        self.serves_and_reloads(start_daemon, HOME=str(directory))


class TestProgram:
    """omnibusd finds its interpreter relative to itself."""

    @pytest.fixture
    def installed(self, executable: str, directory: Path) -> Path:
        """An environment that was moved after its installation, to a path with spaces."""
        if not is_in_environment(executable):
            pytest.skip("not in a Python environment")
        environment = directory / "moved to here"
        (environment / "bin").mkdir(parents=True)
        program = without_group(executable)
        shutil.copy(program, environment / "bin/omnibusd")
        old = program.parent.parent
        shutil.copy(old / "pyvenv.cfg", environment)
        (environment / "lib").symlink_to(old / "lib")
        link_interpreter(old, environment)
        return environment

    def version(self, *command: str | Path, cwd: Path | None = None) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=cwd, timeout=60, env={"PATH": "/nowhere"}
        )
        assert not done.stderr
        return done.stdout

    def test_moved(self, installed: Path) -> None:
        assert self.version(installed / "bin/omnibusd", "--version").startswith("omnibus ")

    def test_symbolic_link(self, installed: Path) -> None:
        """As pipx, uv and administrators make them: absolute and relative links, and links to links."""
        place = installed.parent / "links"
        place.mkdir()
        (place / "omnibusd").symlink_to(installed / "bin/omnibusd")
        (place / "relative").symlink_to("../moved to here/bin/omnibusd")
        (place / "link to a link").symlink_to("omnibusd")
        (installed.parent / "by directory").symlink_to(installed / "bin")
        for name in ("omnibusd", "relative", "link to a link", "../by directory/omnibusd"):
            assert self.version(place / name, "--version").startswith("omnibus ")

    def test_relative(self, installed: Path) -> None:
        assert self.version("./omnibusd", "--version", cwd=installed / "bin").startswith("omnibus ")

    def test_arguments_are_passed_as_they_are(self, installed: Path) -> None:
        done = subprocess.run(
            [installed / "bin/omnibusd", "--config-file", "/no such/*$HOME", "--nofork"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "/no such/*$HOME" in done.stderr

    def test_no_interpreter(self, executable: str, directory: Path) -> None:
        """PATH is not searched for another one."""
        shutil.copy(without_group(executable), directory / "omnibusd")
        script = namespace_script(
            directory / "script", str(directory / "omnibusd"), "mount --bind /dev/null /usr/bin/python3"
        )
        done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60)
        sentence = f"omnibusd: there is no {directory}/python3, and no /usr/bin/python3\n"
        assert (done.returncode, done.stdout, done.stderr) == (1, "", sentence)

    def test_interpreter_that_can_not_be_executed(self, executable: str, directory: Path) -> None:
        """That is an error, and no other one is tried."""
        shutil.copy(without_group(executable), directory / "omnibusd")
        (directory / "python3").write_text("broken")
        (directory / "python3").chmod(0o755)
        done = subprocess.run(
            [directory / "omnibusd", "--version"], capture_output=True, text=True, timeout=60
        )
        sentence = f"omnibusd: {directory}/python3: Exec format error\n"
        assert (done.returncode, done.stdout, done.stderr) == (1, "", sentence)

    def test_name_of_the_process(self, start_daemon: StartDaemon) -> None:
        """ps and pidof show the bus, not an interpreter."""
        daemon = start_daemon()
        daemon.connect()
        name = Path(f"/proc/{daemon.pid}/comm").read_text().rstrip("\n")
        assert name == os.path.basename(daemon.process.args[0])  # type: ignore[index]
