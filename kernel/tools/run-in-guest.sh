#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# run-in-guest.sh [-k SERIES] [BOOT-OPTION...] RESULTS COMMAND: boots a stock kernel, inserts the module, runs the shell command and
# shows what it prints. Fails if the command does, if a socket keeps the module afterwards, or if the kernel complained.
# The other options are those of boot.sh.
set -eu
. "$(dirname "$0")/common.sh"

series=6.1 options=()
while getopts k:c:m:t:d:p:iI option; do
	case $option in
	k) series=$OPTARG ;;
	[iI]) options+=("-$option") ;;
	[cmtdp]) options+=("-$option" "$OPTARG") ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
results=$1 command=$2

"$TOOLS/install-packages.sh" test
kernel=$("$TOOLS/fetch-kernel.sh" "$series")
module=$("$TOOLS/build-module.sh" "$kernel")
mkdir -p "$results"
: >"$results/output"
"$TOOLS/boot.sh" "${options[@]}" -d "$module" "$kernel" "$results" "
insmod $module/unix_multicast.ko || exit 1
($command)
status=\$?
rmmod unix_multicast && echo 'ok rmmod' || { echo 'not ok rmmod'; status=1; }
exit \$status
" &
# boot.sh removes the file first; the guest makes it anew.
tail --pid=$! -s 1 -n +1 -F "$results/output" 2>/dev/null || true
wait $!
! kernel_complaints "$results/dmesg" || exit 1
exit "$(cat "$results/status")"
