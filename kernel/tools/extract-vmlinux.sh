#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# extract-vmlinux.sh VMLINUZ: the uncompressed kernel, which QEMU boots directly (PVH), on standard output.
set -eu

image=$1
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT

# try MAGIC COMMAND: at every place the magic occurs, see whether an ELF file comes out.
try() {
	local magic=$1 offset
	shift
	LC_ALL=C grep -abo -P "$magic" "$image" | cut -d: -f1 | while read -r offset; do
		tail -c +$((offset + 1)) "$image" | "$@" >"$tmp" 2>/dev/null || true
		if [ "$(head -c 4 "$tmp" | tail -c 3)" = ELF ]; then
			echo found
			break
		fi
	done
}

for format in '\xFD7zXZ\x00|xz -dc' '\x28\xB5\x2F\xFD|zstd -dc' '\x1F\x8B\x08|gzip -dc'; do
	command -v "$(echo "${format##*|}" | cut -d' ' -f1)" >/dev/null || continue
	# shellcheck disable=SC2086
	if [ -n "$(try "${format%|*}" ${format##*|})" ]; then
		cat "$tmp"
		exit 0
	fi
done
echo "extract-vmlinux.sh: no kernel found in $image" >&2
exit 1
