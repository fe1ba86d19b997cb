#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# test-dkms.sh [SUITE...]: builds, installs, upgrades and removes the module with dkms, by the commands of README.md, in a
# chroot of each suite of Debian with that suite's newest kernel headers, dkms and compiler. Any warning fails. Needs root,
# and half a gigabyte below the cache for each suite.
set -eu
. "$(dirname "$0")/common.sh"

[ $# -gt 0 ] || set -- bookworm bookworm-backports trixie trixie-backports sid
need debootstrap debootstrap unshare util-linux
mirror=$(debian_mirror)

# in_root COMMAND: with nothing of the machine's environment, but with a /proc, into which dkms and objtool look.
in_root() {
	unshare --mount sh -euc "mount -t proc proc '$root/proc'
		exec chroot '$root' /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
			DEBIAN_FRONTEND=noninteractive sh -euc \"\$1\"" sh "$1"
}

make_root() {
	local base=${suite%-backports} work=$root.tmp.$$ install=dkms
	debootstrap --variant=minbase "$base" "$work" "$mirror" >"$root.log" 2>&1 || die "debootstrap failed: $root.log"
	root=$work
	if [ "$base" != "$suite" ]; then
		echo "deb $mirror $suite main" >>"$work/etc/apt/sources.list"
		install="-t $suite dkms"
	fi
	# A mirror may be a snapshot of an earlier day.
	echo 'Acquire::Check-Valid-Until "false";' >"$work/etc/apt/apt.conf.d/snapshot"
	in_root "apt-get -qq update && apt-get -qq install --no-install-recommends $install linux-headers-amd64 libc6-dev" \
		>>"$CACHE/chroot/$suite.log" 2>&1 || die "apt-get failed: $CACHE/chroot/$suite.log"
	in_root "apt-get clean"
	root=$CACHE/chroot/$suite
	mv "$work" "$root"
}

# What dkms built of a version, without warnings; and the file is where modprobe finds it.
check_build() {
	local log
	log=$(find "$root/var/lib/dkms/unix_multicast/$1" -name make.log)
	[ -n "$log" ] || die "$suite: dkms built nothing"
	# pahole is not installed here; it says nothing about the module.
	if grep -E 'warning|error' "$log" | grep -v pahole >&2; then
		die "$suite: warnings"
	fi
	in_root "modinfo -F version /lib/modules/$version/updates/dkms/unix_multicast.ko*" | grep -qx "$1" ||
		die "$suite: version $1 is not installed"
	say "$suite: $version, version $1: built and installed without a warning"
}

copy() {
	rm -rf "$root/root/kernel"
	mkdir -p "$root/root/kernel"
	cp -r "$KERNEL_DIR"/*.[ch] "$KERNEL_DIR"/{Makefile,dkms.conf,include} "$root/root/kernel"
	sed -i "s/^PACKAGE_VERSION=.*/PACKAGE_VERSION=\"$1\"/" "$root/root/kernel/dkms.conf"
}

ours=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' "$KERNEL_DIR/dkms.conf")
mkdir -p "$CACHE/chroot"
for suite in "$@"; do
	root=$CACHE/chroot/$suite
	[ -d "$root" ] || make_root
	version=$(basename "$(ls -d "$root"/usr/src/linux-headers-*-amd64 | sort -V | tail -n 1)" | sed 's/^linux-headers-//')
	rm -rf "$root/var/lib/dkms/unix_multicast" "$root"/usr/src/unix_multicast-* "$root/lib/modules/$version/updates"
	for release in "$ours" "$ours.1"; do
		copy "$release"
		in_root "cd /root/kernel && dkms add . && dkms install unix_multicast/$release -k $version" >"$root.build" 2>&1 ||
			{ cat "$root.build" "$root"/var/lib/dkms/unix_multicast/*/build/make.log >&2; die "$suite: dkms failed"; }
		check_build "$release"
	done
	in_root "dkms remove unix_multicast/$ours --all; dkms remove unix_multicast/$ours.1 --all" >"$root.build" 2>&1 ||
		{ cat "$root.build" >&2; die "$suite: not removed"; }
	[ -z "$(find "$root/lib/modules/$version" -name 'unix_multicast*')" ] || die "$suite: something is left"
done
