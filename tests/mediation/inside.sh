#!/bin/sh
# SPDX-License-Identifier: MIT
# inside.sh CHECKOUT MODULE POLICIES ARGUMENT...: the part of run.py in the guest, as root: rights.py, for AppArmor
# reference.py, for SELinux group.py with $CHANGES, and compare.py with these arguments.
set -u
checkout=$1
shift
export PYTHONDONTWRITEBYTECODE=1 LANG=C.UTF-8 PYTHONPATH="$checkout/tests" OMNIBUS_TEST_PATIENCE=6
mkdir -p /dev/pts && mount -t devpts devpts /dev/pts
cd "$checkout" || exit 1
status=0
.venv/bin/python -m mediation.rights "$@" || status=1
[ "$1" != apparmor ] || .venv/bin/python -m mediation.reference "$2" || status=1
[ "$1" != selinux ] || .venv/bin/python -m mediation.group "$2" "$CHANGES" || status=1
.venv/bin/python -m mediation.compare "$@" || status=1
exit $status
