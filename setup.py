"""What pyproject.toml can't say: the native modules, and which files are no part of the package."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

BUILDERS = sorted(Path().glob("*/*/build.py"))


class BuildPy(build_py):
    """The root is the package, so what only builds it must be left out by name."""

    def find_package_modules(self, package, package_dir):
        modules = super().find_package_modules(package, package_dir)
        return [one for one in modules if one[1] != "build" and one[:2] != ("omnibus", "setup")]


setup(cffi_modules=[f"{path}:ffibuilder" for path in BUILDERS], cmdclass={"build_py": BuildPy})
