#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Installs what the kernel targets need: "test" (default), "debug" or "all".
set -eu

TEST="gcc make qemu-system-x86 busybox-static kmod cpio xz-utils binutils"
DEBUG="flex bison bc libelf-dev libssl-dev sparse perl clang-format"

case ${1:-test} in
test) packages=$TEST ;;
debug) packages=$DEBUG ;;
all) packages="$TEST $DEBUG" ;;
*) echo "usage: $0 [test|debug|all]" >&2; exit 2 ;;
esac

missing=
for package in $packages; do
	dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
	run=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
	run=sudo
else
	echo "please install:$missing" >&2
	exit 1
fi
$run apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq --no-install-recommends $missing >/dev/null
