#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# build-module.sh KERNELDIR [MAKEARG...]: builds the module for a kernel of the cache, outside of the source tree, and
# prints the folder it is in. That is keyed by kernel, arguments (UMC_INJECT=y) and sources, so that one checkout's run never
# changes what another's guest is executing. Those that no run has asked for in a week are removed.
set -eu
. "$(dirname "$0")/common.sh"

kernel=$1
shift
variant=$(echo "$*" | tr -c 'A-Za-z0-9_\n' -)
sources=$(cd "$KERNEL_DIR" && cat Makefile dkms.conf ./*.[ch] include/uapi/linux/* | sha256sum | cut -c 1-12)
dir=$CACHE/module/$(basename "$kernel")${variant:+-$variant}-$sources
arch=
case $(basename "$kernel") in
uml*) arch=ARCH=um ;;
esac

mkdir -p "$dir/include/uapi/linux"
# Two runs at once must not build in each other's way.
exec 9>"$dir.lock"
flock 9
touch "$dir" "$dir.lock"
find "$CACHE/module" -mindepth 1 -maxdepth 1 -mtime +7 -exec rm -rf {} +
if [ -e "$dir/unix_multicast.ko" ]; then
	echo "$dir"
	exit 0
fi
(cd "$KERNEL_DIR" && cp --parents Makefile dkms.conf ./*.[ch] include/uapi/linux/unix_multicast.h "$dir")
# Type information for BPF would need pahole.
make -C "$kernel/build" M="$dir" $arch CONFIG_DEBUG_INFO_BTF_MODULES= W=1 "$@" modules >"$dir/log" 2>&1 || { cat "$dir/log" >&2; die "the module did not build"; }
if grep -q '^[a-z/].*warning:' <(grep -v '/usr/src/' "$dir/log"); then
	rm -f "$dir/unix_multicast.ko"
	grep -A5 'warning:' "$dir/log" >&2
	die "warnings"
fi
echo "$dir"
