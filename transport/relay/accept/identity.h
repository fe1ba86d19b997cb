/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_IDENTITY_H
#define OMNIBUS_IDENTITY_H

#include "api/relay.h"

#include <stdbool.h>
#include <stddef.h>

struct identity_user { /* as in struct relay_identity */
    uint32_t pid, uid, gid;
};

/* These two together are relay_identify, for who knows that it is a Unix socket. False: nothing is known. */
bool identity_user(int fd, struct identity_user *user);
void identity_more(int fd, const struct identity_user *user, struct relay_identity *identity);
/* The gid and the supplementary ones, each once; there is room for one more than are there. Their number. */
uint32_t identity_groups(const struct relay_identity *identity, uint32_t *gids);
/* A close-on-exec descriptor of the process at the other end of a socket; -1: there is none. */
int identity_process(int fd);
/* What logs call it: uid=0 pid=1 comm="/sbin/init " label="x". As much as there is room for. */
void identity_describe(const struct relay_identity *identity, char *text, size_t size);

#endif
