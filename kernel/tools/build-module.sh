#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# build-module.sh KERNELDIR [MAKEARG...]: builds the module for a kernel of the cache, outside of the source tree, and
# prints the folder it is in. Other arguments (UMC_INJECT=y) build into a folder of their own.
set -eu
. "$(dirname "$0")/common.sh"

kernel=$1
shift
variant=$(echo "$*" | tr -c 'A-Za-z0-9_\n' -)
dir=$CACHE/module/$(basename "$kernel")${variant:+-$variant}
arch=
case $(basename "$kernel") in
uml*) arch=ARCH=um ;;
esac

mkdir -p "$dir/include/uapi/linux"
# Two runs at once must not build in each other's way.
exec 9>"$dir.lock"
flock 9
changed=
for file in Makefile dkms.conf *.c *.h include/uapi/linux/unix_multicast.h; do
	for source in "$KERNEL_DIR"/$file; do
		to=$dir/${source#"$KERNEL_DIR"/}
		cmp -s "$source" "$to" || { cp "$source" "$to"; changed=1; }
	done
done
# What was taken out of the source tree must not be built any more.
for file in "$dir"/*.[ch]; do
	[ -e "$KERNEL_DIR/$(basename "$file")" ] || case $file in *.mod.c) ;; *) rm -f "$file" ;; esac
done
if [ -z "$changed" ] && [ -e "$dir/unix_multicast.ko" ]; then
	echo "$dir"
	exit 0
fi
# Whatever goes wrong from here on, the next run builds again.
rm -f "$dir/unix_multicast.ko"
# Type information for BPF would need pahole.
make -C "$kernel/build" M="$dir" $arch CONFIG_DEBUG_INFO_BTF_MODULES= W=1 "$@" modules >"$dir/log" 2>&1 || { cat "$dir/log" >&2; die "the module did not build"; }
if grep -q '^[a-z/].*warning:' <(grep -v '/usr/src/' "$dir/log"); then
	rm -f "$dir/unix_multicast.ko"
	grep -A5 'warning:' "$dir/log" >&2
	die "warnings"
fi
echo "$dir"
