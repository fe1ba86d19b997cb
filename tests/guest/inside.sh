#!/bin/sh
# SPDX-License-Identifier: MIT
# inside.sh CHECKOUT CONFORMANCE PYTEST-ARGUMENT...: the part of run.py in the guest, as root. OMNIBUS_MULTICAST is omnibusd's
# --multicast; CONFORMANCE is the folder of third-party test suites, or "". Results go to /run/results.
set -u
checkout=$1 conformance=$2
shift 2
results=/run/results
export PYTHONDONTWRITEBYTECODE=1 OMNIBUS_GUEST=1 LANG=C.UTF-8

mkdir -p /dev/pts && mount -t devpts devpts /dev/pts
# busctl reads each client's cgroup.
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# With only 127.0.0.1, looking up an address finds none.
busybox ip addr add 192.0.2.1/32 dev lo
cd "$checkout" || exit 1
status=0
.venv/bin/python -m pytest -p no:cacheprovider --color=no -o faulthandler_timeout=600 \
    --junitxml="$results/tests.xml" "$@" || status=1

if [ -n "$conformance" ]; then
    # Tests look for a process of that name.
    mkdir -p /tmp/group
    option=${OMNIBUS_MULTICAST:+--multicast=$OMNIBUS_MULTICAST}
    printf '#!/bin/sh\nexec "%s" %s "$@"\n' "$checkout/.venv/bin/omnibusd" "$option" >/tmp/group/omnibusd
    chmod +x /tmp/group/omnibusd
    CONF_CACHE=/tmp/conformance CONF_TIMEOUT_SCALE=$OMNIBUS_TEST_PATIENCE DAEMON=/tmp/group/omnibusd \
        bash "$conformance/03-sd-bus.sh" || status=1
    cp -r /tmp/conformance/results "$results/conformance"
fi
exit $status
