/* SPDX-License-Identifier: MIT */
#include "mapping.h"

/* Works on few sightings at a time: those of names that are not known yet. */

static bool may_be(const struct traffic *t, const struct sockets *sockets,
                   const struct mapping_wanted *wanted, const struct traffic_sighting *sighting)
{
    const struct traffic_client *client = traffic_client(t, (uint64_t)sighting->fd);
    const struct socket_entry *entry = sockets_at(sockets, (uint64_t)sighting->fd);
    if (sighting->id != wanted->id || !client || client->id != UINT64_MAX)
        return false;
    return !entry || entry->kind != SOCKET_CLIENT || entry->peer.pid == 0 || wanted->pid == 0 ||
           entry->peer.pid == wanted->pid;
}

/* Another name whose probe went to the same descriptor, too. */
static bool saw_another(const struct traffic *t, const struct traffic_sighting *sighting)
{
    for (size_t i = 0; i < t->n_sightings; i++) {
        const struct traffic_sighting *other = &t->sightings[i];
        if (other->fd == sighting->fd && other->id != sighting->id && traffic_fd(t, other->id) < 0)
            return true;
    }
    return false;
}

/* The only descriptor that it can be; -1: there is none, or several. */
static int only_one(const struct traffic *t, const struct sockets *sockets,
                    const struct mapping_wanted *wanted)
{
    int found = -1, clear = -1;
    unsigned n = 0, n_clear = 0;
    for (size_t i = 0; i < t->n_sightings; i++) {
        const struct traffic_sighting *sighting = &t->sightings[i];
        if (!may_be(t, sockets, wanted, sighting) || sighting->fd == found || sighting->fd == clear)
            continue;
        n++;
        found = sighting->fd;
        if (!saw_another(t, sighting)) {
            n_clear++;
            clear = sighting->fd;
        }
    }
    if (n_clear == 1)
        return clear;
    return n == 1 ? found : -1;
}

static void forget_sightings(struct traffic *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->n_sightings; i++) {
        if (traffic_fd(t, t->sightings[i].id) < 0)
            t->sightings[kept++] = t->sightings[i];
    }
    t->n_sightings = kept;
}

size_t mapping_conclude(struct traffic *t, const struct sockets *sockets, const struct mapping_wanted *wanted,
                        size_t n)
{
    size_t unknown = n, before;
    do {
        before = unknown;
        unknown = 0;
        for (size_t i = 0; i < n; i++) {
            if (traffic_fd(t, wanted[i].id) >= 0)
                continue;
            int fd = only_one(t, sockets, &wanted[i]);
            if (fd >= 0)
                traffic_name(t, fd, wanted[i].id);
            else
                unknown++;
        }
    } while (unknown > 0 && unknown < before);
    forget_sightings(t);
    return unknown;
}
