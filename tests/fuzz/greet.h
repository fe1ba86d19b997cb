/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_GREET_H
#define FUZZ_GREET_H

#include "world.h"

#define GREETINGS 8u /* ways to say it */

/* The handshake in one of the ways, as far as the number of bytes, and Hello if it is whole. */
void greet(struct client *c, uint32_t way, size_t most);
/* For a process of its own: the bytes of a handshake and of Hello. */
void greet_bytes(uint32_t uid, struct bytes *to);

#endif
