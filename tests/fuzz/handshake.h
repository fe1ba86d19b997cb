/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_HANDSHAKE_H
#define FUZZ_HANDSHAKE_H

#include "world.h"

#define HANDSHAKES 8u /* variants */

/* Sends at most the first bytes of a variant of the handshake, and Hello if it is complete. */
void handshake_send(struct client *c, uint32_t way, size_t most);
/* The bytes of a handshake and of Hello, for a separate process. */
void handshake_bytes(uint32_t uid, struct bytes *to);

#endif
