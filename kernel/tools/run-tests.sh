#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# run-tests.sh [-k SERIES] [-s] [-r RESULTS] [-d DIRECTORY] [-x COMMAND] [PATTERN...]: builds module and tests, boots a stock
# kernel, runs them there. -s runs the smoke subset; -x a shell command too, while the module is there; -d is boot.sh's.
# Without -s each lever is switched off alone, then all; and how late a receiver is woken, a second guest shows, which
# counts instructions.
# Prints the guest's result lines; fails if one is "not ok" or the kernel complained.
set -eu
. "$(dirname "$0")/common.sh"

LEVERS="append run_long remember interpret names"

series=6.1 smoke= results= schedules=5 also= options=()
while getopts k:sr:d:x: option; do
	case $option in
	k) series=$OPTARG ;;
	s) smoke=-s schedules=3 ;;
	r) results=$OPTARG ;;
	d) options+=(-d "$OPTARG") ;;
	x) also=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))

"$TOOLS/install-packages.sh" test
kernel=$("$TOOLS/fetch-kernel.sh" "$series")
build=$(build_programs tests)
module=$("$TOOLS/build-module.sh" "$kernel")
inject=
[ -n "$smoke" ] || inject=$("$TOOLS/build-module.sh" "$kernel" UMC_INJECT=y)
if [ -z "$results" ]; then
	results=$(mktemp -d)
	trap 'rm -rf "$results"' EXIT
fi

command="
insmod $module/unix_multicast.ko || { echo 'not ok insmod'; exit 1; }
$build/unix-multicast-test $smoke $*
python3 $build/model.py $schedules || echo 'not ok model'
(
	cd /sys/module/unix_multicast/parameters
	[ -z "$smoke" ] || exit 0
	for lever in $LEVERS; do
		[ -e \$lever ] || continue
		echo == without \$lever
		was=\$(cat \$lever)
		echo 0 >\$lever
		$build/unix-multicast-test -s $*
		python3 $build/model.py $schedules || echo not ok model without \$lever
		echo \$was >\$lever
	done
	echo == without all
	for lever in $LEVERS; do [ ! -e \$lever ] || echo 0 >\$lever; done
	$build/unix-multicast-test -s $*
	python3 $build/model.py $schedules || echo 'not ok model with all levers off'
)
(${also:-true})
echo module references after all: \$(cat /sys/module/unix_multicast/refcnt)
rmmod unix_multicast && echo 'ok rmmod' || echo 'not ok rmmod'
"
[ -z "$inject" ] || command="$command
insmod $inject/unix_multicast.ko || echo 'not ok insmod'
$build/unix-multicast-test -i $*
rmmod unix_multicast && echo 'ok rmmod after failures' || echo 'not ok rmmod after failures'
"
[ -n "$smoke" ] || options+=(-t 3600)
"$TOOLS/boot.sh" "${options[@]}" "$kernel" "$results" "$command"
cat "$results/output"
if [ -z "$smoke" ]; then
	"$TOOLS/boot.sh" -I "$kernel" "$results/exact" "insmod $module/unix_multicast.ko && UMC_EXACT=1 $build/unix-multicast-test burst_makes burst_without_end"
	tee -a "$results/output" <"$results/exact/output"
fi
if kernel_complaints "$results/dmesg"; then
	echo "not ok kernel log"
	exit 1
fi
echo "ok kernel log"
if grep -q '^not ok' "$results/output"; then
	exit 1
fi
grep -q '^ok rmmod' "$results/output"
