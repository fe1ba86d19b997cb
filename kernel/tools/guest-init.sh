#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# First process of the guest: the host's files read-only under an overlay, a folder for results, then the command.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs dev /dev
for module in /modules/*.ko; do
	[ ! -e "$module" ] || $b insmod "$module" || echo "cannot insert $module"
done
options=trans=virtio,version=9p2000.L,msize=262144
$b mkdir -p /lower /upper /new
$b mount -t 9p -o "ro,cache=loose,$options" host /lower
$b mount -t tmpfs tmpfs /upper
$b mkdir /upper/files /upper/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /new
for type in proc sysfs devtmpfs; do
	case $type in
	proc) to=proc ;;
	sysfs) to=sys ;;
	devtmpfs) to=dev ;;
	esac
	$b mkdir -p "/new/$to"
	$b mount -t "$type" "$type" "/new/$to"
done
$b mkdir -p /new/tmp /new/run /new/dev/shm
$b mount -t tmpfs tmpfs /new/tmp
$b mount -t tmpfs tmpfs /new/run
$b mount -t tmpfs tmpfs /new/dev/shm
$b mkdir -p /new/run/results /new/run/cgroup
$b mount -t 9p -o "cache=none,$options" results /new/run/results
$b mount -t cgroup2 cgroup /new/run/cgroup 2>/dev/null
$b mount -t debugfs debugfs /new/sys/kernel/debug 2>/dev/null
$b ip link set lo up 2>/dev/null
$b chroot /new /bin/sh /run/results/command </dev/null >/new/run/results/output 2>&1
echo $? >/new/run/results/status
$b dmesg >/new/run/results/dmesg
$b sync
echo o >/proc/sysrq-trigger
$b sleep 60
