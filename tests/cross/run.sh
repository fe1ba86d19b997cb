#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh NAME EMULATOR PROGRAM...: run test programs in an emulator, or natively if it is empty. Prints
# the failures and a summary; exits with 0 if nothing failed.
set -eu
name=$1
emulator=$2
shift 2
passed=0
skipped=0
failed=0
for program; do
    # A hanging emulator is killed; its output so far counts.
    output=$(timeout 300 $emulator "$program" 2>&1) && status=0 || status=$?
    passed=$((passed + $(echo "$output" | grep -c '^ok ' || true)))
    skipped=$((skipped + $(echo "$output" | grep -c '^skip ' || true)))
    if [ "$status" != 0 ]; then
        failed=$((failed + 1))
        echo "$name: ${program##*/} ended with $status:"
        echo "$output" | grep -v '^ok '
    fi
done
echo "$name: $passed tests passed, $skipped skipped; $failed of $# programs failed"
[ "$failed" = 0 ]
