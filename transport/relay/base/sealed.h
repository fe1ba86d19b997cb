/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_SEALED_H
#define OMNIBUS_SEALED_H

#include <stdbool.h>

#define SEALED_NAME "omnibus-state"
#define SEALED_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/*
 * The memfd that one program hands to the next. It is believed because root or the user of this process has
 * made it, and nothing can change it any more; so are arguments that come with it, as no other process could
 * have it.
 */
bool sealed_is_ours(int fd);

#endif
