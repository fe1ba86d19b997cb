#!/bin/sh
# SPDX-License-Identifier: MIT
# inside.sh CHECKOUT MODULE CONFORMANCE PYTEST-ARGUMENT...: what runs in the guest, as root. OMNIBUS_MULTICAST says what
# omnibusd does about the group; CONFORMANCE is the folder of other people's suites, or "". Results go to /run/results.
set -u
checkout=$1 module=$2 conformance=$3
shift 3
results=/run/results
export PYTHONDONTWRITEBYTECODE=1 OMNIBUS_GUEST=1 LANG=C.UTF-8

mkdir -p /dev/pts && mount -t devpts devpts /dev/pts
insmod "$module/unix_multicast.ko" || exit 1
cd "$checkout" || exit 1

status=0
.venv/bin/python -m pytest -p no:cacheprovider --color=no -o faulthandler_timeout=600 \
    --junitxml="$results/tests.xml" "$@" || status=1

if [ -n "$conformance" ]; then
    # The daemon has to have that name, for whoever looks at its process.
    mkdir -p /tmp/group
    printf '#!/bin/sh\nexec "%s" %s "$@"\n' "$checkout/.venv/bin/omnibusd" \
        "${OMNIBUS_MULTICAST:+--multicast=$OMNIBUS_MULTICAST}" >/tmp/group/omnibusd
    chmod +x /tmp/group/omnibusd
    CONF_CACHE=/tmp/conformance CONF_TIMEOUT_SCALE=$OMNIBUS_TEST_PATIENCE DAEMON=/tmp/group/omnibusd \
        bash "$conformance/03-sd-bus.sh" || status=1
    cp -r /tmp/conformance/results "$results/conformance"
fi

# Whatever still holds the module is a socket that was never closed.
rmmod unix_multicast && echo "ok rmmod" || { echo "not ok rmmod"; status=1; }
exit $status
