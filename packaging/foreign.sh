#!/bin/sh
# SPDX-License-Identifier: MIT
# foreign.sh rpm|arch: builds the packages of Fedora or of Arch Linux from the source distribution, with the tools that
# Debian has of them, into build/rpm or build/arch. That shows that the recipes are complete, and no more: the packages are
# for this machine's Python, and nothing of them is tried on those systems.
set -eu

kind=$1
checkout=$(cd "$(dirname "$0")/.." && pwd)
target=$checkout/build/$kind
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$target"
mkdir -p "$target"

copy=$work/checkout
git -C "$checkout" ls-files -z --cached --others --exclude-standard --deduplicate |
    (cd "$checkout" && xargs -0 sh -c 'for one; do [ ! -e "$one" ] || printf "%s\0" "$one"; done' sh |
        tar --null --files-from=- -cf -) | { mkdir "$copy" && tar -xf - -C "$copy"; }
# Debian 12 has an older setuptools than these distributions.
python=$checkout/build/builder/bin/python
(cd "$copy" && "$python" setup.py -q sdist --dist-dir="$work" 2>"$target/log")

case $kind in
rpm)
    rpmbuild --quiet -bb --nodeps --define "python3 $python" --define "_topdir $work/rpm" --define "_sourcedir $work" \
        --define "_rpmdir $target" "$checkout/packaging/fedora/omnibus.spec" >"$target/log" 2>&1 || {
        tail -40 "$target/log"
        exit 1
    }
    rpmlint -c "$checkout/packaging/fedora/rpmlint.toml" "$checkout/packaging/fedora/omnibus.spec" "$target"/*/*.rpm
    ;;
arch)
    cp "$checkout"/packaging/arch/* "$work/"
    # makepkg refuses to run as root.
    if [ "$(id -u)" = 0 ]; then
        chown -R 65534:65534 "$work" "$target"
        as="setpriv --reuid=65534 --regid=65534 --clear-groups"
    fi
    (cd "$work" && ${as-} env HOME="$work" BUILDER="$python" PACMAN=true PKGDEST="$target" PKGEXT=.pkg.tar.zst makepkg --nodeps --noconfirm) >"$target/log" 2>&1 || {
        tail -40 "$target/log"
        exit 1
    }
    ;;
esac
ls "$target"
