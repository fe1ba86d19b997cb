#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# boot.sh [-c CPUS] [-m MIB] [-t SECONDS] [-d DIRECTORY] [-p PLUGIN] [-i|-I] KERNELDIR RESULTS COMMAND...
# Boots KERNELDIR/vmlinux in QEMU under software emulation with the host's files shared read-only, runs the shell
# command as root and powers off. RESULTS (writable in the guest as /run/results) gets: output, status, dmesg, console.
# -d: a directory that the guest sees too, read-only, although its /tmp and /run are its own.
# -i counts instructions: one CPU, a nanosecond of guest time is an instruction, and time leaps when nothing runs. With -I
# idle time passes, as programs with time-outs need. A string instruction of a processor with fast ones would count as many
# as it has bytes: these CPUs have none.
# -p: a plugin of QEMU's, with its options; its out= is counts in RESULTS.
set -eu
. "$(dirname "$0")/common.sh"

cpus=2 memory=1024 seconds=600 icount= model=max directories=() plugin=()
while getopts c:m:t:d:p:iI option; do
	case $option in
	c) cpus=$OPTARG ;;
	m) memory=$OPTARG ;;
	t) seconds=$OPTARG ;;
	d) directories+=("$OPTARG") ;;
	p) plugin=(-plugin "$OPTARG") ;;
	i) icount=off ;;
	I) icount=on ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
kernel=$1 results=$2
shift 2

need qemu-system-x86_64 qemu-system-x86
mkdir -p "$results"
rm -f "$results"/{output,status,dmesg,console,command,counts}
[ ${#plugin[@]} -eq 0 ] || plugin[1]+=",out=$results/counts"
shares=()
{
	echo "export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp"
	for directory in "${directories[@]}"; do
		number=${#shares[@]}
		shares+=(-fsdev "local,id=d$number,path=$directory,readonly=on,security_model=none,multidevs=remap"
			-device "virtio-9p-pci,fsdev=d$number,mount_tag=d$number")
		echo "mkdir -p '$directory'"
		echo "mount -t 9p -o ro,cache=loose,trans=virtio,version=9p2000.L,msize=262144 d$number '$directory'"
	done
	printf '%s\n' "$*"
} >"$results/command"

accel="-accel tcg,thread=multi -smp $cpus"
[ -z "$icount" ] || accel="-accel tcg,thread=single -icount shift=0,sleep=$icount -smp 1" model=max,-erms,-fsrm
append="console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=reliable no_timer_check"
image=$kernel/vmlinux
[ ! -e "$kernel/bzImage" ] || image=$kernel/bzImage
# shellcheck disable=SC2086
timeout "$seconds" qemu-system-x86_64 -M q35 -cpu $model $accel -m "$memory" -nodefaults -nographic -no-reboot \
	-serial file:"$results/console" -kernel "$image" -initrd "$kernel/initramfs.cpio" \
	-append "$append ${APPEND:-}" \
	-fsdev local,id=host,path=/,readonly=on,security_model=none,multidevs=remap \
	-device virtio-9p-pci,fsdev=host,mount_tag=host \
	-fsdev local,id=results,path="$results",security_model=none \
	-device virtio-9p-pci,fsdev=results,mount_tag=results "${shares[@]}" "${plugin[@]}" </dev/null ||
	{ tail -n 30 "$results/console" >&2; die "the guest did not finish"; }
[ -e "$results/status" ] || { tail -n 30 "$results/console" >&2; die "the guest left no status"; }
