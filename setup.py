"""The build steps that pyproject.toml can't express: native code, a script in C, excluded files."""

import os
import shutil
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

try:
    from setuptools.modified import newer_group
except ImportError:  # before 69, as in Debian 12
    from distutils.dep_util import newer_group

BUILDERS = sorted(Path().glob("*/*/build.py"))

HELPER = Path("daemon/launch/omnibus-daemon-launch-helper")
HELPER_PARTS = ("launch_helper", "bus_config", "command_line", "oom_score", "service_file", "xml")
LAUNCHER = Path("daemon/omnibusd")
RELAY = Path("transport/relay/libomnibusrelay.so")
RELAY_INCLUDES = [
    Path(name) for name in ("transport", "transport/relay", "transport/multicast", "kernel/include/uapi")
]
COMPILE = ["-std=gnu11", "-O2"]
COMPILE_RELAY = [
    *COMPILE,
    "-g",
    "-fPIC",
    "-fno-plt",
    "-fvisibility=hidden",
    "-pthread",
    "-DOMNIBUS_SHARED_HEAP",
]
# base/shared_heap_wrap.c
WRAPPED = ("malloc", "calloc", "realloc", "free", "strdup", "strndup")
WARN = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion"]
# For all native code, except under a sanitizer, which finds more and can't see into fortified functions.
HARDEN = (
    [] if "-fsanitize" in os.environ.get("CC", "") else Path("transport/hardening.flags").read_text().split()
)
HARDEN_LINK = ["-Wl,-z,relro,-z,now"]


class BuildPy(build_py):
    """The root is the package, so build scripts have to be excluded by name.

    Leftovers of an earlier build are removed: modules deleted since would be packed again.
    """

    def run(self):
        if not self.editable_mode:
            shutil.rmtree(Path(self.build_lib, "omnibus"), ignore_errors=True)
        super().run()

    def find_package_modules(self, package, package_dir):
        modules = super().find_package_modules(package, package_dir)
        return [one for one in modules if one[1] != "build" and one[:2] != ("omnibus", "setup")]


class BuildExt(build_ext):
    """Builds what is no module beside the modules.

    That is the data plane, a library that `_relay` is linked to, the launch helper, which the packager
    installs setuid root, and omnibusd.
    """

    def build_extensions(self):
        relay = self.build_relay()
        for extension in self.extensions:
            extension.extra_compile_args += WARN + HARDEN
            extension.extra_link_args += HARDEN_LINK
            if extension.name.endswith("._relay"):
                extension.extra_objects.append(str(relay))
                extension.extra_link_args.append("-Wl,-rpath,$ORIGIN")
        super().build_extensions()
        sources = [str(HELPER.with_name(f"{part}.c")) for part in HELPER_PARTS]
        self.link_program(sources, self.built(HELPER))
        self.link_program([f"{LAUNCHER}.c", "transport/relay/base/sealed.c"], self.launcher)

    @property
    def launcher(self):
        """Where omnibusd is built, which is installed outside of the package."""
        return Path(self.build_temp, "bin", LAUNCHER.name)

    def built(self, path):
        """Return where a file of the package is built."""
        return Path(self.build_lib, "omnibus", path)

    def build_relay(self):
        """Build the library of the data plane, unless it is up to date; return its path."""
        target = self.built(RELAY)
        found = [path for folder in RELAY_INCLUDES for path in folder.glob("*/*.[ch]")]
        sources = sorted(str(path) for path in found if path.suffix == ".c" and path.name[0] != "_")
        if self.force or newer_group([*map(str, found), "setup.py"], str(target)):
            objects = self.compiler.compile(
                sources,
                self.build_temp,
                include_dirs=[str(path) for path in RELAY_INCLUDES],
                extra_postargs=COMPILE_RELAY + WARN + HARDEN,
            )
            options = ["-pthread", "-Wl,-Bsymbolic-functions", f"-Wl,-soname,{target.name}", *HARDEN_LINK]
            options += [f"-Wl,--wrap={name}" for name in WRAPPED]
            self.compiler.link_shared_object(objects, target.name, str(target.parent), extra_postargs=options)
        return target

    def link_program(self, sources, target):
        """Build a program."""
        options = [*COMPILE, "-fPIE", *WARN, *HARDEN]
        objects = self.compiler.compile(
            sources, self.build_temp, include_dirs=["transport/relay"], extra_postargs=options
        )
        self.compiler.link_executable(
            objects, target.name, str(target.parent), extra_postargs=["-pie", *HARDEN_LINK]
        )

    def copy_extensions_to_source(self):
        super().copy_extensions_to_source()
        for path in (HELPER, RELAY):
            self.copy_file(self.built(path), path)
        self.copy_file(self.launcher, LAUNCHER)


class BuildScripts(Distribution().get_command_class("build_scripts")):
    """Takes for one of the scripts what BuildExt has built."""

    def copy_scripts(self):
        self.run_command("build_ext")
        self.scripts = [name for name in self.scripts if not name.endswith(".c")]
        copied, updated = super().copy_scripts()
        target = str(Path(self.build_dir, LAUNCHER.name))
        self.copy_file(self.get_finalized_command("build_ext").launcher, target)
        return [*copied, target], [*updated, target]


setup(
    cffi_modules=[f"{path}:ffibuilder" for path in BUILDERS],
    # All native modules keep to the limited API: one wheel for every Python from 3.11 on.
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
    cmdclass={"build_py": BuildPy, "build_ext": BuildExt, "build_scripts": BuildScripts},
)
