#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# fetch-source.sh: unpacks Debian's newest linux-source-6.1 below the cache and prints the folder.
set -eu
. "$(dirname "$0")/common.sh"

need apt-get apt dpkg-deb dpkg xz xz-utils
version=$(apt-cache show --no-all-versions linux-source-6.1 2>/dev/null | sed -n 's/^Version: //p' | head -n 1)
if [ -z "$version" ]; then
	# Offline: the newest that was unpacked before.
	version=$(ls "$CACHE/source" 2>/dev/null | grep -v tmp | sort -V | tail -n 1)
	[ -n "$version" ] || die "apt offers no linux-source-6.1"
fi
source=$CACHE/source/$version
if [ ! -e "$source/Makefile" ]; then
	work=$source.tmp.$$
	mkdir -p "$work"
	say "fetching linux-source-6.1 $version"
	(cd "$work" && apt-get download -qq linux-source-6.1 2>/dev/null) || die "apt-get download failed"
	dpkg-deb --fsys-tarfile "$work"/*.deb | tar -xO ./usr/src/linux-source-6.1.tar.xz |
		tar -xJ -C "$work" --strip-components=1
	rm -f "$work"/*.deb
	mv "$work" "$source"
fi
echo "$source"
