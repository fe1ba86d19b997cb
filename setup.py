"""The build steps that pyproject.toml can't express: native modules, the launch helper, excluded files."""

import os
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

BUILDERS = sorted(Path().glob("*/*/build.py"))

HELPER = Path("daemon/launch/omnibus-daemon-launch-helper")
HELPER_PARTS = ("launch_helper", "bus_config", "command_line", "oom_score", "service_file", "xml")
COMPILE = ["-std=gnu11", "-O2", "-fPIE"]
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
    """Builds the launch helper beside the modules; the packager installs it setuid root."""

    def build_extensions(self):
        for extension in self.extensions:
            extension.extra_compile_args += WARN + HARDEN
            extension.extra_link_args += HARDEN_LINK
        super().build_extensions()
        sources = [str(HELPER.with_name(f"{part}.c")) for part in HELPER_PARTS]
        objects = self.compiler.compile(sources, self.build_temp, extra_postargs=COMPILE + WARN + HARDEN)
        target = Path(self.build_lib, "omnibus", HELPER)
        self.compiler.link_executable(
            objects, target.name, str(target.parent), extra_postargs=["-pie", *HARDEN_LINK]
        )

    def copy_extensions_to_source(self):
        super().copy_extensions_to_source()
        self.copy_file(Path(self.build_lib, "omnibus", HELPER), HELPER)


setup(
    cffi_modules=[f"{path}:ffibuilder" for path in BUILDERS],
    cmdclass={"build_py": BuildPy, "build_ext": BuildExt},
)
