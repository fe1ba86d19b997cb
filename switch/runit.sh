# SPDX-License-Identifier: MIT
# Sourced by omnibus-switch. The service dbus is a directory that runsvdir supervises below $SERVICES: /var/service on
# Void Linux, /etc/service on Debian. Our scripts take the place of its own, which are kept beside them. Another
# directory under the same name would not do: runsvdir stops the running bus as soon as it sees it.

if [ -z "${SERVICES-}" ]; then
    for SERVICES in /var/service /etc/service; do
        [ ! -d "$SERVICES" ] || break
    done
fi
DBUS=$SERVICES/dbus

enabled_bus() {
    if grep -qs '/omnibusd ' "$DBUS/run"; then
        echo omnibus
    elif [ -e "$DBUS/run" ]; then
        echo dbus-daemon
    else
        echo none
    fi
}

running_buses() {
    pid=$(cat "$DBUS/supervise/pid" 2>/dev/null) && [ -d "/proc/$pid" ] || return 0
    echo "$(bus_of "$pid") $pid $(stat -c %u "/proc/$pid")"
}

can_enable() {
    [ "$2" != dbus-broker ] || fail "dbus-broker needs systemd"
    [ -e "$DBUS/run" ] || fail "there is no service $DBUS; set SERVICES"
    [ "$2,$(enabled_bus system)" != dbus-daemon,omnibus ] || [ -e "$DBUS/run.dbus-daemon" ] ||
        fail "there is no $DBUS/run.dbus-daemon"
}

enable_bus() {
    [ "$(enabled_bus system)" != "$2" ] || return 0
    for script in run check; do
        if [ "$2" = omnibus ]; then
            [ ! -e "$DBUS/$script" ] || act mv "$DBUS/$script" "$DBUS/$script.dbus-daemon"
            sed "s|/usr/local/bin/omnibusd|$program|" "$shared/runit/omnibus/$script" | put "$DBUS/$script" 755
        elif [ -e "$DBUS/$script.dbus-daemon" ]; then
            act mv "$DBUS/$script.dbus-daemon" "$DBUS/$script"
        else
            act rm "$DBUS/$script"
        fi
    done
}

keep_running() { :; }
let_go() { :; }
tidy() { :; }
