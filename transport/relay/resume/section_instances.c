/* SPDX-License-Identifier: MIT */
#include "resume/resume_internal.h"

#include "wire/message.h"

#include <stdlib.h>

/*
 * What connections have to do with container instances. The section is left out of most states, so that a
 * program that does not know it can read these; it may not read others, since it would take the connections
 * of a container for any others.
 */

#define RECORD_SIZE 13u   /* at least */
#define INSTANCE_MAX 255u /* bytes of a path */

static bool has_any(const struct peer *peer)
{
    return peer->credentials.instance || peer->names_instances;
}

static uint32_t count_instances(const struct dump *d)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->n_peers; i++)
        n += has_any(d->peers[i]);
    return n;
}

bool has_instances(const struct dump *d)
{
    return count_instances(d) > 0;
}

void dump_instances(struct dump *d)
{
    state_put32(d->w, count_instances(d));
    for (uint32_t i = 0; i < d->n_peers; i++) {
        const struct peer *peer = d->peers[i];
        if (!has_any(peer))
            continue;
        state_put64(d->w, peer->id);
        state_put8(d->w, peer->names_instances);
        state_put_text(d->w, span_of(peer->credentials.instance));
    }
}

static bool restore_instance(struct restore *s)
{
    struct peer *peer = restore_peer(s);
    uint8_t names = state_get8(&s->r);
    struct span path = state_get_bytes(&s->r);
    if (!peer || s->r.failed || names > 1 || has_any(peer) || (path.n == 0 && !names))
        return false;
    peer->names_instances = names;
    if (path.n == 0)
        return true;
    if (path.n > INSTANCE_MAX || !name_is_path(path) || peer->credentials.privileged)
        return false;
    peer->credentials.instance = strndup(path.s, path.n);
    return peer->credentials.instance || restore_failed(s);
}

int restore_instances(struct restore *s)
{
    for (uint32_t n = state_count(&s->r, RECORD_SIZE); n > 0; n--) {
        if (!restore_instance(s))
            return -EINVAL;
    }
    return 0;
}
