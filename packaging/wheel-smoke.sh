#!/bin/sh
# SPDX-License-Identifier: MIT
# wheel-smoke.sh DIRECTORY: installs the directory's wheel for this machine in a fresh environment, and uses what is in it.
# cffi comes from the directory, or from the index.
set -eu

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q --disable-pip-version-check --only-binary=:all: --find-links "$1" omnibus-dbus
for program in omnibusd omnibusctl; do
    "$place/venv/bin/$program" --version
done
"$place/venv/bin/omnibusd" --check --session
helper=$(echo "$place"/venv/lib/python3*/site-packages/omnibus/daemon/launch/omnibus-daemon-launch-helper)
"$helper" 2>&1 | grep -q usage
OMNIBUSD=$place/venv/bin/omnibusd sh "$(dirname "$0")/debian/tests/session-bus"
"$place/venv/bin/python3" -I -c 'import omnibus, platform, sys; print("wheel of", omnibus.__version__, "works:", sys.version.split()[0], platform.machine())'
