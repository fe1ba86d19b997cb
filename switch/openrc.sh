# SPDX-License-Identifier: MIT
# Sourced by omnibus-switch. Our script takes the name of the distribution's, dbus, because other services depend on
# that name; it stays in the runlevels of the old one, which is kept as dbus-daemon.

SCRIPT=/etc/init.d/dbus
OTHER=/etc/init.d/dbus-daemon
PIDFILE=/run/dbus/pid

enabled_bus() {
    if grep -qs '^command=.*/omnibusd"$' $SCRIPT; then
        echo omnibus
    elif [ -e $SCRIPT ]; then
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
    [ -e $SCRIPT ] || fail "there is no $SCRIPT"
    [ "$2" = omnibus ] || [ "$(enabled_bus system)" = dbus-daemon ] || [ -e $OTHER ] || fail "there is no $OTHER"
}

enable_bus() {
    case $2,$(enabled_bus system) in
    omnibus,dbus-daemon)
        act mv $SCRIPT $OTHER
        sed "s|^command=.*|command=\"$program\"|" "$shared/openrc/dbus" | put $SCRIPT 755
        ;;
    dbus-daemon,omnibus) act mv $OTHER $SCRIPT ;;
    esac
}

keep_running() { :; }
let_go() { :; }
tidy() { :; }
