# SPDX-License-Identifier: MIT
# Sourced by omnibus-switch. The init script of Debian and its derivatives, /etc/init.d/dbus, starts the program that
# /etc/default/dbus names.

DEFAULTS=/etc/default/dbus
PIDFILE=/run/dbus/pid

enabled_bus() {
    if grep -qs '^DAEMON=.*/omnibusd$' $DEFAULTS; then
        echo omnibus
    elif [ -e /etc/init.d/dbus ]; then
        echo dbus-daemon
    else
        echo none
    fi
}

running_buses() {
    pid=$(cat $PIDFILE 2>/dev/null) && [ -d "/proc/$pid" ] || return 0
    echo "$(bus_of "$pid") $pid $(stat -c %u "/proc/$pid")"
}

can_enable() {
    [ "$2" != dbus-broker ] || fail "dbus-broker needs systemd"
    [ -e /etc/init.d/dbus ] || fail "there is no /etc/init.d/dbus"
    [ "$2" = omnibus ] || [ -x /usr/bin/dbus-daemon ] || fail "dbus-daemon is not installed"
}

enable_bus() {
    rest=$(sed '/^DAEMON=.*\/omnibusd$/d' $DEFAULTS 2>/dev/null || :)
    {
        [ -z "$rest" ] || echo "$rest"
        [ "$2" != omnibus ] || echo "DAEMON=$program"
    } | put $DEFAULTS
}

keep_running() { :; }
let_go() { :; }

tidy() {
    [ -s $DEFAULTS ] || act rm -f $DEFAULTS
}
