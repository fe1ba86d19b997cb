"""What pyproject.toml can't say: the native module, and which files are no part of the package."""

from setuptools import setup
from setuptools.command.build_py import build_py

BUILD_ONLY = {("omnibus", "setup"), ("omnibus.transport.relay", "build")}


class BuildPy(build_py):
    """The root is the package, so what only builds it must be left out by name."""

    def find_package_modules(self, package, package_dir):
        modules = super().find_package_modules(package, package_dir)
        return [module for module in modules if (module[0], module[1]) not in BUILD_ONLY]


setup(cffi_modules=["transport/relay/build.py:ffibuilder"], cmdclass={"build_py": BuildPy})
