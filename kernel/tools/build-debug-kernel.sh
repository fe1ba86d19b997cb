#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# build-debug-kernel.sh uml|uml-debug|qemu-debug: builds that kernel from Debian's linux-source-6.1 and prints its folder.
# Built once for a version and a configuration fragment, with -j${JOBS:-1} and low priority.
set -eu
. "$(dirname "$0")/common.sh"

flavour=$1
fragment=$TOOLS/config/$flavour.config
[ -e "$fragment" ] || die "unknown flavour $flavour"
need gcc gcc make make flex flex bison bison bc bc xz xz-utils

version=$(apt-cache show --no-all-versions linux-source-6.1 2>/dev/null | sed -n 's/^Version: //p' | head -n 1)
if [ -z "$version" ]; then
	# Offline: the newest that was built before.
	dir=$(ls -d "$CACHE/debug/$flavour-"*/ 2>/dev/null | sort -V | tail -n 1)
	[ -n "$dir" ] || die "apt offers no linux-source-6.1"
	echo "${dir%/}"
	exit 0
fi
key=$flavour-$version-$(sha256sum "$fragment" | cut -c 1-12)
dir=$CACHE/debug/$key
if [ -e "$dir/ready" ]; then
	echo "$dir"
	exit 0
fi

source=$CACHE/source/$version
if [ ! -e "$source/Makefile" ]; then
	mkdir -p "$CACHE/source"
	work=$source.tmp.$$
	mkdir -p "$work"
	(cd "$work" && apt-get download -qq linux-source-6.1 2>/dev/null) || die "apt-get download failed"
	dpkg-deb --fsys-tarfile "$work"/*.deb | tar -xO ./usr/src/linux-source-6.1.tar.xz |
		tar -xJ -C "$work" --strip-components=1
	rm -f "$work"/*.deb
	mv "$work" "$source"
fi

arch=x86
target=vmlinux
case $flavour in
uml*) arch=um target=linux ;;
esac
mkdir -p "$dir/build"
{
	cp "$fragment" "$dir/build/fragment"
	make -C "$source" O="$dir/build" ARCH=$arch KCONFIG_ALLCONFIG="$dir/build/fragment" allnoconfig
	nice -n 19 make -C "$dir/build" ARCH=$arch -j"${JOBS:-1}" "$target" modules
} >"$dir/log" 2>&1 || { tail -n 20 "$dir/log" >&2; die "the build failed: $dir/log"; }
cp "$dir/build/$target" "$dir/$target"
: >"$dir/modules.list"
[ $arch = um ] || "$TOOLS/make-initramfs.sh" "$dir"
touch "$dir/ready"
echo "$dir"
