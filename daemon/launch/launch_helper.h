/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_LAUNCH_HELPER_H
#define OMNIBUS_LAUNCH_HELPER_H

/* Exit codes, which daemon/activation/failures.py maps to errors; the same as those of dbus-daemon's helper.
 */
enum launch_exit {
    LAUNCH_NO_MEMORY = 2,
    LAUNCH_CONFIG_INVALID = 3,
    LAUNCH_SETUP_FAILED = 4,
    LAUNCH_NAME_INVALID = 5,
    LAUNCH_SERVICE_NOT_FOUND = 6,
    LAUNCH_PERMISSIONS_INVALID = 7,
    LAUNCH_FILE_INVALID = 8,
    LAUNCH_EXEC_FAILED = 9,
    LAUNCH_INVALID_ARGS = 10,
};

#endif
