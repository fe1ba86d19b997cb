#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make-initramfs.sh DIR: DIR/initramfs.cpio with busybox, the modules of DIR/modules.list and guest-init.sh.
set -eu
. "$(dirname "$0")/common.sh"

dir=$1
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,dev,proc,sys,modules,new}
cp /usr/bin/busybox "$root/bin/busybox"
install -m 755 "$TOOLS/guest-init.sh" "$root/init"
number=100
[ ! -s "$dir/modules.list" ] || while read -r module; do
	case $module in
	*.xz) xz -dc "$dir/$module" ;;
	*.zst) zstd -dc "$dir/$module" ;;
	*) cat "$dir/$module" ;;
	esac >"$root/modules/$number.ko"
	number=$((number + 1))
done <"$dir/modules.list"
(cd "$root" && find . | LC_ALL=C sort | cpio -o -H newc --quiet) >"$dir/initramfs.cpio"
