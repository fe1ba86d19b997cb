#!/bin/sh
# SPDX-License-Identifier: MIT
# inside.sh CHECKOUT CONFORMANCE PYTEST-ARGUMENT...: what run.py runs in the guest, as root. OMNIBUS_MULTICAST says what omnibusd
# does about the group; CONFORMANCE is the folder of other people's suites, or "". Results go to /run/results.
set -u
checkout=$1 conformance=$2
shift 2
results=/run/results
export PYTHONDONTWRITEBYTECODE=1 OMNIBUS_GUEST=1 LANG=C.UTF-8

mkdir -p /dev/pts && mount -t devpts devpts /dev/pts
# busctl wants to know of clients where they are in it.
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# Who looks up an address finds none while there is only 127.0.0.1.
busybox ip addr add 192.0.2.1/32 dev lo
cd "$checkout" || exit 1
status=0
.venv/bin/python -m pytest -p no:cacheprovider --color=no -o faulthandler_timeout=600 \
    --junitxml="$results/tests.xml" "$@" || status=1

if [ -n "$conformance" ]; then
    # The daemon has to have that name, for whoever looks at its process.
    mkdir -p /tmp/group
    option=${OMNIBUS_MULTICAST:+--multicast=$OMNIBUS_MULTICAST}
    printf '#!/bin/sh\nexec "%s" %s "$@"\n' "$checkout/.venv/bin/omnibusd" "$option" >/tmp/group/omnibusd
    chmod +x /tmp/group/omnibusd
    CONF_CACHE=/tmp/conformance CONF_TIMEOUT_SCALE=$OMNIBUS_TEST_PATIENCE DAEMON=/tmp/group/omnibusd \
        bash "$conformance/03-sd-bus.sh" || status=1
    cp -r /tmp/conformance/results "$results/conformance"
fi
exit $status
