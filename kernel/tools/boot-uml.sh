#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# boot-uml.sh [-t SECONDS] KERNELDIR RESULTS COMMAND...: as boot.sh, in User Mode Linux with the host's files as its root.
set -eu
. "$(dirname "$0")/common.sh"

seconds=600
while getopts t: option; do
	case $option in
	t) seconds=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
kernel=$1 results=$2
shift 2

mkdir -p "$results"
rm -f "$results"/{output,status,dmesg,console,command,init}
printf '%s\n' "export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp" "$*" >"$results/command"
cat >"$results/init" <<INIT
#!/bin/busybox sh
b=/bin/busybox
[ -e \$b ] || b=/usr/bin/busybox
\$b mount -t proc proc /proc
\$b mount -t sysfs sysfs /sys
\$b mount -t devtmpfs dev /dev
\$b mount -t tmpfs tmpfs /tmp
\$b mount -t tmpfs tmpfs /run
\$b mkdir -p /run/results /run/cgroup
\$b mount -t hostfs -o "$results" none /run/results
\$b mount -t cgroup2 cgroup /run/cgroup
\$b mount -t debugfs debugfs /sys/kernel/debug
/bin/sh /run/results/command </dev/null >/run/results/output 2>&1
echo \$? >/run/results/status
\$b dmesg >/run/results/dmesg
\$b poweroff -f
INIT
sed -i "1s|.*|#!$(command -v busybox) sh|" "$results/init"
chmod +x "$results/init"
timeout "$seconds" "$kernel/linux" mem=512M root=/dev/root rootfstype=hostfs rootflags=/ ro init="$results/init" \
	con0=fd:0,fd:1 con=null quiet ${APPEND:-} </dev/null >"$results/console" 2>&1 ||
	{ tail -n 30 "$results/console" >&2; die "User Mode Linux did not finish"; }
[ -e "$results/status" ] || { tail -n 30 "$results/console" >&2; die "User Mode Linux left no status"; }
