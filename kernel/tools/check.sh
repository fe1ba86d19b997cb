#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# check.sh: checkpatch --strict, sparse, and W=1 builds for Debian's 6.1 and, where apt offers it, 6.12.
set -eu
. "$(dirname "$0")/common.sh"

"$TOOLS/install-packages.sh" all
source=$("$TOOLS/fetch-source.sh")
# A hook's proto_ops can't be const: it is a copy that is changed.
(cd "$KERNEL_DIR" && perl "$source/scripts/checkpatch.pl" --strict --no-tree --quiet --max-line-length=100 \
	--ignore CONST_STRUCT -f ./*.c ./*.h include/uapi/linux/*.h)

for series in 6.1 6.12; do
	kernel=$("$TOOLS/fetch-kernel.sh" $series) || { say "no $series on offer"; continue; }
	module=$("$TOOLS/build-module.sh" "$kernel" C=2 "CF=-D__CHECK_ENDIAN__")
	# Warnings from the kernel's own headers are not ours to fix.
	if grep -E "^$module/[a-z]*\.[ch]:.*(warning|error)" "$module/log"; then
		die "sparse"
	fi
	say "$series: W=1 and sparse are silent"
done
