# SPDX-License-Identifier: GPL-2.0
# Sourced by the scripts beside it: the cache's folders, and the check for missing packages.

TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
KERNEL_DIR=$(dirname "$TOOLS")
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/omnibus/kernel
mkdir -p "$CACHE"

die() { echo "$(basename "$0"): $*" >&2; exit 1; }
say() { echo "== $*" >&2; }

# need COMMAND PACKAGE ...: every command must exist, or the missing packages are named at once.
need() {
	local missing=()
	while [ $# -gt 0 ]; do
		command -v "$1" >/dev/null || [ -e "$1" ] || missing+=("$2")
		shift 2
	done
	[ ${#missing[@]} -eq 0 ] || die "missing Debian packages: ${missing[*]} (see kernel/tools/install-packages.sh)"
}

# kernel_complaints DMESG: prints a kernel's warnings, and fails if there are none.
kernel_complaints() { grep -E 'WARNING|BUG|Oops|general protection|RCU stall|possible deadlock|refcount_t' "$1"; }

# build_programs tests|bench: builds the guest's programs and prints their folder, which is keyed by the sources, so that one
# checkout's run never changes what another's guest is executing.
build_programs() {
	local sources=$KERNEL_DIR/$1 dir
	dir=$CACHE/$1/$(cat "$sources"/Makefile "$sources"/*.[chp]* "$KERNEL_DIR"/include/uapi/linux/* | sha256sum | cut -c 1-12)
	mkdir -p "$dir"
	flock "$dir.lock" make -s -C "$sources" OUT="$dir" >&2 || die "$1 did not build"
	echo "$dir"
}

# The mirror of Debian that apt uses.
debian_mirror() {
	local mirror
	mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 'Created-By: Packages' |
		awk '$2 == "Debian" && $3 == "Debian" { print $1; exit }')
	[ -n "$mirror" ] || die "apt knows no mirror of Debian"
	echo "$mirror"
}
