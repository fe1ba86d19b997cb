/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_TAKEOVER_HANDSHAKE_H
#define OMNIBUS_TAKEOVER_HANDSHAKE_H

#include "sockets.h"

#include <sys/types.h>

/*
 * Connects to a listener of the daemon as a user, and authenticates as that, since a user's bus admits no
 * other, not even root. Blocking, for at most a few seconds. Returns a socket that does not block, or -errno;
 * guid: that of the listener, which has 32 digits.
 */
int handshake(const struct sockaddr_un *name, socklen_t size, uid_t uid, gid_t gid, char guid[33]);

#endif
