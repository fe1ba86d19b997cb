/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_LOGIND_H
#define OMNIBUS_LOGIND_H

#include <stdbool.h>
#include <stdint.h>

#define LOGIND_USERS "/run/systemd/users"

/* True if a user is logged in at a seat, by the file of logind for that user in the directory users. */
bool logind_at_seat(const char *users, uint32_t uid);

#endif
