#!/bin/sh
# SPDX-License-Identifier: MIT
# Prints a folder with dbus-daemon and dbus-broker as a suite of Debian has them, for $PATH:
#
#     PATH=$(bench/peers.sh trixie):$PATH .venv/bin/python -m omnibus.bench.compare
#
# They run with the suite's own libraries on this machine's kernel, and without a chroot, so that they find files and
# sockets where the others do. The suite's root is made by debootstrap once, as root, and kept in the cache.
set -eu
suite=${1:?usage: peers.sh SUITE}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/omnibus/bench
root=$cache/$suite
part=$root.part

if [ ! -d "$root" ]; then
    rm -rf "$part"
    mkdir -p "$cache"
    debootstrap --variant=minbase --include=dbus-daemon,dbus-broker "$suite" "$part" >&2
    loader=$(chroot "$part" sh -c 'readlink -f /lib*/ld-linux*.so.*')
    libraries=$(dirname "$(chroot "$part" sh -c 'readlink -f /usr/lib/*/libdbus-1.so.3')")
    mkdir "$part/programs"
    for name in dbus-daemon dbus-broker; do
        cat > "$part/programs/$name" <<END
#!/bin/sh
exec "$root$loader" --library-path "$root$libraries:$root$libraries/systemd" "$root/usr/bin/$name" "\$@"
END
        chmod +x "$part/programs/$name"
    done
    mv "$part" "$root"
fi
echo "$root/programs"
