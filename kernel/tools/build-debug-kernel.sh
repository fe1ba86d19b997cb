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

source=$("$TOOLS/fetch-source.sh")
version=$(basename "$source")
key=$flavour-$version-$(sha256sum "$fragment" | cut -c 1-12)
dir=$CACHE/debug/$key
if [ -e "$dir/ready" ]; then
	echo "$dir"
	exit 0
fi

# Not vmlinux: its PVH entry runs instrumented code before there is a shadow.
arch=x86
target=bzImage
case $flavour in
uml*) arch=um target=linux ;;
esac
mkdir -p "$dir/build"
{
	cp "$fragment" "$dir/build/fragment"
	make -C "$source" O="$dir/build" ARCH=$arch KCONFIG_ALLCONFIG="$dir/build/fragment" allnoconfig
	nice -n 19 make -C "$dir/build" ARCH=$arch -j"${JOBS:-1}" "$target" modules
} >"$dir/log" 2>&1 || { tail -n 20 "$dir/log" >&2; die "the build failed: $dir/log"; }
case $target in
bzImage) cp "$dir/build/arch/x86/boot/bzImage" "$dir/bzImage" ;;
*) cp "$dir/build/$target" "$dir/$target" ;;
esac
: >"$dir/modules.list"
[ $arch = um ] || "$TOOLS/make-initramfs.sh" "$dir"
touch "$dir/ready"
echo "$dir"
