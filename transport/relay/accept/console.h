/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_CONSOLE_H
#define OMNIBUS_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

#define CONSOLE_USERS "/run/systemd/users"

/* True if a user is logged in at a seat, by the file of logind for that user in the directory users. */
bool console_has(const char *users, uint32_t uid);

#endif
