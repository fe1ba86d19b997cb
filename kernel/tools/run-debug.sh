#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# run-debug.sh [-s] [-t STRESS_SECONDS] [uml-debug|qemu-debug...]: tests and stress under kernels with KASAN, PROVE_LOCKING,
# DEBUG_ATOMIC_SLEEP, kmemleak and failslab. A run passes without a report; a build that is broken on purpose must trigger
# each of the detectors. -s runs the stress alone.
set -eu
. "$(dirname "$0")/common.sh"

stress=60 only=
while getopts st: option; do
	case $option in
	s) only=stress ;;
	t) stress=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- uml-debug qemu-debug

REPORTS='KASAN|WARNING|BUG|INFO: |Oops|general protection|refcount_t|possible deadlock'
"$TOOLS/install-packages.sh" all
build=$(build_programs tests)

boot() {
	case $(basename "$kernel") in
	uml*) "$TOOLS/boot-uml.sh" -t 3000 "$@" ;;
	*) "$TOOLS/boot.sh" -m 2048 -t 3000 "$@" ;;
	esac
}

# The kernel's messages after the module was loaded; those of the boot are not ours.
# One warning is ignored: the kernel warns when failslab lets the allocation of the KASAN shadow of a page of compiled
# filters fail. Its caller copes; none of it happens in the module's code.
ours() {
	grep -q 'unix_multicast tests begin' "$1/dmesg" || echo "BUG: the kernel log lost its beginning"
	sed -n '/unix_multicast tests begin/,$p' "$1/dmesg" | awk -v reports="$REPORTS" '
	function flush() { if (!(known && jit && warnings == 1)) printf "%s", block; block = ""; inside = 0 }
	/\[ cut here \]/ { flush(); inside = 1; known = jit = module = warnings = 0 }
	!inside { print; next }
	{ block = block $0 "\n" }
	$0 ~ reports { warnings++ }
	/WARNING: .* (__)?alloc_vmap_area\+0x/ { known = 1 }
	/\+0x.*\[unix_multicast\]/ { module = 1 }
	/ bpf_jit_binary_pack_alloc\+0x/ && !module { jit = 1 }
	/---\[ end trace/ { flush() }
	END { flush() }'
}
reports() { ours "$1" | grep -E "$REPORTS" || true; }

# After failslab nothing is read from the host's files any more: their caches have failed too.
LEAKS='
[ -e /tmp/busybox ] || cp /usr/bin/busybox /tmp
b=/tmp/busybox
$b sleep 6
[ ! -e /sys/kernel/debug/kmemleak ] || for i in 1 2; do echo scan >/sys/kernel/debug/kmemleak; $b sleep 6; done
[ ! -e /sys/kernel/debug/kmemleak ] || $b grep -B1 -A12 -E "comm .(unix-multicast|python)" /sys/kernel/debug/kmemleak'
FAILSLAB='
cd /sys/kernel/debug/failslab
echo Y >task-filter; echo 10 >probability; echo -1 >times; echo 0 >verbose; echo N >ignore-gfp-wait
cd /'

failed=0
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
for flavour in "$@"; do
	kernel=$("$TOOLS/build-debug-kernel.sh" "$flavour")
	module=$("$TOOLS/build-module.sh" "$kernel" UMC_INJECT=y)
	broken=$("$TOOLS/build-module.sh" "$kernel" UMC_BREAK=y)
	boot "$kernel" "$results" "
cp $build/unix-multicast-stress $(command -v busybox) /tmp
echo unix_multicast tests begin >/dev/kmsg
insmod $module/unix_multicast.ko || echo 'not ok insmod'
[ -n '$only' ] || $build/unix-multicast-test
[ -n '$only' ] || $build/unix-multicast-test -i
[ -n '$only' ] || python3 $build/model.py 20 || echo 'not ok model'
/tmp/unix-multicast-stress $stress 1 stream || echo 'not ok stress'
/tmp/unix-multicast-stress $stress 2 seqpacket || echo 'not ok stress'
$FAILSLAB
echo 13 >/sys/module/unix_multicast/parameters/inject
/tmp/unix-multicast-stress $stress 3 stream failslab || echo 'not ok stress'
/tmp/unix-multicast-stress $stress 4 seqpacket failslab || echo 'not ok stress'
echo 0 >/sys/kernel/debug/failslab/probability
$LEAKS
/tmp/busybox rmmod unix_multicast && echo 'ok rmmod' || echo 'not ok rmmod'"
	sed "s/^/$flavour: /" "$results/output" | grep -vE ': ok (stream|seqpacket)/'
	echo "$flavour: $(grep -c '^ok' "$results/output") ok, $(grep -c '^not ok' "$results/output" || true) not ok"
	found=$(reports "$results")
	if [ -n "$found" ]; then
		echo "$flavour: reports"
		ours "$results" | grep -E -A40 "$REPORTS" | head -n 200
	else
		echo "$flavour: no reports"
	fi
	if [ -n "$found" ] || grep -q '^not ok' "$results/output" || grep -q 'comm "' "$results/output"; then
		failed=1
	fi

	[ -z "$only" ] || continue
	boot "$kernel" "$results" "
echo unix_multicast tests begin >/dev/kmsg
insmod $broken/unix_multicast.ko
timeout 300 $build/unix-multicast-test unicast_goes member_can_not multicast_reaches
$LEAKS
rmmod unix_multicast"
	{ reports "$results"; grep 'comm "' "$results/output" || true; } | sort | uniq -c >"$results/seen"
	# The last is kmemleak's: the origin of the allocation.
	detectors=('possible recursive locking' 'use-after-free' 'comm "unix-multicast')
	# User Mode Linux has no preemption count.
	[ "$flavour" = uml-debug ] || detectors+=('sleeping function')
	for detector in "${detectors[@]}"; do
		if grep -q "$detector" "$results/seen" || grep -q "$detector" "$results/dmesg"; then
			echo "$flavour: the broken build is seen: $detector"
		else
			echo "$flavour: the broken build is NOT seen: $detector"
			failed=1
		fi
	done
done
exit $failed
