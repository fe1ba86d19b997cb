# SPDX-License-Identifier: MIT
# Sourced by omnibus-switch. The bus is the unit that the name dbus.service stands for: a link in /etc, made by
# `systemctl enable`, or else the file of the distribution. Managers are not told of the link, since they would take the
# running bus for the other unit, or for a stopped one, and abandon it; then even `systemctl reboot` waits for its
# time-outs.

UNITS="/usr/local/lib/systemd /usr/lib/systemd /lib/systemd"

# find_unit SCOPE NAME: the file of a unit.
find_unit() {
    for directory in $UNITS; do
        if [ -e "$directory/$1/$2.service" ]; then
            readlink -f "$directory/$1/$2.service"
            return
        fi
    done
    return 1
}

unit_bus() {
    case ${1##*/} in
    omnibus.service) echo omnibus ;;
    dbus.service | dbus-daemon.service) echo dbus-daemon ;;
    dbus-broker.service) echo dbus-broker ;;
    *) echo unknown ;;
    esac
}

enabled_bus() {
    link=/etc/systemd/$1/dbus.service
    if [ -L "$link" ] || [ -e "$link" ]; then
        unit_bus "$(readlink "$link" || echo "$link")"
    elif unit=$(find_unit "$1" dbus); then
        unit_bus "$unit"
    else
        echo none
    fi
}

# at SCOPE UID COMMAND...: as root, or as a user, whose directory root must not write to.
at() {
    if [ "$1" = system ]; then
        shift 2
        "$@"
    else
        uid=$2
        shift 2
        setpriv --reuid="$uid" --regid="$(id -g "$uid")" --init-groups \
            env XDG_RUNTIME_DIR="/run/user/$uid" "$@"
    fi
}

# Prints the uids whose managers run: 0 for the system's.
managers() {
    [ -d /run/systemd/system ] || return 0
    if [ "$1" = system ]; then
        echo 0
    else
        for directory in /run/user/*; do
            uid=${directory##*/}
            if [ -S "$directory/systemd/private" ] && { [ "$(id -u)" = 0 ] || [ "$(id -u)" = "$uid" ]; }; then
                echo "$uid"
            fi
        done
    fi
}

running_buses() {
    for uid in $(managers "$1"); do
        pid=$(at "$1" "$uid" systemctl "--$1" show --property=MainPID --value dbus.service)
        [ "$pid" = 0 ] || echo "$(bus_of "$pid") $pid $uid"
    done
}

can_enable() {
    case $2 in
    omnibus) find_unit "$1" omnibus >/dev/null || fail "there is no omnibus.service for systemd's $1 manager" ;;
    dbus-broker) find_unit "$1" dbus-broker >/dev/null || fail "dbus-broker is not installed" ;;
    dbus-daemon)
        unit=$(find_unit "$1" dbus-daemon || find_unit "$1" dbus) && [ "$(unit_bus "$unit")" = dbus-daemon ] ||
            fail "dbus-daemon is not installed, or has no unit for systemd's $1 manager"
        ;;
    esac
}

enable_bus() {
    [ "$(enabled_bus "$1")" != "$2" ] || return 0
    case $1 in
    system) manager=--no-reload ;;
    user) manager=--global ;;
    esac
    link=/etc/systemd/$1/dbus.service
    if [ -L "$link" ]; then
        old=$(readlink "$link")
        act systemctl $manager disable "${old##*/}"
        # A unit that is gone can't be disabled.
        [ ! -L "$link" ] || act rm "$link"
    fi
    [ "$dry_run" ] || [ "$(enabled_bus "$1")" != "$2" ] || return 0
    if [ "$dry_run" ] && unit=$(find_unit "$1" dbus) && [ "$(unit_bus "$unit")" = "$2" ]; then
        return 0
    fi
    act systemctl $manager enable "$2.service"
}

# The running unit is copied to where it precedes the link, until the machine or the user's manager ends: a
# daemon-reload by another package does no harm.
KEEP='
set -eu
id=$(systemctl "--$1" show --property=Id --value dbus.service)
file=$(systemctl "--$1" show --property=FragmentPath --value dbus.service)
[ "$file" ] || exit 0
[ "${file%/*}" != "$2" ] || exit 0
mkdir -p "$2"
cp "$file" "$2/$id"
[ "$id" = dbus.service ] || ln -sfn "$id" "$2/dbus.service"
'
LET_GO='
rm -f "$2/dbus.service" "$2/dbus-daemon.service" "$2/dbus-broker.service" "$2/omnibus.service"
rmdir "$2" 2>/dev/null || :
'

control() {
    case $1 in
    system) echo /run/systemd/system.control ;;
    user) echo "/run/user/$2/systemd/user.control" ;;
    esac
}

keep_running() {
    running_buses "$1" | while read -r _ _ uid; do
        at "$1" "$uid" sh -c "$KEEP" sh "$1" "$(control "$1" "$uid")" </dev/null
    done
}

let_go() {
    for uid in $(managers "$1"); do
        at "$1" "$uid" sh -c "$LET_GO" sh "$1" "$(control "$1" "$uid")"
    done
}

tidy() { :; }
