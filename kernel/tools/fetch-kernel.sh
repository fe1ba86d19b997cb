#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# fetch-kernel.sh [SERIES]: fetches the newest stock Debian kernel of a series (default 6.1) that apt offers, with its
# headers, unpacks both below the cache and prints the folder:
#   version, vmlinux, build/ (for make -C), modules.list (what the guest must insert, in order), initramfs.cpio
# The first argument "--newest" asks apt again; otherwise a kernel of the cache less than a week old will do.
set -eu
. "$(dirname "$0")/common.sh"

fresh=
[ "${1:-}" != --newest ] || { fresh=1; shift; }
SERIES=${1:-6.1}
STOCK=$CACHE/stock
LINK=$STOCK/$SERIES
GUEST_MODULES="virtio_pci 9pnet_virtio 9p overlay"
# Raised when what this script leaves in the cache changes.
LAYOUT=2

if [ -z "$fresh" ] && [ -e "$LINK/ready.$LAYOUT" ] && [ -n "$(find "$LINK/checked" -mtime -7 2>/dev/null)" ]; then
	readlink -f "$LINK"
	exit 0
fi

need apt-get apt dpkg-deb dpkg /usr/bin/busybox busybox-static /sbin/modprobe kmod cpio cpio strings binutils xz xz-utils

version=$(apt-cache pkgnames "linux-image-$SERIES." | sed -n "s/^linux-image-\($SERIES\.[0-9.-]*\(+deb[0-9]*\)\?-amd64\)$/\1/p" |
	sort -V | tail -n 1)
if [ -z "$version" ]; then
	# Offline, or without this series: use what the cache has.
	[ -e "$LINK/ready.$LAYOUT" ] || die "apt offers no linux-image-$SERIES.*-amd64 (try apt-get update)"
	readlink -f "$LINK"
	exit 0
fi
image=linux-image-$version
package_version=$(apt-cache show --no-all-versions "$image" | sed -n 's/^Version: //p' | head -n 1)
dir=$STOCK/$version.$package_version

unpack() {
	local work=$dir.tmp.$$ kbuild flavour=${version%-amd64} parts image_file
	kbuild=$(apt-cache depends "linux-headers-$version" | sed -n 's/.*Depends: \(linux-kbuild-.*\)/\1/p')
	rm -rf "$dir" "$work"
	mkdir -p "$work/debs"
	say "fetching $image $package_version"
	# From 7.x on the image and the modules are packages of their own, which linux-image depends on.
	parts=$(apt-cache depends "$image" | sed -n 's/.*Depends: \(linux-\(binary\|modules\)-.*\)/\1/p')
	# shellcheck disable=SC2086
	(cd "$work/debs" && apt-get download -qq ${parts:-"$image"} "linux-headers-$version" \
		"linux-headers-$flavour-common" "$kbuild" 2>/dev/null) || die "apt-get download failed"
	for deb in "$work"/debs/*.deb; do
		dpkg-deb -x "$deb" "$work/root"
	done
	rm -rf "$work/debs"
	# The headers name each other by absolute path; in the cache they live below $dir.
	grep -rlI /usr/src/ "$work/root/usr/src/linux-headers-$version" 2>/dev/null |
		xargs -r sed -i "s#/usr/src/#$dir/root/usr/src/#g"
	for link in scripts tools; do
		ln -sfn "../../lib/$kbuild/$link" "$work/root/usr/src/linux-headers-$flavour-common/$link"
		[ ! -L "$work/root/usr/src/linux-headers-$version/$link" ] ||
			ln -sfn "../../lib/$kbuild/$link" "$work/root/usr/src/linux-headers-$version/$link"
	done
	ln -s "root/usr/src/linux-headers-$version" "$work/build"
	# There, files are in /usr; modprobe looks in /lib.
	[ -e "$work/root/lib" ] || ln -s usr/lib "$work/root/lib"
	image_file=$(ls "$work/root/boot/vmlinuz-$version" "$work/root/lib/modules/$version/vmlinuz" 2>/dev/null) || true
	"$TOOLS/extract-vmlinux.sh" "$image_file" >"$work/vmlinux"
	rm -rf "$work/root/boot" "$work/root/usr/share" "$image_file"
	/sbin/depmod -b "$work/root" "$version"
	for module in $GUEST_MODULES; do
		/sbin/modprobe -d "$work/root" -S "$version" --show-depends "$module" | awk '/^insmod/ { print $2 }'
	done | awk '!seen[$0]++' | sed "s#^$work/##" >"$work/modules.list"
	echo "$version" >"$work/version"
	"$TOOLS/make-initramfs.sh" "$work"
	touch "$work/ready.$LAYOUT"
	mv "$work" "$dir"
}

[ -e "$dir/ready.$LAYOUT" ] || unpack
touch "$dir/checked"
ln -sfn "$dir" "$LINK"
echo "$dir"
