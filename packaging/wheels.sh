#!/bin/sh
# SPDX-License-Identifier: MIT
# Called by wheels.py in a root of Debian 12, in a copy of the checkout: ../dist gets the source distribution, and a wheel
# made of it for each platform. All compilers are Debian's, and so is the glibc, which is the oldest that is supported.
#
# Rejected: a compiler that knows every platform (zig's), because the daemon's tests run with gcc's code and its
# hardening; an emulated build, which takes half an hour.
set -eu

MUSL=1_2

rm -rf ../dist ../raw
[ -x ../tools/bin/pip ] || python3 -m venv ../tools
../tools/bin/pip install -q --disable-pip-version-check -r packaging/wheels.txt
PATH=$(realpath ../tools/bin):$PATH

python -m build --sdist --no-isolation --outdir ../dist . >../log 2>&1 || {
    tail -40 ../log
    exit 1
}

# musl-gcc's own file, for another architecture.
SPECS=/usr/lib/x86_64-linux-musl/musl-gcc.specs
sed 's/x86_64/aarch64/g' $SPECS >../aarch64-musl.specs

# The kernel's headers and Python's, which musl has no directory for.
others() {
    echo "-idirafter /usr/include -idirafter /usr/include/$1-linux-gnu"
}

# build ARCHITECTURE COMPILER...: ../raw gets the wheel.
build() {
    architecture=$1
    shift
    rm -rf ../source && mkdir ../source
    tar -xzf ../dist/*.tar.gz -C ../source --strip-components=1
    # -s: without the symbols and the debugging information, which are three quarters of the size.
    CC="$* -s" _PYTHON_HOST_PLATFORM=linux-$architecture \
        python -m build --wheel --no-isolation --outdir ../raw ../source >../log 2>&1 || {
        tail -40 ../log
        exit 1
    }
}

build_glibc() {
    build "$@"
    auditwheel -v repair --plat auto --wheel-dir ../dist ../raw/*.whl >../log 2>&1 || {
        tail -40 ../log
        exit 1
    }
    rm ../raw/*.whl
}

# auditwheel takes one libc of musl for granted, and here are two. There are no versions of symbols in it to be examined:
# what is to be known is that nothing else is linked to. The first -L precedes those of Python, which has glibc.
build_musl() {
    architecture=$1
    shift
    build "$architecture" "$* -L/usr/lib/$architecture-linux-musl"
    rm -rf ../tried
    python -m zipfile -e ../raw/*.whl ../tried
    find ../tried -type f -exec sh -c 'readelf -d "$1" 2>/dev/null | sed -n "s/.*(NEEDED).*\[\(.*\)\]/\1/p"' sh {} \; | sort -u >../needed
    if grep -vx 'libc.so\|libomnibusrelay.so' ../needed; then
        echo "the wheel for musl needs the libraries above" >&2
        exit 1
    fi
    wheel tags --remove --platform-tag "musllinux_${MUSL}_$architecture" ../raw/*.whl >/dev/null
    mv ../raw/*.whl ../dist/
}

build_glibc x86_64 x86_64-linux-gnu-gcc
build_glibc aarch64 aarch64-linux-gnu-gcc
build_musl x86_64 "musl-gcc $(others x86_64)"
# The atomics of libgcc that look for the processor's at run time are for glibc.
build_musl aarch64 "aarch64-linux-gnu-gcc -mno-outline-atomics -specs $(realpath ../aarch64-musl.specs) $(others aarch64)"

# try_musl ARCHITECTURE EMULATOR COMPILER...: programs run, and the data plane finds all its symbols in musl. No Python of
# Debian is linked to musl.
try_musl() {
    wheel=$(ls ../dist/*musllinux*_"$1".whl)
    emulator=$2
    shift 2
    rm -rf ../tried
    python -m zipfile -e "$wheel" ../tried
    helper=$(find ../tried -name omnibus-daemon-launch-helper)
    chmod 755 "$helper"
    $emulator "$helper" 2>&1 | grep -q usage
    cat >../tried/load.c <<'C'
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    void *library = dlopen(argv[argc - 1], RTLD_NOW);
    if (!library)
        puts(dlerror());
    return !library;
}
C
    "$@" ../tried/load.c -o ../tried/load
    $emulator ../tried/load "$(find "$(realpath ../tried)" -name libomnibusrelay.so)"
    echo "${wheel##*/}: programs run, and the data plane can be loaded"
}

try_musl x86_64 "" musl-gcc
try_musl aarch64 qemu-aarch64 aarch64-linux-gnu-gcc -specs ../aarch64-musl.specs

twine check --strict ../dist/*
