/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_CONSOLE_H
#define OMNIBUS_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

#define CONSOLE_USERS "/run/systemd/users"

/* Is this user logged in at a seat, by the file that logind keeps of him in that directory? */
bool console_has(const char *users, uint32_t uid);

#endif
