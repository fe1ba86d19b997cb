/* SPDX-License-Identifier: MIT */
#ifndef OMNIBUS_WRITING_H
#define OMNIBUS_WRITING_H

#include "group/umc.h"
#include "state/peer.h"

#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define WRITING_IOVECS 32768u
#define WRITING_CONTROL UMC_MAX_CONTROL /* room for the descriptors of one entry */
#define WRITING_CONTROLS 16u
#define WRITING_RELEASES 1024u

/* What one entry writes. */
struct part {
    struct peer *peer;
    struct delivery_list *list; /* NULL: the entry only holds, or ends that */
    struct delivery *first;     /* of the list, when the entry before was written */
    size_t offset;              /* bytes of the first that were sent before */
    size_t bytes;
};

/*
 * One UMC_WRITE. All receivers are held before the first of them gets a message, and in between group peers
 * are released from which all is dispatched. The kernel stores the
 * results of all entries within the call, so that a standby knows what was written, as of
 * state/under_way.h.
 */
struct writing {
    uint32_t n;
    uint32_t n_iov;
    uint32_t n_controls;
    uint32_t n_releases;
    uint32_t failures;
    _Atomic uint32_t noted; /* entries whose results the lists of their peers do not say yet */
    struct umc_write_entry entries[UMC_MAX_ENTRIES];
    struct part parts[UMC_MAX_ENTRIES]; /* by entry */
    struct umc_release_entry releases[WRITING_RELEASES];
    struct iovec iov[WRITING_IOVECS];
    _Alignas(struct cmsghdr) char control[WRITING_CONTROLS][WRITING_CONTROL];
};

#endif
