/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_PEER_CREDS_H
#define OMNIBUS_PEER_CREDS_H

#include "api/relay.h"

#include <stdbool.h>
#include <stddef.h>

struct peer_creds_user { /* as in struct relay_identity */
    uint32_t pid, uid, gid;
};

/* These two together are relay_identify, for a socket known to be a Unix socket. False: nothing is known. */
bool peer_creds_user(int fd, struct peer_creds_user *user);
void peer_creds_more(int fd, const struct peer_creds_user *user, struct relay_identity *identity);
/*
 * Writes the primary and the supplementary groups, each once, and returns their number; gids has room for one
 * more than the supplementary ones.
 */
uint32_t peer_creds_groups(const struct relay_identity *identity, uint32_t *gids);
/* A close-on-exec pidfd of the process at the other end of a socket; -1: there is none. */
int peer_creds_process(int fd);
/* Describes the process for the log: uid=0 pid=1 comm="/sbin/init" label="x", truncated to size. */
void peer_creds_describe(const struct relay_identity *identity, char *text, size_t size);

#endif
