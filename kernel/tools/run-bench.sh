#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# run-bench.sh [-r ROUNDS]: the benchmark on a stock kernel: in instructions (one CPU, QEMU counts), then in wall time.
# Wall time under emulation says little; instructions are repeatable whatever else this machine does.
set -eu
. "$(dirname "$0")/common.sh"

rounds=1024
while getopts r: option; do
	case $option in
	r) rounds=$OPTARG ;;
	*) exit 2 ;;
	esac
done

"$TOOLS/install-packages.sh" test
need dbus-daemon dbus-daemon dbus-broker dbus-broker
kernel=$("$TOOLS/fetch-kernel.sh" 6.1)
module=$("$TOOLS/build-module.sh" "$kernel")
build=$(build_programs bench)
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
command="insmod $module/unix_multicast.ko
$build/unix-multicast-bench -r $rounds
for bus in dbus-daemon dbus-broker; do
	python3 $build/start-bus.py \$bus /tmp/\$bus $build/unix-multicast-bench -r $rounds -b \$bus=/tmp/\$bus
done"

# The table: a case and its contenders on a line each, and the ratio to the direct socketpair.
table() {
	awk '
	$1 == "slow-receiver" { slow[++n] = $0; next }
	{ split($3, each, "="); if ($2 == "direct") base[$1] = each[2]
	  printf "%-12s %-12s %10d  %6.2f  %s\n", $1, $2, each[2], base[$1] ? each[2] / base[$1] : 0, $4 }
	END { for (i = 1; i <= n; i++) print slow[i] }' "$1"
}

for mode in instructions nanoseconds; do
	option=
	[ $mode = nanoseconds ] || option=-i
	"$TOOLS/boot.sh" $option -t 1200 "$kernel" "$results" "$command"
	echo "-- $mode a message (ratio to direct)"
	table "$results/output"
done
