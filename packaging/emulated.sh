#!/bin/sh
# SPDX-License-Identifier: MIT
# emulated.sh ROOT EMULATOR COMMAND: runs a command of aarch64 in a root. The kernel gives its programs, and those that
# they execute, to the emulator: binfmt_misc is the user namespace's own from Linux 6.7 on, so that the machine's stays as
# it is.
set -eu

exec unshare --user --map-root-user --mount --pid --fork --kill-child sh -euc '
root=$1
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t binfmt_misc binfmt_misc "$root/proc/sys/fs/binfmt_misc"
printf ":aarch64:M::%s:%s:%s:F\n" \
    "\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00" \
    "\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff" \
    "$2" >"$root/proc/sys/fs/binfmt_misc/register"
exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 /bin/sh -euc "$3"
' sh "$@"
